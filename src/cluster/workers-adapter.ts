import { NodeClusterAdapter } from '@socket.io/cluster-adapter';
import type { Namespace } from 'socket.io';
import type { PeerRooms, RoomChanges } from './peer-rooms.ts';
import { BoundedPublisher, type PublishEvents } from './publisher.ts';
import type { NodesAdapter } from './socketio-room-bus.ts';

type Message = Parameters<NodeClusterAdapter['onMessage']>[0];

/** A message, and the ids of the workers that the primary passes it on to. Undefined for all other workers. */
type AddressedMessage = Message & { to?: readonly number[] };

/** Several messages of one tick. The primary passes it on like any other message of the adapter. */
interface Batch {
  /** The primary recognizes the messages of the adapter by this field. */
  source: '_sio_adapter';
  type: 'batch';
  uid: string;
  nsp: string;
  messages: AddressedMessage[];
}

interface Collaborators extends PublishEvents {
  /** Only these receive the messages of a room. */
  peers: PeerRooms;
  /** Reports the rooms of this worker to the other workers. Resolves when they send the messages of these rooms. */
  subscribe(changes: RoomChanges): Promise<unknown>;
  /** The other workers send the messages of this room. */
  onSubscribed(room: string): void;
}

export interface WorkersAdapter {
  create: NodesAdapter;
  /** Resolves when the other workers know the rooms that were added until now. */
  subscribed(): Promise<void>;
  /** Runs `publish`. The messages that it publishes may be dropped, and their loss is not reported. */
  publishDroppable(publish: () => void): void;
  /** The number and the size of the messages in flight to the primary. */
  readonly pending: { messages: number; bytes: number };
  /** The number of droppable messages that were dropped or lost. */
  readonly dropped: number;
}

/**
 * Socket.IO's adapter for workers of one machine. It sends messages only to workers that serve their rooms, and those of one
 * tick together, because most of their cost is the cost of one IPC message. It limits what is in flight while the primary
 * does not keep up.
 */
export function createWorkersAdapter({ peers, subscribe, onSubscribed, ...events }: Collaborators): WorkersAdapter {
  const publisher = new BoundedPublisher(() => undefined, events);
  const reported = new Set<string>();
  /** Whether each of these rooms is wanted. Reported at the end of the tick. */
  let changed = new Map<string, boolean>();
  let reporting: Promise<void> = Promise.resolve();
  let waiting: { messages: AddressedMessage[]; droppable: AddressedMessage[] } | undefined;
  let isDroppable = false;

  function flush(): void {
    const { messages, droppable } = waiting!;
    waiting = undefined;
    if (messages.length > 0) void publisher.publish(estimateBytes(messages), () => sendBatch(messages));
    if (droppable.length > 0) void publisher.publishDroppable(estimateBytes(droppable), () => sendBatch(droppable));
  }

  function add(message: AddressedMessage): void {
    const { rooms } = (message as { data?: { opts?: { rooms?: string[] } } }).data?.opts ?? {};
    if (rooms) message.to = peers.find(rooms);
    if (message.to?.length === 0) return;
    if (!waiting) {
      waiting = { messages: [], droppable: [] };
      setImmediate(flush);
    }
    (isDroppable ? waiting.droppable : waiting.messages).push(message);
  }

  function want(room: string, isWanted: boolean): void {
    if (changed.size === 0) reporting = new Promise((resolve) => setImmediate(() => resolve(reportRooms())));
    changed.set(room, isWanted);
  }

  async function reportRooms(): Promise<void> {
    const changes = [...changed].filter(([room, isWanted]) => reported.has(room) !== isWanted);
    changed = new Map();
    const added = changes.filter(([, isWanted]) => isWanted).map(([room]) => room);
    const removed = changes.filter(([, isWanted]) => !isWanted).map(([room]) => room);
    for (const room of added) reported.add(room);
    for (const room of removed) reported.delete(room);
    if (changes.length === 0) return;
    await subscribe({ added, removed });
    for (const room of added) onSubscribed(room);
  }

  // The fields of a subclass do not exist yet when the constructor of the base class publishes, so the state is outside.
  class BatchingAdapter extends NodeClusterAdapter {
    override async doPublish(message: Message): Promise<string> {
      add(message);
      return '';
    }

    override addAll(id: string, rooms: Set<string>): void {
      for (const room of rooms) want(room, true);
      super.addAll(id, rooms);
    }

    override del(id: string, room: string): void {
      want(room, false);
      super.del(id, room);
    }

    override onMessage(message: Message): void {
      if ((message as unknown as Batch).type !== 'batch') return super.onMessage(message);
      for (const each of (message as unknown as Batch).messages) super.onMessage(each);
    }
  }

  return {
    create: function create(namespace: Namespace) {
      return new BatchingAdapter(namespace, {}) as unknown as Namespace['adapter'];
    },
    subscribed: () => reporting,
    publishDroppable(publish) {
      isDroppable = true;
      try {
        publish();
      } finally {
        isDroppable = false;
      }
    },
    get pending() {
      return publisher.pending;
    },
    get dropped() {
      return publisher.dropped;
    },
  };
}

/** The size of the body of a message, which is a JSON text. The rest is about 200 bytes. */
function estimateBytes(messages: readonly AddressedMessage[]): number {
  let bytes = 0;
  for (const { data } of messages as unknown as { data?: { packet?: { data?: unknown[] } } }[]) {
    const body = data?.packet?.data?.[1];
    bytes += 200 + (typeof body === 'string' ? body.length : 0);
  }
  return bytes;
}

function sendBatch(messages: AddressedMessage[]): Promise<number> {
  const { uid, nsp } = messages[0] as unknown as Batch;
  const batch: Batch = { source: '_sio_adapter', type: 'batch', uid, nsp, messages };
  return new Promise((resolve, reject) => {
    process.send!(batch, undefined, {}, (error: Error | null) => (error ? reject(error) : resolve(1)));
  });
}
