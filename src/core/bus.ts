import type { RoomId } from './ids.ts';
import type { BusMessage } from './log/change.ts';

/** Whether this node has committed it or another one. */
export type Origin = 'here' | 'remote';

export type BusListener = (busMessage: BusMessage, origin: Origin) => void;

/**
 * Wakes what serves a room. This node's listeners hear an envelope before `publish` returns; other nodes' hear it at
 * most once and in any order. `publish` never throws and nobody waits for it: what gets lost is found in the log.
 */
export interface RoomBus {
  publish(busMessage: BusMessage): void;
  /** Returns the undo. */
  subscribe(room: RoomId, listener: BusListener): () => void;
  /**
   * `missed` is called when something of other nodes may have gone by unheard: in these rooms, or in all. A `listen`
   * takes a moment until it reaches the other nodes, so its room is named once it does. Returns the undo.
   */
  onMissed(listener: (rooms?: readonly RoomId[]) => void): () => void;
}

/** Through which a bus between nodes hands over what the others publish. */
export interface LocalRoomBus extends RoomBus {
  publish(busMessage: BusMessage, origin?: Origin): void;
}

/** The bus of a node that is alone: a function call. `failed` hears of listeners that throw. */
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
