import type { RoomId } from './ids.ts';
import type { BusMessage } from './log/change.ts';
import { SmallSet } from './small-set.ts';

export type Origin = 'here' | 'remote';

export type BusListener = (busMessage: BusMessage, origin: Origin) => void;

/**
 * Pub/sub with one topic for each room. `publish` calls the listeners on this node before it returns. It never throws
 * and does not wait for other nodes. Other nodes receive each message at most once, and messages may arrive in any
 * order. If a change gets lost, the nodes that missed it read it from the log.
 */
export interface RoomBus {
  publish(busMessage: BusMessage): void;
  /** A second subscription of the same listener to the same room has no effect. */
  subscribe(room: RoomId, listener: BusListener): void;
  unsubscribe(room: RoomId, listener: BusListener): void;
  /**
   * Calls the listener when messages from other nodes may have been lost. Without `rooms`, all rooms may be affected.
   * The listener is also called once for each new subscription, when it has become active on the other nodes: messages
   * that they published before that were lost. Returns a function that unsubscribes.
   */
  onMissed(listener: (rooms?: readonly RoomId[]) => void): () => void;
}

/**
 * Calls the listeners on this node. A bus across nodes also publishes the messages of other nodes here, with the origin
 * `remote`.
 */
export interface LocalRoomBus extends RoomBus {
  publish(busMessage: BusMessage, origin?: Origin): void;
  /** The rooms that have listeners. */
  readonly rooms: Pick<ReadonlyMap<RoomId, unknown>, 'has' | 'keys'>;
}

/** If a listener throws, the other listeners are still called. */
export function createLocalRoomBus(onError: (error: unknown) => void): LocalRoomBus {
  const listeners = new Map<RoomId, SmallSet<BusListener>>();
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
      const roomListeners = listeners.get(room) ?? new SmallSet();
      listeners.set(room, roomListeners.add(listener));
    },
    unsubscribe(room, listener) {
      const roomListeners = listeners.get(room);
      if (roomListeners?.delete(listener) && roomListeners.size === 0) listeners.delete(room);
    },
    onMissed: () => () => {},
    rooms: listeners,
  };
}
