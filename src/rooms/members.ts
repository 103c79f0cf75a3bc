import { ChatError } from '../protocol/errors.ts';
import type { RoomRef, Uuid } from '../protocol/identifiers.ts';
import type { PermissionRule, PutMember } from '../protocol/room.ts';
import type { PermissionRuleEntity } from '../store/permission-rule.entity.ts';
import { inLockedRoom, type LockedRoom } from './locked-room.ts';
import { allowPairChange, completePair, pairExists } from './pairs.ts';
import { type Actor, administers, administersAsOwner, matchOf, type Rule } from './permissions.ts';
import { ownershipOf, presentRule, presentRuleEntity, ruleOf } from './present.ts';
import { type Rooms, roomFor } from './rooms-context.ts';

export async function listMembers(rooms: Rooms, actor: Actor, ref: RoomRef): Promise<PermissionRule[]> {
  const { room, rules } = await roomFor(rooms, actor, 'read', ref);
  return rules.map((rule) => presentRule(room.id, rule));
}

/** Adds a rule or changes the one there is; what the body does not name stays as it is. */
export async function putMember(
  rooms: Rooms,
  actor: Actor,
  ref: RoomRef,
  body: PutMember,
): Promise<{ rule: PermissionRule; created: boolean }> {
  const grantee = (body.userUUID ?? body.entityUUID ?? body.entity_UUID)!;
  const task = (room: LockedRoom) => {
    room.demand(actor, 'administer');
    const existing = room.ruleFor(grantee);
    if (room.isPair) allowPairChange(room, actor, grantee, body);
    const rule = existing ? changeMember(room, actor, existing, body) : addMember(room, actor, grantee, body);
    return { rule: presentRuleEntity(rule), created: !existing };
  };
  return inLockedRoom(rooms, ref, task).catch(pairExists);
}

/** Takes a rule away; one's own is leaving. */
export function removeMember(rooms: Rooms, actor: Actor, ref: RoomRef, grantee: Uuid): Promise<void> {
  return inLockedRoom(rooms, ref, (room) => {
    const rule = room.ruleFor(grantee);
    const ownership = ownershipOf(room.entity);
    const leaving = rule && !rule.permissions.includes('b') && matchOf(ruleOf(rule), actor, ownership) === 'user';
    if (!leaving) room.demand(actor, 'administer');
    if (!rule) throw new ChatError('NOT_FOUND');
    if (!leaving && room.isPair) throw new ChatError('FORBIDDEN', { message: 'Neither of the two removes the other' });
    guardOwner(room, actor, rule, undefined);
    keepAnAdministrator(room, actor, rule, undefined);
    room.removeRule(rule);
  });
}

function addMember(room: LockedRoom, actor: Actor, grantee: Uuid, body: PutMember): PermissionRuleEntity {
  if (body.permissions === undefined) {
    throw new ChatError('BAD_REQUEST', { field: 'permissions', message: 'is needed for a new rule' });
  }
  const most = room.entity.maxEntityRules;
  if (room.rules.length >= most) {
    throw new ChatError('TOO_MANY_RULES', { message: `This room has ${most} rules, as many as it may have` });
  }
  if (room.isPair) completePair(room, grantee);
  const { permissions, level = 0 } = body;
  const rule: Rule = { entity_UUID: grantee, kind: kindOf(room, body) ?? 'any', permissions, level, accepted: null };
  guardOwner(room, actor, undefined, rule);
  keepAnAdministrator(room, actor, undefined, rule);
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
  guardOwner(room, actor, existing, next);
  keepAnAdministrator(room, actor, existing, next);
  const { permissions, level } = next;
  return room.changeRule(existing, { kind, permissions, level });
}

/** The plain `entity_UUID` of older clients names no kind. */
function kindOf(room: LockedRoom, body: PutMember): Rule['kind'] | undefined {
  if (room.isPair || body.userUUID) return 'user';
  return body.entityUUID ? 'entity' : undefined;
}

/**
 * The user owner's `a` falls only to himself or to an owner administrator: by a change of his rule, or by a ban of the
 * organisation he came from. `rule` becomes `next`; undefined: there is none.
 */
function guardOwner(
  room: LockedRoom,
  actor: Actor,
  rule: PermissionRuleEntity | undefined,
  next: Rule | undefined,
): void {
  const owner = room.entity.userOwner;
  if (actor.user === owner || administersAsOwner(actor, ownershipOf(room.entity))) return;
  const before = room.rules.map(ruleOf);
  const after = rulesAfter(room, rule, next);
  const isAdmin = (rules: Rule[]) => administratorsOf(room, actor, rules).some((one) => one.entity_UUID === owner);
  if (!isAdmin(before) || isAdmin(after)) return;
  throw new ChatError('FORBIDDEN', { message: "Only the room's owner gives up his own administration" });
}

/** The last rule that lets somebody administer stays. `rule` becomes `next`; undefined: there is none. */
export function keepAnAdministrator(
  room: LockedRoom,
  actor: Actor,
  rule: PermissionRuleEntity | undefined,
  next: Rule | undefined,
): void {
  const before = administratorsOf(room, actor, room.rules.map(ruleOf));
  const after = administratorsOf(room, actor, rulesAfter(room, rule, next));
  if (before.length > 0 && after.length === 0) throw new ChatError('LAST_ADMIN');
}

function rulesAfter(room: LockedRoom, rule: PermissionRuleEntity | undefined, next: Rule | undefined): Rule[] {
  const others = room.rules.filter((other) => other !== rule).map(ruleOf);
  return next ? [...others, next] : others;
}

/**
 * The rules that let somebody administer. Whose organisation is banned is known of two users only, the owner and who
 * asks; and only these two are known to be users where a rule is said to be an organisation's.
 */
function administratorsOf({ entity }: LockedRoom, { user, entity: organisation }: Actor, rules: Rule[]): Rule[] {
  const homes = new Map([
    [entity.userOwner, entity.userOwnerEntity],
    [user, organisation],
  ]);
  const banned = new Set<string>();
  for (const rule of rules) if (rule.kind !== 'user' && rule.permissions.includes('b')) banned.add(rule.entity_UUID);
  return rules.filter((rule) => {
    if (!administers(rule)) return false;
    const home = homes.get(rule.entity_UUID);
    if (home === undefined) return true;
    return rule.kind !== 'entity' && !(home && banned.has(home));
  });
}
