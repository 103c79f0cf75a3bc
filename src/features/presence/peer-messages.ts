import { z } from 'zod';
import { RoomId, Uuid } from '../../core/ids.ts';

/** A node names its users of a room only up to this number. */
export const maxListedUsers = 100;

const counter = z.int().nonnegative();

/** The users of one room on one node. */
export const NodePresence = z.object({
  room_id: RoomId,
  /** Larger for a later state of the same node, because the bus is unordered. */
  counter,
  count: counter,
  /** Missing if they are more than `maxListedUsers`. */
  users: z.array(Uuid).max(maxListedUsers).optional(),
});
export type NodePresence = z.infer<typeof NodePresence>;

/** What nodes send to each other about presence. */
export const PeerMessage = z.discriminatedUnion('kind', [
  /** To all, after the start and whenever Redis is available again: every node answers with `alive`. */
  z.object({ kind: z.literal('hello') }),
  /** To all, periodically. `sent` is how many `states` the sender has sent to each node, so that a loss is noticed. */
  z.object({ kind: z.literal('alive'), sent: z.record(z.string(), counter) }),
  /** The sender wants the states of these rooms, now and whenever they change. */
  z.object({ kind: z.literal('watch'), counter, rooms: z.array(RoomId) }),
  z.object({ kind: z.literal('unwatch'), counter, rooms: z.array(RoomId) }),
  z.object({ kind: z.literal('states'), states: z.array(NodePresence) }),
  /** The sender ends. */
  z.object({ kind: z.literal('bye') }),
]);
export type PeerMessage = z.infer<typeof PeerMessage>;
