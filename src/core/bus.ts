import type { RoomId } from './ids.ts';
import type { BusMessage } from './log/change.ts';

/** Whether this node or a remote node published a message. */
export type Origin = 'here' | 'remote';

export type BusListener = (busMessage: BusMessage, origin: Origin) => void;

/**
 * Pub/sub by room. Listeners on this node are called before `publish` returns. Other nodes receive a message at most
 * once, and in any order. `publish` never throws and does not wait for other nodes. If a message is lost on the way,
 * subscribers read the change from the log.
 */
export interface RoomBus {
  publish(busMessage: BusMessage): void;
  /** Returns a function that unsubscribes. */
  subscribe(room: RoomId, listener: BusListener): () => void;
  /**
   * Calls the listener if messages from other nodes may have been lost, with the affected rooms, or without rooms if
   * all may be affected. The listener is also called for each new subscription, as soon as the other nodes send to it:
   * they may have published something before. Returns a function that unsubscribes.
   */
  onMissed(listener: (rooms?: readonly RoomId[]) => void): () => void;
}

/**
 * The part of a bus that calls the listeners on this node. If a message comes from another node, it is published here
 * with `origin: 'remote'`.
 */
export interface LocalRoomBus extends RoomBus {
  publish(busMessage: BusMessage, origin?: Origin): void;
}

/** The bus within one node. A listener that throws does not affect the others. */
export function createLocalRoomBus(onError: (error: unknown) => void): LocalRoomBus {
  const listeners = new Map<RoomId, Set<BusListener>>();
  return {
    publish(busMessage, origin = 'here') {
      for (const listener of listeners.get(busMessage.room_id) ?? []) {
        try {
          listener(busMessage, origin);
        } catch (error) {
          onError(error);
        }
      }
    },
    subscribe(room, listener) {
      const roomListeners = listeners.get(room) ?? new Set();
      listeners.set(room, roomListeners.add(listener));
      return () => {
        roomListeners.delete(listener);
        if (roomListeners.size === 0 && listeners.get(room) === roomListeners) listeners.delete(room);
      };
    },
    onMissed: () => () => {},
  };
}
