import { NodeClusterAdapter } from '@socket.io/cluster-adapter';
import type { Namespace } from 'socket.io';
import { BoundedPublisher, type PublishEvents } from './publisher.ts';
import type { NodesAdapter } from './socketio-room-bus.ts';

type Message = Parameters<NodeClusterAdapter['onMessage']>[0];

/** Several messages of one tick. The primary passes it on like any other message of the adapter. */
interface Batch {
  /** The primary recognizes the messages of the adapter by this field. */
  source: '_sio_adapter';
  type: 'batch';
  uid: string;
  nsp: string;
  messages: Message[];
}

export interface WorkersAdapter {
  create: NodesAdapter;
  /** Runs `publish`. The messages that it publishes may be dropped, and their loss is not reported. */
  publishDroppable(publish: () => void): void;
  /** The number and the size of the messages in flight to the primary. */
  readonly pending: { messages: number; bytes: number };
  /** The number of droppable messages that were dropped or lost. */
  readonly dropped: number;
}

/**
 * Socket.IO's adapter for workers of one machine. It sends the messages of one tick together, because most of their cost
 * is the cost of one IPC message, and it limits what is in flight while the primary does not keep up.
 */
export function createWorkersAdapter(events: PublishEvents): WorkersAdapter {
  const publisher = new BoundedPublisher(() => undefined, events);
  let waiting: { messages: Message[]; droppable: Message[] } | undefined;
  let isDroppable = false;

  function flush(): void {
    const { messages, droppable } = waiting!;
    waiting = undefined;
    if (messages.length > 0) void publisher.publish(estimateBytes(messages), () => sendBatch(messages));
    if (droppable.length > 0) void publisher.publishDroppable(estimateBytes(droppable), () => sendBatch(droppable));
  }

  function add(message: Message): void {
    if (!waiting) {
      waiting = { messages: [], droppable: [] };
      setImmediate(flush);
    }
    (isDroppable ? waiting.droppable : waiting.messages).push(message);
  }

  // The fields of a subclass do not exist yet when the constructor of the base class publishes, so the state is outside.
  class BatchingAdapter extends NodeClusterAdapter {
    override async doPublish(message: Message): Promise<string> {
      add(message);
      return '';
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
function estimateBytes(messages: readonly Message[]): number {
  let bytes = 0;
  for (const { data } of messages as unknown as { data?: { packet?: { data?: unknown[] } } }[]) {
    const body = data?.packet?.data?.[1];
    bytes += 200 + (typeof body === 'string' ? body.length : 0);
  }
  return bytes;
}

function sendBatch(messages: Message[]): Promise<number> {
  const { uid, nsp } = messages[0] as unknown as Batch;
  const batch: Batch = { source: '_sio_adapter', type: 'batch', uid, nsp, messages };
  return new Promise((resolve, reject) => {
    process.send!(batch, undefined, {}, (error: Error | null) => (error ? reject(error) : resolve(1)));
  });
}
