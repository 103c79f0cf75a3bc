import { randomBytes } from 'node:crypto';
import { type Namespace, Server } from 'socket.io';
import { createLocalRoomBus, type RoomBus } from '../core/bus.ts';
import type { EphemeralBus, EphemeralListener, Recipients } from '../core/ephemeral.ts';
import type { RoomId } from '../core/ids.ts';
import { parseBusMessage } from '../core/log/change.ts';
import type { Signal, Signals } from '../core/signals.ts';

/** Creates an adapter. Socket.IO calls this function with `new`. */
export type NodesAdapter = (namespace: Namespace) => Namespace['adapter'];

/** How the bus reaches other nodes. */
interface Link {
  adapter: NodesAdapter;
  /** Calls `publish`, or drops the message. A loss is not reported. */
  publishDroppable(publish: () => void): void;
  /** Whether another node is in the Socket.IO room. Undefined if this node does not know that. */
  hasReceivers?(room: string): boolean;
}

export interface SocketioRoomBus {
  bus: RoomBus;
  signals: Signals;
  ephemeral: Pick<EphemeralBus, 'node' | 'publish' | 'subscribe' | 'onUp'>;
  /** Connects this node to the other nodes. Before this call, the node works alone. */
  attach(link: Link): void;
  /** Call this when the subscription to a channel of the adapter has started. */
  onSubscribed(channel: string): void;
  /** Call this when a message of this node did not reach the other nodes. After the next resume, they are notified. */
  onLost(): void;
  /**
   * Call this when the link is up again. This node may have missed messages of the other nodes, so it notifies its
   * listeners. If this node has lost messages itself, it notifies the other nodes, too.
   */
  onResumed(): void;
  close(): void;
}

export interface BusEvents {
  /** Called if a listener has thrown an error. */
  failed(error: unknown): void;
  /** Called if a message has arrived that is not a valid envelope. Another program may have published it. */
  rejected(): void;
}

const toRoomName = (room: RoomId) => `room:${room}`;
/** The Socket.IO room that contains the relay sockets of all nodes. */
const allNodesRoom = 'nodes';
/** The Socket.IO room that contains only the relay socket of one node. */
const toNodeRoom = (node: string) => `node:${node}`;

function toRecipientRoom(to: Recipients): string {
  if (to === 'all') return allNodesRoom;
  return 'room' in to ? toRoomName(to.room) : toNodeRoom(to.node);
}

/**
 * An encoder that does nothing. Socket.IO needs one, but the relay socket receives each packet before it is encoded, so
 * the encoded form is never used.
 */
class Encoder {
  encode(): [] {
    return [];
  }
}
const noParser = { Encoder, Decoder: class {} as never };

/**
 * Creates a bus over a Socket.IO adapter. It uses a Socket.IO server without connections. Each node has one relay
 * socket, which joins a Socket.IO room for every chat room that the node serves. A node's own listeners receive its
 * messages directly, not through the adapter.
 */
