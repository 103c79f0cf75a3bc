import { type Namespace, Server } from 'socket.io';
import { createLocalRoomBus, type RoomBus } from '../core/bus.ts';
import type { RoomId } from '../core/ids.ts';
import { parseBusMessage } from '../core/log/change.ts';
import type { Signal, Signals } from '../core/signals.ts';
import { createRelaySocket } from './relay-socket.ts';

/** As Socket.IO calls it: with `new`. */
export type NodesAdapter = (namespace: Namespace) => Namespace['adapter'];

export interface SocketioRoomBus {
  bus: RoomBus;
  signals: Signals;
  /** From now on other nodes are told and heard. Until then this node is alone. */
  attach(adapter: NodesAdapter): void;
  /** From now on this channel of the adapter's is heard. */
  onSubscribed(channel: string): void;
  /** Something this node said did not get to the others. */
  onLost(): void;
  /** The line is back: whatever the other nodes said may have been missed, and what is `lost` they have missed. */
  onResumed(): void;
  close(): void;
}

export interface BusEvents {
  /** A listener has thrown. */
  failed(error: unknown): void;
  /** Another node, or somebody else, sent what is no envelope. */
  rejected(): void;
}

const toRoomName = (room: RoomId) => `room:${room}`;
/** Every node is in it. */
const allNodesRoom = 'nodes';

/** Nobody reads what is encoded: the one member of each room takes the packet as it is. */
class Encoder {
  encode(): [] {
    return [];
  }
}
const noParser = { Encoder, Decoder: class {} as never };

/**
 * The bus over a Socket.IO adapter: a Socket.IO server without connections, in which each room has one member per node
 * that serves it. What this node publishes its own listeners hear directly, whatever the adapter does.
 */
export function createSocketioRoomBus({ failed, rejected }: BusEvents): SocketioRoomBus {
  const local = createLocalRoomBus(failed);
  const signalListeners = new Map<Signal, Set<() => void>>();
  const missedListeners = new Set<(rooms?: readonly RoomId[]) => void>();
  const listeners = new Map<RoomId, number>();
  let newlySubscribed: RoomId[] = [];
  let hasLost = false;
  let remote: { namespace: Namespace; relayId: string } | undefined;

  function handleMessage(name: unknown, body: unknown): void {
    if (name === 'call') {
      for (const listener of signalListeners.get(parseJson(body) as Signal) ?? []) runSafely(listener);
      return;
    }
    if (name === 'missed') return notifyAllMissed();
    const message = parseBusMessage(parseJson(body));
    if (message) local.publish(message, 'remote');
    else rejected();
  }

  /** A text, so that the adapters need not look into it for what is binary. */
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
    if (remote) runSafely(() => remote!.namespace.to(room).except(remote!.relayId).emit(name, JSON.stringify(body)));
    else hasLost = true;
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
        const unlisten = local.subscribe(room, listener);
        const before = listeners.get(room) ?? 0;
        listeners.set(room, before + 1);
        if (before === 0) remote?.namespace.adapter.addAll(remote.relayId, new Set([toRoomName(room)]));
        let isListening = true;
        return () => {
          if (!isListening) return;
          isListening = false;
          unlisten();
          const left = (listeners.get(room) ?? 1) - 1;
          if (left > 0) return void listeners.set(room, left);
          listeners.delete(room);
          remote?.namespace.adapter.del(remote.relayId, toRoomName(room));
        };
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
    attach(adapter) {
      const { sockets: namespace } = new Server({ adapter: adapter as never, parser: noParser as never });
      const relaySocket = createRelaySocket(handleMessage);
      namespace.sockets.set(relaySocket.id, relaySocket as never);
      remote = { namespace: namespace as unknown as Namespace, relayId: relaySocket.id };
      // Its own id too, as a socket's: `except` takes out the members of rooms.
      namespace.adapter.addAll(
        relaySocket.id,
        new Set([relaySocket.id, allNodesRoom, ...[...listeners.keys()].map(toRoomName)]),
      );
    },
    onSubscribed(channel) {
      // The classic adapter hears all rooms by one pattern.
      if (channel.endsWith('*')) return notifyMissed();
      const room = Number(/#room:(\d+)#$/.exec(channel)?.[1] ?? Number.NaN);
      if (!listeners.has(room)) return;
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
