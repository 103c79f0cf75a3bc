import { findBanEvent, toAuditFields } from '../../core/audit.ts';
import { service } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import { PermissionRuleEntity } from '../../core/log/permission-rule.entity.ts';
import { type RoomTransaction, withLockedRoom } from '../../core/log/room-transaction.ts';
import { toRule } from '../../core/log/to-protocol.ts';
import type { AppContext } from '../app-context.ts';
import { completePair, rethrowAsPairExists } from '../rooms/pairs.ts';
import type { PutRules } from './contract.ts';
import { planRules, type RuleDifference } from './plan-rules.ts';

/**
 * The maximum number of changes at once if somebody may be in the room. A client that was disconnected recovers up to 500
 * changes; after more, it has to load the room again.
 */
const maxChanges = 400;

export interface RuleCounts {
  added: number;
  changed: number;
  removed: number;
}

/** Gives the room the rules of the list, in one transaction. Only differences become changes. */
export async function putRules(
  context: AppContext,
  ref: RoomRef,
  { rules: wanted, replace }: PutRules,
): Promise<RuleCounts> {
  const snapshot = await context.log.snapshot(ref);
  if (!snapshot) throw new ChatError('NOT_FOUND');
  const isPair = snapshot.room.type === 'user2user';
  // Most calls of a backend that synchronizes its members change nothing, and need no lock.
  if (planRules(snapshot.rules, { wanted, replace, isPair }).length === 0) return countDifferences([]);
  const task = async (room: RoomTransaction) => {
    const differences = planRules(room.rules.map(toRule), { wanted, replace, isPair });
    if (isPair) assertPairRules(room, differences);
    await assertRuleCount(context, room, differences);
    if (differences.length > maxChanges && (await mayBeJoined(context, room))) {
      const message = `The list changes ${differences.length} rules of a room that has members in it; send at most ${maxChanges} changes at once`;
      throw new ChatError('TOO_MANY_CHANGES', { message });
    }
    for (const difference of differences) applyDifference(room, difference);
    return { room_id: room.entity.id, differences };
  };
  const grantees = replace ? 'all' : wanted.map(({ grantee }) => grantee);
  const { room_id, differences } = await withLockedRoom(context, service, ref, task, grantees).catch(
    rethrowAsPairExists,
  );
  for (const { before, after } of differences) {
    const ban = findBanEvent(before, after);
    const { entity_UUID: grantee, kind } = (after ?? before)!;
    if (ban) context.audit(ban, { ...toAuditFields(room_id, service), grantee, kind });
  }
  return countDifferences(differences);
}

function countDifferences(differences: readonly RuleDifference[]): RuleCounts {
  const added = differences.filter(({ before }) => !before).length;
  const removed = differences.filter(({ after }) => !after).length;
  return { added, changed: differences.length - added - removed, removed };
}

/** A `user2user` room has two users. If it has one so far, the first new rule names the other. */
function assertPairRules(room: RoomTransaction, differences: readonly RuleDifference[]): void {
  for (const { before, after } of differences) {
    if (before || !after) continue;
    const { pairLow, pairHigh, userOwner } = room.entity;
    const users = pairLow == null ? [userOwner] : [pairLow, pairHigh];
    if (users.includes(after.entity_UUID)) continue;
    if (pairLow != null) throw new ChatError('ROOM_FULL');
    completePair(room, after.entity_UUID);
  }
}

/** `max_entity_rules` does not bind the backend; the limit of the server does. */
async function assertRuleCount(
  { settings: { maxRulesPerRoom } }: AppContext,
  room: RoomTransaction,
  differences: readonly RuleDifference[],
): Promise<void> {
  const { added, removed } = countDifferences(differences);
  if (maxRulesPerRoom === 0 || added === 0) return;
  const count = (await room.countRules()) + added - removed;
  if (count <= maxRulesPerRoom) return;
  const message = `The room would have ${count} rules, more than MAX_RULES_PER_ROOM (${maxRulesPerRoom})`;
  throw new ChatError('TOO_MANY_RULES', { message });
}

/** Whether somebody has joined the room: a member has accepted, or a connection to this node is in the room. */
async function mayBeJoined({ feeds }: AppContext, { em, entity: room }: RoomTransaction): Promise<boolean> {
  if (feeds.find(room.id)?.isEmpty === false) return true;
  return (await em.findOne(PermissionRuleEntity, { room, accepted: true })) !== null;
}

function applyDifference(room: RoomTransaction, { before, after }: RuleDifference): void {
  const existing = before && room.findRule(before.entity_UUID);
  if (!existing) room.addRule(after!);
  else if (after) {
    const { entity_UUID: _, ...next } = after;
    room.changeRule(existing, next);
  } else room.removeRule(existing);
}
