import { UniqueConstraintViolationException } from '@mikro-orm/core';
import type { Actor } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { Uuid } from '../../core/ids.ts';
import { readLastGrant } from '../../core/log/last-grant.ts';
import type { RoomTransaction } from '../../core/log/room-transaction.ts';
import type { PutMember } from '../../core/room.ts';

/** The two users in the order in which they are unique. */
export function orderPair(userA: Uuid, userB: Uuid): { pairLow: Uuid; pairHigh: Uuid } {
  return userA < userB ? { pairLow: userA, pairHigh: userB } : { pairLow: userB, pairHigh: userA };
}

/** `PUT members` in a user2user room names the other user: the second one, once there are two. */
export function assertOtherUser({ entity }: RoomTransaction, actor: Actor, grantee: Uuid, body: PutMember): void {
  if (body.entityUUID) {
    throw new ChatError('BAD_REQUEST', { field: 'entityUUID', message: 'a user2user room has users only' });
  }
  if (grantee === actor.user) {
    const field = body.userUUID ? 'userUUID' : 'entity_UUID';
    throw new ChatError('BAD_REQUEST', { field, message: 'must be the other user, not oneself' });
  }
  const isComplete = entity.pairLow != null;
  if (isComplete && grantee !== entity.pairLow && grantee !== entity.pairHigh) throw new ChatError('ROOM_FULL');
}

/** The first two users are the pair of the room for life. */
export function completePair({ entity }: RoomTransaction, second: Uuid): void {
  if (entity.pairLow == null) Object.assign(entity, orderPair(entity.userOwner, second));
}

export const createPairBanError = () =>
  new ChatError('FORBIDDEN', { message: 'You are banned from the room of this pair' });

/** Two users have one room: the database keeps that, whoever was quicker. */
export function rethrowAsPairExists(error: unknown): never {
  if (isPairViolation(error)) throw new ChatError('PAIR_EXISTS', { cause: error });
  throw error;
}

export function isPairViolation(error: unknown): boolean {
  return error instanceof UniqueConstraintViolationException && error.message.includes('rooms_pair_unique');
}

/**
 * The caller's access to the pair as it was: what their rule says, or what it said when they left. Otherwise, leaving
 * and returning would be a way to `rwa`.
 */
export async function restoreAccess(room: RoomTransaction, user: Uuid): Promise<void> {
  const ownRule = room.findRule(user);
  if (!ownRule) {
    const permissions = (await readLastGrant(room.em, room.entity.id, user)) ?? 'rwa';
    room.addRule({ entity_UUID: user, kind: 'user', permissions, level: 0, accepted: true });
  } else if (ownRule.permissions.includes('b')) throw createPairBanError();
  else if (ownRule.accepted === false) room.changeRule(ownRule, { accepted: true });
}