export function createSocketioRoomBus({ failed, rejected }: BusEvents, node: string): SocketioRoomBus {
  const local = createLocalRoomBus(failed);
  const ephemeralListeners = new Map<string, Set<EphemeralListener>>();
  const upListeners = new Set<() => void>();
  const signalListeners = new Map<Signal, Set<() => void>>();
  const missedListeners = new Set<(rooms?: readonly RoomId[]) => void>();
  let newlySubscribed: RoomId[] = [];
  let hasLost = false;
  let remote: { namespace: Namespace; relayId: string; link: Link } | undefined;

  function handleMessage(name: unknown, body: unknown): void {
    if (name === 'call') return handleCall(parseJson(body));
    if (name === 'missed') return notifyAllMissed();
    const message = parseBusMessage(parseJson(body));
    if (message) local.publish(message, 'remote');
    else rejected();
  }

  /** The body is a signal, or an object with an ephemeral message. */
  function handleCall(body: unknown): void {
    for (const listener of signalListeners.get(body as Signal) ?? []) runSafely(listener);
    if (typeof body !== 'object' || body === null) return;
    const { topic, from, body: message } = body as Record<string, unknown>;
    if (typeof topic !== 'string' || typeof from !== 'string') return;
    for (const listener of ephemeralListeners.get(topic) ?? []) runSafely(() => listener(message, from));
  }

  /**
   * Parses the body of a message. Bodies are sent as JSON texts, because adapters would search objects for binary data.
   */
  function parseJson(body: unknown): unknown {
    try {
      return typeof body === 'string' ? JSON.parse(body) : undefined;
    } catch {
      return undefined;
    }
  }

  function runSafely(task: () => void): void {
    try {
      task();
    } catch (error) {
      failed(error);
    }
  }

  function broadcast(room: string, name: string, body: unknown): void {
    if (!remote) {
      hasLost = true;
      return;
    }
    if (!hasReceivers(room)) return;
    runSafely(() => remote!.namespace.to(room).except(remote!.relayId).emit(name, JSON.stringify(body)));
  }

  const hasReceivers = (room: string) => remote?.link.hasReceivers?.(room) ?? true;

  /**
   * Sends the event under the name `call`. Nodes of an earlier version ignore calls that they do not know. If the
   * message had another name, they would handle it as a change of the room, and stop delivering.
   */
  function publishEphemeral(topic: string, to: Recipients, body: object): void {
    const room = toRecipientRoom(to);
    if (!hasReceivers(room)) return;
    remote?.link.publishDroppable(() =>
      runSafely(() => {
        const operator = remote!.namespace.to(room).except(remote!.relayId);
        operator.emit('call', JSON.stringify({ topic, from: node, body }));
      }),
    );
  }

  function notifyMissed(rooms?: readonly RoomId[]): void {
    for (const listener of missedListeners) runSafely(() => listener(rooms));
  }

  function notifyAllMissed(): void {
    notifyMissed();
    for (const listeners of signalListeners.values()) for (const listener of listeners) runSafely(listener);
  }

  return {
    bus: {
      publish(envelope) {
        local.publish(envelope);
        broadcast(toRoomName(envelope.room_id), 'change', envelope);
      },
      subscribe(room, listener) {
        const isFirst = !local.rooms.has(room);
        local.subscribe(room, listener);
        if (isFirst) remote?.namespace.adapter.addAll(remote.relayId, new Set([toRoomName(room)]));
      },
      unsubscribe(room, listener) {
        if (!local.rooms.has(room)) return;
        local.unsubscribe(room, listener);
        if (!local.rooms.has(room)) remote?.namespace.adapter.del(remote.relayId, toRoomName(room));
      },
      onMissed(listener) {
        missedListeners.add(listener);
        return () => void missedListeners.delete(listener);
      },
    },
    signals: {
      send: (name) => broadcast(allNodesRoom, 'call', name),
      onSignal(name, listener) {
        const existing = signalListeners.get(name) ?? new Set();
        signalListeners.set(name, existing.add(listener));
        return () => void existing.delete(listener);
      },
    },
    ephemeral: {
      node,
      publish: publishEphemeral,
      subscribe(topic, listener) {
        const existing = ephemeralListeners.get(topic) ?? new Set();
        ephemeralListeners.set(topic, existing.add(listener));
        return () => void existing.delete(listener);
      },
      onUp(listener) {
        upListeners.add(listener);
        return () => void upListeners.delete(listener);
      },
    },
    attach(link) {
      const { sockets: namespace } = new Server({ adapter: link.adapter as never, parser: noParser as never });
      const relaySocket = createRelaySocket(handleMessage);
      namespace.sockets.set(relaySocket.id, relaySocket as never);
      remote = { namespace: namespace as unknown as Namespace, relayId: relaySocket.id, link };
      // Like every socket, the relay socket also joins a room that is named after its id. `broadcast` passes this room
      // to `except`, so that this node does not receive its own messages again.
      namespace.adapter.addAll(
        relaySocket.id,
        new Set([relaySocket.id, allNodesRoom, toNodeRoom(node), ...[...local.rooms.keys()].map(toRoomName)]),
      );
    },
    onSubscribed(channel) {
      // The channel of the classic adapter is a pattern for all rooms, so messages of any room may have been missed.
      if (channel.endsWith('*')) return notifyMissed();
      const room = Number(/#room:(\d+)#$/.exec(channel)?.[1] ?? Number.NaN);
      if (!local.rooms.has(room)) return;
      if (newlySubscribed.push(room) > 1) return;
      setImmediate(() => {
        const rooms = newlySubscribed;
        newlySubscribed = [];
        notifyMissed(rooms);
      });
    },
    onLost() {
      hasLost = true;
    },
    onResumed() {
      notifyAllMissed();
      for (const listener of upListeners) runSafely(listener);
      if (!hasLost || !remote) return;
      hasLost = false;
      broadcast(allNodesRoom, 'missed', null);
    },
    close() {
      void remote?.namespace.adapter.close();
      remote = undefined;
    },
  };
}

/**
 * Creates an object that the adapter treats as a socket. It receives the messages that any node sends to its rooms,
 * before they are encoded. It has only the members that `Adapter.broadcast` of socket.io-adapter 2.5 uses. Its id is as
 * long as the id of a real socket, because the sharded adapter distinguishes sockets from rooms by that length.
 */
function createRelaySocket(onMessage: (name: unknown, body: unknown) => void) {
  return {
    id: randomBytes(10).toString('hex'),
    client: { writeToEngine() {} },
    notifyOutgoingListeners: ({ data }: { data: unknown }) => {
      const [name, body] = Array.isArray(data) ? data : [];
      onMessage(name, body);
    },
    handshake: {},
    data: {},
    rooms: new Set<string>(),
    acks: new Map(),
    join() {},
    leave() {},
    disconnect() {},
    _onclose() {},
  };
}
