import { z } from 'zod';
import { RoomId, Uuid } from '../../core/ids.ts';

/** The topic of these messages on the bus. */
export const peerTopic = 'presence';

/** A node lists the users of a room only if there are at most this many. */
export const maxListedUsers = 100;

const counter = z.int().nonnegative();

/** The users of one room on one node. */
export const NodePresence = z.object({
  room_id: RoomId,
  /** Increases with each state of the node. The bus is unordered, so receivers need it to recognize outdated states. */
  counter,
  count: counter,
  /** Missing if there are more than `maxListedUsers`. */
  users: z.array(Uuid).max(maxListedUsers).optional(),
});
export type NodePresence = z.infer<typeof NodePresence>;

/** What nodes send to each other about presence. */
export const PeerMessage = z.discriminatedUnion('kind', [
  /** Sent to all nodes after the start and whenever Redis is available again. Every node answers with `alive`. */
  z.object({ kind: z.literal('hello') }),
  /**
   * Sent to all nodes periodically. `sent` is the number of `states` that the sender has sent to each node, so that
   * nodes notice losses.
   */
  z.object({ kind: z.literal('alive'), sent: z.record(z.string(), counter) }),
  /** The sender wants the states of these rooms, now and whenever they change. */
  z.object({ kind: z.literal('watch'), counter, rooms: z.array(RoomId) }),
  z.object({ kind: z.literal('unwatch'), counter, rooms: z.array(RoomId) }),
  z.object({ kind: z.literal('states'), states: z.array(NodePresence) }),
  /** The sender is shutting down. */
  z.object({ kind: z.literal('bye') }),
]);
export type PeerMessage = z.infer<typeof PeerMessage>;
