import { type Namespace, Server } from 'socket.io';
import { localRoomBus, type RoomBus } from '../core/bus.ts';
import type { RoomId } from '../core/ids.ts';
import { Envelope } from '../core/log/change.ts';
import type { NodeCall, NodeCalls } from '../core/signals.ts';
import { anEar } from './relay-socket.ts';

/** As Socket.IO calls it: with `new`. */
export type NodesAdapter = (namespace: Namespace) => Namespace['adapter'];

export interface SocketioRoomBus {
  bus: RoomBus;
  calls: NodeCalls;
  /** From now on other nodes are told and heard. Until then this node is alone. */
  attach(adapter: NodesAdapter): void;
  /** From now on this channel of the adapter's is heard. */
  subscribed(channel: string): void;
  /** Something this node said did not get to the others. */
  lost(): void;
  /** The line is back: whatever the other nodes said may have been missed, and what is `lost` they have missed. */
  resumed(): void;
  close(): void;
}

export interface BusEvents {
  /** A listener has thrown. */
  failed(error: unknown): void;
  /** Another node, or somebody else, sent what is no envelope. */
  rejected(): void;
}

const roomName = (room: RoomId) => `room:${room}`;
/** Every node is in it. */
const allNodes = 'nodes';

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
export function socketioRoomBus({ failed, rejected }: BusEvents): SocketioRoomBus {
  const local = localRoomBus(failed);
  const callListeners = new Map<NodeCall, Set<() => void>>();
  const missedListeners = new Set<(rooms?: readonly RoomId[]) => void>();
  const listeners = new Map<RoomId, number>();
  let freshlyHeard: RoomId[] = [];
  let hasLost = false;
  let remote: { namespace: Namespace; ear: string } | undefined;

  function hear(name: unknown, body: unknown): void {
    if (name === 'call') {
      for (const listener of callListeners.get(readJson(body) as NodeCall) ?? []) safely(listener);
      return;
    }
    if (name === 'missed') return missedAll();
    const envelope = Envelope.safeParse(readJson(body));
    if (envelope.success) local.publish(envelope.data, 'remote');
    else rejected();
  }

  /** A text, so that the adapters need not look into it for what is binary. */
  function readJson(body: unknown): unknown {
    try {
      return typeof body === 'string' ? JSON.parse(body) : undefined;
    } catch {
      return undefined;
    }
  }

  function safely(task: () => void): void {
    try {
      task();
    } catch (error) {
      failed(error);
    }
  }

  function tellOthers(room: string, name: string, body: unknown): void {
    if (remote) safely(() => remote!.namespace.to(room).except(remote!.ear).emit(name, JSON.stringify(body)));
    else hasLost = true;
  }

  function tellMissed(rooms?: readonly RoomId[]): void {
    for (const listener of missedListeners) safely(() => listener(rooms));
  }

  function missedAll(): void {
    tellMissed();
    for (const listeners of callListeners.values()) for (const listener of listeners) safely(listener);
  }

  return {
    bus: {
      publish(envelope) {
        local.publish(envelope);
        tellOthers(roomName(envelope.room_id), 'change', envelope);
      },
      listen(room, hear) {
        const unlisten = local.listen(room, hear);
        const before = listeners.get(room) ?? 0;
        listeners.set(room, before + 1);
        if (before === 0) remote?.namespace.adapter.addAll(remote.ear, new Set([roomName(room)]));
        let isListening = true;
        return () => {
          if (!isListening) return;
          isListening = false;
          unlisten();
          const left = (listeners.get(room) ?? 1) - 1;
          if (left > 0) return void listeners.set(room, left);
          listeners.delete(room);
          remote?.namespace.adapter.del(remote.ear, roomName(room));
        };
      },
      onMissed(missed) {
        missedListeners.add(missed);
        return () => void missedListeners.delete(missed);
      },
    },
    calls: {
      call: (name) => tellOthers(allNodes, 'call', name),
      onCall(name, listener) {
        const known = callListeners.get(name) ?? new Set();
        callListeners.set(name, known.add(listener));
        return () => void known.delete(listener);
      },
    },
    attach(adapter) {
      const { sockets: namespace } = new Server({ adapter: adapter as never, parser: noParser as never });
      const ear = anEar(hear);
      namespace.sockets.set(ear.id, ear as never);
      remote = { namespace: namespace as unknown as Namespace, ear: ear.id };
      // Its own id too, as a socket's: `except` takes out the members of rooms.
      namespace.adapter.addAll(ear.id, new Set([ear.id, allNodes, ...[...listeners.keys()].map(roomName)]));
    },
    subscribed(channel) {
      // The classic adapter hears all rooms by one pattern.
      if (channel.endsWith('*')) return tellMissed();
      const room = Number(/#room:(\d+)#$/.exec(channel)?.[1] ?? Number.NaN);
      if (!listeners.has(room)) return;
      if (freshlyHeard.push(room) > 1) return;
      setImmediate(() => {
        const rooms = freshlyHeard;
        freshlyHeard = [];
        tellMissed(rooms);
      });
    },
    lost() {
      hasLost = true;
    },
    resumed() {
      missedAll();
      if (!hasLost || !remote) return;
      hasLost = false;
      tellOthers(allNodes, 'missed', null);
    },
    close() {
      void remote?.namespace.adapter.close();
      remote = undefined;
    },
  };
}
