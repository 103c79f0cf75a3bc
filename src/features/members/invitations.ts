import { type Actor, matchRule, type RoomOwnership, type Rule } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { PermissionRuleEntity } from '../../core/log/permission-rule.entity.ts';
import { type RoomTransaction, withLockedRoom } from '../../core/log/room-transaction.ts';
import { entityToPermissionRule, toPermissionRule, toRoomOwnership, toRule } from '../../core/log/to-protocol.ts';
import type { PermissionRule } from '../../core/room.ts';
import { type AppContext, assertAllowed, findRoom } from '../app-context.ts';
import type { AnswerInvitation } from './contract.ts';

/** The minimum level that allows a user to answer for their organisation. */
const entityAnswerLevel = 100;

/** Accepts or declines the actor's rule, or the rule of their organisation. */
export async function answerInvitation(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  { accepted, use_parent_entity }: AnswerInvitation,
): Promise<PermissionRule> {
  const principal = use_parent_entity ? 'entity' : 'user';
  const snapshot = await findRoom(context, actor, ref);
  const current = assertMayAnswer(
    snapshot.rules.find((rule) => isNamed(rule, actor, snapshot.room, principal)),
    actor,
    principal,
  );
  if (current.accepted === accepted) return toPermissionRule(snapshot.id, current);
  assertAllowed(actor, snapshot, { name: 'answer', before: current, after: { ...current, accepted } });
  if (current.accepted !== null) context.requestLimits.consumeOwnChange(actor.user, snapshot.id);
  return withLockedRoom(context, actor, ref, (room) => {
    const rule = assertMayAnswer(findRuleNaming(room, actor, principal), actor, principal);
    if (rule.accepted === accepted) return entityToPermissionRule(rule);
    const before = toRule(rule);
    room.assertAllowed(actor, { name: 'answer', before, after: { ...before, accepted } });
    return entityToPermissionRule(room.changeRule(rule, { accepted }));
  });
}

/** Returns the rule. Throws if it does not exist or the actor may not answer it. */
function assertMayAnswer<R extends Pick<Rule, 'permissions' | 'level'>>(
  rule: R | undefined,
  actor: Actor,
  principal: 'user' | 'entity',
): R {
  if (!rule) throw new ChatError('NOT_FOUND');
  if (rule.permissions.includes('b')) throw new ChatError('BANNED');
  if (principal === 'entity' && actor.level < Math.max(rule.level, entityAnswerLevel)) {
    throw new ChatError('FORBIDDEN', {
      message: `Answering for the organisation requires levelOnEntity ${Math.max(rule.level, entityAnswerLevel)}`,
    });
  }
  return rule;
}

function findRuleNaming(
  room: RoomTransaction,
  actor: Actor,
  principal: 'user' | 'entity',
): PermissionRuleEntity | undefined {
  const ownership = toRoomOwnership(room.entity);
  return room.rules.find((rule) => isNamed(toRule(rule), actor, ownership, principal));
}

/** A rule of kind `any` names both the user and the organisation if they have the same UUID. */
function isNamed(rule: Rule, actor: Actor, room: RoomOwnership, principal: 'user' | 'entity'): boolean {
  const otherKind = principal === 'user' ? 'entity' : 'user';
  return matchRule(rule, actor, room) !== null && rule.entity_UUID === actor[principal] && rule.kind !== otherKind;
}
