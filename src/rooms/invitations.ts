import { ChatError } from '../protocol/errors.ts';
import type { RoomId, RoomRef } from '../protocol/identifiers.ts';
import type { AnswerInvitation, PermissionRule } from '../protocol/room.ts';
import type { PermissionRuleEntity } from '../store/permission-rule.entity.ts';
import { inLockedRoom, type LockedRoom } from './locked-room.ts';
import { type Actor, matchOf } from './permissions.ts';
import { ownershipOf, presentRuleEntity, ruleOf } from './present.ts';
import type { Rooms } from './rooms-context.ts';

/** Whoever answers for the organisation needs at least this level in it. */
const entityAnswerLevel = 100;

/** The grantee's yes or no, for himself or for his organisation. */
export function answerInvitation(
  rooms: Rooms,
  actor: Actor,
  ref: RoomRef,
  { accepted, use_parent_entity }: AnswerInvitation,
): Promise<PermissionRule> {
  return inLockedRoom(rooms, ref, (room) => {
    const rule = ruleNaming(room, actor, use_parent_entity ? 'entity' : 'user');
    if (!rule) throw new ChatError('NOT_FOUND');
    if (rule.permissions.includes('b')) throw new ChatError('BANNED');
    if (use_parent_entity && actor.level < Math.max(rule.level, entityAnswerLevel)) {
      throw new ChatError('FORBIDDEN', { message: 'Your level does not allow answering for the organisation' });
    }
    if (rule.accepted === accepted) return presentRuleEntity(rule);
    const before = ruleOf(rule);
    room.authorize(actor, { name: 'answer', before, after: { ...before, accepted } });
    return presentRuleEntity(room.changeRule(rule, { accepted }));
  });
}

/** Turns an unanswered invitation of the actor's own into a yes; false where there was none any more. */
export function acceptOwnInvitation(rooms: Rooms, actor: Actor, id: RoomId): Promise<boolean> {
  return inLockedRoom(rooms, id, (room) => {
    const rule = ruleNaming(room, actor, 'user');
    if (!rule || rule.accepted != null || room.verdictOn(actor).lack) return false;
    room.changeRule(rule, { accepted: true });
    return true;
  });
}

function ruleNaming(room: LockedRoom, actor: Actor, as: 'user' | 'entity'): PermissionRuleEntity | undefined {
  const ownership = ownershipOf(room.entity);
  const matches = room.rules.filter((rule) => matchOf(ruleOf(rule), actor, ownership) !== null);
  // Where user and organisation are one UUID, a rule of kind `any` is the rule of both.
  return matches.find((rule) => rule.grantee === actor[as] && rule.kind !== (as === 'user' ? 'entity' : 'user'));
}
