import { auditedRoom, banEvent } from '../../core/audit.ts';
import { type Actor, matchOf, may, type RoomOwnership, type Rule, refusalOf } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef, Uuid } from '../../core/ids.ts';
import type { PermissionRuleEntity } from '../../core/log/permission-rule.entity.ts';
import { inLockedRoom, type LockedRoom } from '../../core/log/room-transaction.ts';
import { ownershipOf, presentRule, presentRuleEntity, ruleOf } from '../../core/log/to-protocol.ts';
import type { PermissionRule, PutMember } from '../../core/room.ts';
import { assertAllowed, knownRoom, type Rooms, roomFor } from '../app-context.ts';
import { assertOfPair, completePair, pairExists } from '../rooms/pairs.ts';

export function listMembers(rooms: Rooms, actor: Actor, ref: RoomRef): Promise<PermissionRule[]> {
  return rooms.reads.run(actor.user, async () => {
    const { room, rules } = await roomFor(rooms, actor, 'read', ref);
    return rules.map((rule) => presentRule(room.id, rule));
  });
}

/** Adds a rule or changes the one there is; what the body does not name stays as it is. */
export async function putMember(
  rooms: Rooms,
  actor: Actor,
  ref: RoomRef,
  body: PutMember,
): Promise<{ rule: PermissionRule; created: boolean }> {
  const grantee = (body.userUUID ?? body.entityUUID ?? body.entity_UUID)!;
  const { rules } = await roomFor(rooms, actor, 'administer', ref);
  const isNew = rules.every(({ entity_UUID }) => entity_UUID !== grantee);
  if (isNew && grantee !== actor.user) rooms.requestLimits.takeRule(actor.user, grantee);
  const task = (room: LockedRoom) => {
    room.demand(actor, 'administer');
    const existing = room.ruleFor(grantee);
    if (room.isPair) assertOfPair(room, actor, grantee, body);
    const before = existing && ruleOf(existing);
    const rule = existing ? changeMember(room, actor, existing, body) : addMember(room, actor, grantee, body);
    const ban = banEvent(before, rule);
    return { rule: presentRuleEntity(rule), created: !existing, ban };
  };
  const { ban, ...put } = await inLockedRoom(rooms, ref, task).catch(pairExists);
  if (ban) rooms.audit(ban, { ...auditedRoom(put.rule.room_id, actor), grantee, kind: put.rule.kind });
  return put;
}

/** Takes a rule away; one's own is leaving. */
export async function removeMember(rooms: Rooms, actor: Actor, ref: RoomRef, grantee: Uuid): Promise<void> {
  await assertMayRemove(rooms, actor, ref, grantee);
  const { id, ban, kind } = await inLockedRoom(rooms, ref, (room) => {
    const rule = room.ruleFor(grantee);
    const ownership = ownershipOf(room.entity);
    const leaving = rule && isLeaving(ruleOf(rule), actor, ownership);
    if (!leaving) room.demand(actor, 'administer');
    if (!rule) throw new ChatError('NOT_FOUND');
    room.authorize(actor, { name: leaving ? 'leave' : 'change rule', before: ruleOf(rule), after: undefined });
    room.removeRule(rule);
    return { id: room.entity.id, ban: banEvent(rule, undefined), kind: rule.kind };
  });
  if (ban) rooms.audit(ban, { ...auditedRoom(id, actor), grantee, kind });
}

async function assertMayRemove(rooms: Rooms, actor: Actor, ref: RoomRef, grantee: Uuid): Promise<void> {
  const { id, room, rules, verdict } = await knownRoom(rooms, actor, ref);
  const rule = rules.find(({ entity_UUID }) => entity_UUID === grantee);
  const leaving = rule && isLeaving(rule, actor, room);
  if (!leaving && !may(verdict, 'administer')) throw new ChatError(refusalOf(verdict));
  if (!rule) throw new ChatError('NOT_FOUND');
  assertAllowed(actor, { room, rules }, { name: leaving ? 'leave' : 'change rule', before: rule, after: undefined });
  if (leaving) rooms.requestLimits.takeOwnChange(actor.user, id);
}

/** Everybody may take their own rule away, unless it bans them. */
function isLeaving(rule: Rule, actor: Actor, room: RoomOwnership): boolean {
  return !rule.permissions.includes('b') && matchOf(rule, actor, room) === 'user';
}

function addMember(room: LockedRoom, actor: Actor, grantee: Uuid, body: PutMember): PermissionRuleEntity {
  if (body.permissions === undefined) {
    throw new ChatError('BAD_REQUEST', { field: 'permissions', message: 'is needed for a new rule' });
  }
  const most = room.entity.maxEntityRules;
  if (room.rules.length >= most) {
    throw new ChatError('TOO_MANY_RULES', {
      message: `This room has ${most} rules, its max_entity_rules; PATCH /rooms/:id raises that`,
    });
  }
  if (room.isPair) completePair(room, grantee);
  const { permissions, level = 0 } = body;
  const rule: Rule = { entity_UUID: grantee, kind: kindOf(room, body) ?? 'any', permissions, level, accepted: null };
  room.authorize(actor, { name: 'change rule', before: undefined, after: rule });
  return room.addRule(rule);
}

function changeMember(
  room: LockedRoom,
  actor: Actor,
  existing: PermissionRuleEntity,
  body: PutMember,
): PermissionRuleEntity {
  const before = ruleOf(existing);
  const kind = kindOf(room, body) ?? before.kind;
  if (before.kind !== 'any' && kind !== before.kind) {
    const field = kind === 'user' ? 'userUUID' : 'entityUUID';
    throw new ChatError('BAD_REQUEST', { field, message: `has a rule as ${before.kind}; remove that first` });
  }
  const next: Rule = {
    ...before,
    kind,
    permissions: body.permissions ?? before.permissions,
    level: body.level ?? before.level,
  };
  const same = next.kind === before.kind && next.permissions === before.permissions && next.level === before.level;
  if (same) return existing;
  room.authorize(actor, { name: 'change rule', before, after: next });
  const { permissions, level } = next;
  return room.changeRule(existing, { kind, permissions, level });
}

/** The plain `entity_UUID` of older clients names no kind. */
function kindOf(room: LockedRoom, body: PutMember): Rule['kind'] | undefined {
  if (room.isPair || body.userUUID) return 'user';
  return body.entityUUID ? 'entity' : undefined;
}
