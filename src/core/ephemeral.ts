import type { RoomId } from './ids.ts';

/** State that is neither stored nor in the room's log, such as who is typing. Clients replace what they had before. */
export interface EphemeralEvent {
  room_id: RoomId;
  name: string;
  payload: object;
  /**
   * Only subscribers that follow this topic of the room receive the event. If undefined, all live subscribers receive
   * it.
   */
  topic?: string;
}

/**
 * Sends ephemeral events to the connections of one transport on this node. At most once: a connection whose send buffer
 * is congested receives none.
 */
export interface EphemeralBroadcaster {
  /**
   * Returns whether a congested connection did not receive the event. If no other event follows, it has to be sent again,
   * or the connection shows an outdated state for ever.
   */
  publishEphemeral(event: EphemeralEvent): boolean;
  /** Whether a connection follows this topic of the room. */
  hasFollowers(room: RoomId, topic: string): boolean;
}

/** Sends an event to the connections of all transports. Returns whether a congested connection did not receive it. */
export function broadcastEphemeral(broadcasters: readonly EphemeralBroadcaster[], event: EphemeralEvent): boolean {
  let wasDropped = false;
  for (const broadcaster of broadcasters) if (broadcaster.publishEphemeral(event)) wasDropped = true;
  return wasDropped;
}

/** A connection with more unsent bytes than this is congested, and receives no ephemeral events. */
export const congestedBytes = 16_384;

/** The nodes that receive a message: those that serve a room, one node, or all. The sender is never among them. */
export type Recipients = { room: RoomId } | { node: string } | 'all';

export type EphemeralListener = (body: unknown, from: string) => void;

/**
 * Exchanges messages about ephemeral state between nodes. Messages arrive at most once and in any order, and are the
 * first to be dropped if Redis does not keep up. A lost message is not recovered. Therefore each state carries a
 * counter, and is either sent again or expires.
 */
export interface EphemeralBus {
  /** The id of this node. It changes with each start. */
  readonly node: string;
  /** Whether other nodes can be reached. Always false for a node without Redis. */
  readonly isUp: boolean;
  publish(topic: string, to: Recipients, body: object): void;
  /** Calls the listener for each message of other nodes. Returns a function that unsubscribes. */
  subscribe(topic: string, listener: EphemeralListener): () => void;
  /** Calls the listener whenever other nodes can be reached again. Returns a function that unsubscribes. */
  onUp(listener: () => void): () => void;
  /**
   * Renews this node's entry in the list of nodes, which expires after `leaseMs`, and resolves to the number of nodes
   * in the list. Resolves to undefined if Redis does not answer.
   */
  countNodes(leaseMs: number): Promise<number | undefined>;
  /** Removes this node from the list of nodes. */
  leaveNodes(): void;
}

/** The bus of a node without Redis. */
export const noEphemeralBus: EphemeralBus = {
  node: 'alone',
  isUp: false,
  publish: () => {},
  subscribe: () => () => {},
  onUp: () => () => {},
  countNodes: async () => undefined,
  leaveNodes: () => {},
};
