import { type Actor, matchOf, type RoomOwnership, type Rule } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { PermissionRuleEntity } from '../../core/log/permission-rule.entity.ts';
import { inLockedRoom, type LockedRoom } from '../../core/log/room-transaction.ts';
import { ownershipOf, presentRule, presentRuleEntity, ruleOf } from '../../core/log/to-protocol.ts';
import type { AnswerInvitation, PermissionRule } from '../../core/room.ts';
import { assertAllowed, knownRoom, type Rooms } from '../app-context.ts';

/** Whoever answers for the organisation needs at least this level in it. */
const entityAnswerLevel = 100;

/** The grantee's yes or no, for himself or for his organisation. */
export async function answerInvitation(
  rooms: Rooms,
  actor: Actor,
  ref: RoomRef,
  { accepted, use_parent_entity }: AnswerInvitation,
): Promise<PermissionRule> {
  const as = use_parent_entity ? 'entity' : 'user';
  const known = await knownRoom(rooms, actor, ref);
  const present = assertMayAnswer(
    known.rules.find((rule) => isNamed(rule, actor, known.room, as)),
    actor,
    as,
  );
  if (present.accepted === accepted) return presentRule(known.id, present);
  assertAllowed(actor, known, { name: 'answer', before: present, after: { ...present, accepted } });
  if (present.accepted !== null) rooms.requestLimits.takeOwnChange(actor.user, known.id);
  return inLockedRoom(rooms, ref, (room) => {
    const rule = assertMayAnswer(ruleNaming(room, actor, as), actor, as);
    if (rule.accepted === accepted) return presentRuleEntity(rule);
    const before = ruleOf(rule);
    room.authorize(actor, { name: 'answer', before, after: { ...before, accepted } });
    return presentRuleEntity(room.changeRule(rule, { accepted }));
  });
}

/** The rule, if there is one and the actor may answer for whom it names. */
function assertMayAnswer<R extends Pick<Rule, 'permissions' | 'level'>>(
  rule: R | undefined,
  actor: Actor,
  as: 'user' | 'entity',
): R {
  if (!rule) throw new ChatError('NOT_FOUND');
  if (rule.permissions.includes('b')) throw new ChatError('BANNED');
  if (as === 'entity' && actor.level < Math.max(rule.level, entityAnswerLevel)) {
    throw new ChatError('FORBIDDEN', { message: 'Your level does not allow answering for the organisation' });
  }
  return rule;
}

function ruleNaming(room: LockedRoom, actor: Actor, as: 'user' | 'entity'): PermissionRuleEntity | undefined {
  const ownership = ownershipOf(room.entity);
  return room.rules.find((rule) => isNamed(ruleOf(rule), actor, ownership, as));
}

/** Where user and organisation are one UUID, a rule of kind `any` is the rule of both. */
function isNamed(rule: Rule, actor: Actor, room: RoomOwnership, as: 'user' | 'entity'): boolean {
  const kind = as === 'user' ? 'entity' : 'user';
  return matchOf(rule, actor, room) !== null && rule.entity_UUID === actor[as] && rule.kind !== kind;
}
