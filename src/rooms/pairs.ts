import { UniqueConstraintViolationException } from '@mikro-orm/core';
import { ChatError } from '../protocol/errors.ts';
import type { Uuid } from '../protocol/identifiers.ts';
import type { PutMember } from '../protocol/room.ts';
import type { LockedRoom } from './locked-room.ts';
import type { Actor } from './permissions.ts';

/** The two users in the order in which they are unique. */
export function pairOf(one: Uuid, other: Uuid): { pairLow: Uuid; pairHigh: Uuid } {
  return one < other ? { pairLow: one, pairHigh: other } : { pairLow: other, pairHigh: one };
}

/** What `PUT members` may do in a user2user room: bring in the second user, or give the other one more. */
export function allowPairChange(room: LockedRoom, actor: Actor, grantee: Uuid, body: PutMember): void {
  const { entity, rules } = room;
  if (body.entityUUID) {
    throw new ChatError('BAD_REQUEST', { field: 'entityUUID', message: 'a user2user room has users only' });
  }
  if (grantee === actor.user) {
    const field = body.userUUID ? 'userUUID' : 'entity_UUID';
    throw new ChatError('BAD_REQUEST', { field, message: 'must be the other user, not oneself' });
  }
  const isComplete = entity.pairLow != null;
  if (isComplete && grantee !== entity.pairLow && grantee !== entity.pairHigh) throw new ChatError('ROOM_FULL');
  const had = rules.find((rule) => rule.grantee === grantee)?.permissions ?? '';
  const has = body.permissions ?? had;
  const takesAway = [...had].some((letter) => !has.includes(letter));
  if (takesAway || has.includes('b')) {
    throw new ChatError('FORBIDDEN', { message: 'Neither of the two bans the other or takes rights away' });
  }
}

/** The first two users are the pair of the room for life. */
export function completePair({ entity }: LockedRoom, second: Uuid): void {
  if (entity.pairLow == null) Object.assign(entity, pairOf(entity.userOwner, second));
}

/** Two users have one room: the database keeps that, whoever was quicker. */
export function pairExists(error: unknown): never {
  if (isPairViolation(error)) throw new ChatError('PAIR_EXISTS', { cause: error });
  throw error;
}

export function isPairViolation(error: unknown): boolean {
  return error instanceof UniqueConstraintViolationException && error.message.includes('rooms_pair_unique');
}
