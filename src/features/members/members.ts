import { findBanEvent, toAuditFields } from '../../core/audit.ts';
import { type Actor, can, matchRule, type RoomOwnership, type Rule, toDenialCode } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef, Uuid } from '../../core/ids.ts';
import type { PermissionRuleEntity } from '../../core/log/permission-rule.entity.ts';
import { type RoomTransaction, withLockedRoom } from '../../core/log/room-transaction.ts';
import { entityToPermissionRule, toPermissionRule, toRoomOwnership, toRule } from '../../core/log/to-protocol.ts';
import type { PermissionRule } from '../../core/room.ts';
import { type AppContext, assertAllowed, findRoom, requireRoom } from '../app-context.ts';
import { assertOtherUser, completePair, rethrowAsPairExists } from '../rooms/pairs.ts';
import type { PutMember } from './contract.ts';

export function listMembers(context: AppContext, actor: Actor, ref: RoomRef): Promise<PermissionRule[]> {
  return context.concurrentReads.run(actor.user, async () => {
    const { room, rules } = await requireRoom(context, actor, 'read', ref);
    return rules.map((rule) => toPermissionRule(room.id, rule));
  });
}

/** Adds or changes the rule of a grantee. Fields that are missing in the body remain unchanged. */
export async function putMember(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  body: PutMember,
): Promise<{ rule: PermissionRule; created: boolean }> {
  const grantee = (body.userUUID ?? body.entityUUID ?? body.entity_UUID)!;
  const { rules } = await requireRoom(context, actor, 'administer', ref);
  const isNew = rules.every(({ entity_UUID }) => entity_UUID !== grantee);
  if (isNew && grantee !== actor.user) context.requestLimits.consumeRule(actor.user, grantee);
  const task = async (room: RoomTransaction) => {
    room.requireAction(actor, 'administer');
    const existing = room.findRule(grantee);
    if (room.isPair) assertOtherUser(room, actor, grantee, body);
    const before = existing && toRule(existing);
    const rule = existing ? changeMember(room, actor, existing, body) : await addMember(room, actor, grantee, body);
    const ban = findBanEvent(before, rule);
    return { rule: entityToPermissionRule(rule), created: !existing, ban };
  };
  const { rule, created, ban } = await withLockedRoom(context, actor, ref, task, [grantee]).catch(rethrowAsPairExists);
  if (ban) context.audit(ban, { ...toAuditFields(rule.room_id, actor), grantee, kind: rule.kind });
  return { rule, created };
}

/** Removes a rule. Users leave a room by removing their own rule. */
export async function removeMember(context: AppContext, actor: Actor, ref: RoomRef, grantee: Uuid): Promise<void> {
  await assertMayRemove(context, actor, ref, grantee);
  const task = (room: RoomTransaction) => {
    const rule = room.findRule(grantee);
    const ownership = toRoomOwnership(room.entity);
    const isSelfRemoval = rule && isLeaving(toRule(rule), actor, ownership);
    if (!isSelfRemoval) room.requireAction(actor, 'administer');
    if (!rule) throw new ChatError('NOT_FOUND');
    room.assertAllowed(actor, {
      name: isSelfRemoval ? 'leave' : 'change rule',
      before: toRule(rule),
      after: undefined,
    });
    room.removeRule(rule);
    return { id: room.entity.id, ban: findBanEvent(rule, undefined), kind: rule.kind };
  };
  const { id, ban, kind } = await withLockedRoom(context, actor, ref, task, [grantee]);
  if (ban) context.audit(ban, { ...toAuditFields(id, actor), grantee, kind });
}

async function assertMayRemove(context: AppContext, actor: Actor, ref: RoomRef, grantee: Uuid): Promise<void> {
  const { id, room, rules, decision } = await findRoom(context, actor, ref);
  const rule = rules.find(({ entity_UUID }) => entity_UUID === grantee);
  const isSelfRemoval = rule && isLeaving(rule, actor, room);
  if (!isSelfRemoval && !can(decision, 'administer')) throw new ChatError(toDenialCode(decision));
  if (!rule) throw new ChatError('NOT_FOUND');
  assertAllowed(
    actor,
    { room, rules },
    { name: isSelfRemoval ? 'leave' : 'change rule', before: rule, after: undefined },
  );
  if (isSelfRemoval) context.requestLimits.consumeOwnChange(actor.user, id);
}

/** Whether the actor leaves the room by removing this rule. Users cannot leave to get rid of a ban. */
function isLeaving(rule: Rule, actor: Actor, room: RoomOwnership): boolean {
  return !rule.permissions.includes('b') && matchRule(rule, actor, room) === 'user';
}

async function addMember(
  room: RoomTransaction,
  actor: Actor,
  grantee: Uuid,
  body: PutMember,
): Promise<PermissionRuleEntity> {
  if (body.permissions === undefined) {
    throw new ChatError('BAD_REQUEST', { field: 'permissions', message: 'is required for a new rule' });
  }
  const maxRules = room.entity.maxEntityRules;
  if ((await room.countRules()) >= maxRules) {
    throw new ChatError('TOO_MANY_RULES', {
      message: `The room has reached its limit of ${maxRules} rules; remove a rule, or raise max_entity_rules with PATCH /rooms/:id`,
    });
  }
  if (room.isPair) completePair(room, grantee);
  const { permissions, level = 0 } = body;
  const rule: Rule = {
    entity_UUID: grantee,
    kind: resolveKind(room, body) ?? 'any',
    permissions,
    level,
    accepted: null,
  };
  room.assertAllowed(actor, { name: 'change rule', before: undefined, after: rule });
  return room.addRule(rule);
}

function changeMember(
  room: RoomTransaction,
  actor: Actor,
  existing: PermissionRuleEntity,
  body: PutMember,
): PermissionRuleEntity {
  const before = toRule(existing);
  const kind = resolveKind(room, body) ?? before.kind;
  if (before.kind !== 'any' && kind !== before.kind) {
    const field = kind === 'user' ? 'userUUID' : 'entityUUID';
    throw new ChatError('BAD_REQUEST', {
      field,
      message: `already has a rule of kind ${before.kind}; remove it first`,
    });
  }
  const next: Rule = {
    ...before,
    kind,
    permissions: body.permissions ?? before.permissions,
    level: body.level ?? before.level,
  };
  const isSame = next.kind === before.kind && next.permissions === before.permissions && next.level === before.level;
  if (isSame) return existing;
  room.assertAllowed(actor, { name: 'change rule', before, after: next });
  const { permissions, level } = next;
  return room.changeRule(existing, { kind, permissions, level });
}

/** Returns undefined for `entity_UUID`: this field, which older clients use, may be the UUID of a user or an entity. */
function resolveKind(room: RoomTransaction, body: PutMember): Rule['kind'] | undefined {
  if (room.isPair || body.userUUID) return 'user';
  return body.entityUUID ? 'entity' : undefined;
}
