import { UniqueConstraintViolationException } from '@mikro-orm/core';
import type { Actor } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { Uuid } from '../../core/ids.ts';
import { readLastGrant } from '../../core/log/last-grant.ts';
import type { RoomTransaction } from '../../core/log/room-transaction.ts';
import type { PutMember } from '../members/contract.ts';

/** Sorts the two users, because the unique constraint on pairs requires a fixed order. */
export function orderPair(userA: Uuid, userB: Uuid): { pairLow: Uuid; pairHigh: Uuid } {
  return userA < userB ? { pairLow: userA, pairHigh: userB } : { pairLow: userB, pairHigh: userA };
}

/**
 * Throws if the actor of a `user2user` room wants to set any rule except the rule of the other user: their own rule, the
 * rule of an organisation, or the rule of a third user.
 */
export function assertOtherUser({ entity }: RoomTransaction, actor: Actor, grantee: Uuid, body: PutMember): void {
  if (body.entityUUID) {
    throw new ChatError('BAD_REQUEST', {
      field: 'entityUUID',
      message: 'must not be given for a user2user room, which has users only',
    });
  }
  if (grantee === actor.user) {
    const field = body.userUUID ? 'userUUID' : 'entity_UUID';
    throw new ChatError('BAD_REQUEST', { field, message: 'must be the other user, not yourself' });
  }
  const isComplete = entity.pairLow != null;
  if (isComplete && grantee !== entity.pairLow && grantee !== entity.pairHigh) throw new ChatError('ROOM_FULL');
}

/** If the room has no second user yet, the grantee becomes the second user. A pair never changes after that. */
export function completePair({ entity }: RoomTransaction, grantee: Uuid): void {
  if (entity.pairLow == null) Object.assign(entity, orderPair(entity.userOwner, grantee));
}

export const createPairBanError = () =>
  new ChatError('FORBIDDEN', { message: 'You are banned from the room of these two users' });

/** Throws `PAIR_EXISTS` instead of a violation of the unique constraint on pairs. Rethrows any other error. */
export function rethrowAsPairExists(error: unknown): never {
  if (isPairViolation(error)) throw new ChatError('PAIR_EXISTS', { cause: error });
  throw error;
}

export function isPairViolation(error: unknown): boolean {
  return error instanceof UniqueConstraintViolationException && error.message.includes('rooms_pair_unique');
}

/**
 * Lets a user return to a `user2user` room with the rights that they had last. With default rights instead, users could
 * leave and return to regain rights that the other user had revoked.
 */
export async function restoreAccess(room: RoomTransaction, user: Uuid): Promise<void> {
  const ownRule = room.findRule(user);
  if (!ownRule) {
    const permissions = (await readLastGrant(room.em, room.entity.id, user)) ?? 'rwa';
    room.addRule({ entity_UUID: user, kind: 'user', permissions, level: 0, accepted: true });
  } else if (ownRule.permissions.includes('b')) throw createPairBanError();
  else if (ownRule.accepted === false) room.changeRule(ownRule, { accepted: true });
}
