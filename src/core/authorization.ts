import type { ErrorCode, RemovalCode } from './errors.ts';
import type { Uuid } from './ids.ts';
import type { RoomType, RuleKind } from './room.ts';

/** Who asks, as the token claims. */
export interface Actor {
  user: Uuid;
  entity: Uuid | null;
  level: number;
  mayCreateRooms: boolean;
}

/** What of a room bears on rights. */
export interface RoomOwnership {
  type: RoomType;
  user_owner: Uuid;
  entity_owner: Uuid | null;
  level_admin: number;
}

export interface Rule {
  entity_UUID: Uuid;
  kind: RuleKind;
  permissions: string;
  level: number;
  /** null: not answered, and as good as yes. */
  accepted: boolean | null;
}

export type Action = 'read' | 'write' | 'administer';

export interface Decision {
  /** The letters of `rwa` that the actor has. */
  rights: string;
  /** Why the actor cannot read; null where he can. */
  denialReason: Exclude<RemovalCode, 'ROOM_DELETED'> | null;
}

const letterByAction = { read: 'r', write: 'w', administer: 'a' } as const;

/**
 * The one decision on rights. A ban beats every grant; only the owner administrators stand above the rules. The ban of
 * an organisation does not reach the user owner, whichever organisation they are in: only a rule that names them does.
 */
export function authorize(actor: Actor, room: RoomOwnership, rules: Iterable<Rule>): Decision {
  if (administersAsOwner(actor, room)) return { rights: 'rwa', denialReason: null };
  const granted = new Set<string>();
  let denialReason: Decision['denialReason'] = 'RULE_REMOVED';
  for (const rule of rules) {
    const match = matchRule(rule, actor, room);
    if (!match) continue;
    if (rule.permissions.includes('b')) {
      if (match === 'entity' && actor.user === room.user_owner) continue;
      return { rights: '', denialReason: 'BANNED' };
    }
    if (rule.accepted === false) denialReason = 'DECLINED';
    else if (match === 'entity' && actor.level < rule.level)
      denialReason = denialReason === 'DECLINED' ? denialReason : 'LEVEL_TOO_LOW';
    else for (const letter of rule.permissions) granted.add(letter);
  }
  const rights = granted.has('a') ? 'rwa' : [...'rw'].filter((letter) => granted.has(letter)).join('');
  if (rights.includes('r')) return { rights, denialReason: null };
  return { rights, denialReason: rights ? 'NO_READ' : denialReason };
}

export function can(decision: Decision, action: Action): boolean {
  return decision.rights.includes(letterByAction[action]);
}

/** What to answer to one who may not: a room that nothing leads to does not exist for him. */
export function toDenialCode(decision: Decision): ErrorCode {
  if (decision.denialReason === 'BANNED') return 'BANNED';
  return decision.denialReason === 'RULE_REMOVED' ? 'NOT_FOUND' : 'FORBIDDEN';
}

export function administersAsOwner(actor: Actor, room: RoomOwnership): boolean {
  return (
    room.type === 'group' &&
    room.entity_owner !== null &&
    room.entity_owner === actor.entity &&
    actor.level >= room.level_admin
  );
}

/** Whether a rule names the actor: himself, or his organisation, which only a group's rules can. */
export function matchRule(
  rule: Pick<Rule, 'entity_UUID' | 'kind'>,
  actor: Actor,
  room: RoomOwnership,
): 'user' | 'entity' | null {
  if (rule.entity_UUID === actor.user && rule.kind !== 'entity') return 'user';
  if (rule.entity_UUID === actor.entity && rule.kind !== 'user' && room.type === 'group') return 'entity';
  return null;
}

/** The order of power in a room, lowest first. Nobody takes power from someone above. */
const powerOrder = ['none', 'administrator', 'user owner', 'owner administrator'] as const;
export type Power = (typeof powerOrder)[number];

export function determinePower(actor: Actor, room: RoomOwnership, rules: Iterable<Rule>): Power {
  if (administersAsOwner(actor, room)) return 'owner administrator';
  if (!can(authorize(actor, room, rules), 'administer')) return 'none';
  return actor.user === room.user_owner ? 'user owner' : 'administrator';
}

const isAtLeast = (power: Power, minPower: Power) => powerOrder.indexOf(power) >= powerOrder.indexOf(minPower);

/** A change of a room that somebody wants to make. Rules are given before and after it; undefined: there is none. */
export type AdministrativeAction =
  | { name: 'rename' | 'change max_entity_rules' | 'delete' }
  | { name: 'change level_admin'; to: number }
  | { name: 'change rule'; before: Rule | undefined; after: Rule | undefined }
  /** The grantee gives up their own rule. */
  | { name: 'leave'; before: Rule; after: undefined }
  /** The grantee accepts or declines. */
  | { name: 'answer'; before: Rule; after: Rule };

export interface Denial {
  code: ErrorCode;
  message?: string;
}

/** The one decision on changes of a room: what speaks against it; undefined: it is allowed. */
export function findDenial(
  actor: Actor,
  room: RoomOwnership,
  rules: readonly Rule[],
  action: AdministrativeAction,
): Denial | undefined {
  if (action.name === 'leave' || action.name === 'answer') return findLastAdminDenial(actor, room, rules, action);
  const decision = authorize(actor, room, rules);
  if (!can(decision, 'administer')) return { code: toDenialCode(decision) };
  const power = determinePower(actor, room, rules);
  switch (action.name) {
    case 'rename':
      return undefined;
    case 'delete':
    case 'change max_entity_rules':
      return isHighest(power, room, rules) ? undefined : denyForbidden(`Only ${ownersOnly} may ${action.name} here`);
    case 'change level_admin':
      return findLevelDenial(actor, room, power, action.to);
    case 'change rule':
      return (
        (room.type === 'user2user' ? findPairDenial(actor, action) : findOwnerDenial(room, power, action)) ??
        findLastAdminDenial(actor, room, rules, action)
      );
  }
}

const ownersOnly = 'the user owner and owner administrators';
const denyForbidden = (message: string): Denial => ({ code: 'FORBIDDEN', message });

/** Nobody above. Both of a pair own it; in a group whose owners are gone, those who still administer it do. */
function isHighest(power: Power, room: RoomOwnership, rules: readonly Rule[]): boolean {
  if (isAtLeast(power, 'user owner') || room.type === 'user2user') return true;
  return room.entity_owner === null && !rules.some((rule) => namesOwner(rule, room) && administers(rule));
}

/** Whoever sets the level stays at or above it, so nobody locks out everybody. */
function findLevelDenial(actor: Actor, room: RoomOwnership, power: Power, to: number): Denial | undefined {
  if (!isAtLeast(power, 'user owner')) return denyForbidden(`level_admin: only ${ownersOnly} may change it`);
  if (room.entity_owner === null) return undefined;
  if (actor.entity !== room.entity_owner) {
    return denyForbidden('level_admin: only members of the owning organisation may change it');
  }
  if (to > actor.level) return denyForbidden(`level_admin: must be at most your own levelOnEntity, ${actor.level}`);
  return undefined;
}

interface RuleChange {
  before: Rule | undefined;
  after: Rule | undefined;
}

function findPairDenial(actor: Actor, { before, after }: RuleChange): Denial | undefined {
  if ((before ?? after)?.entity_UUID === actor.user) return undefined;
  if (!after) return denyForbidden('Neither of the two removes the other');
  const revokes = [...(before?.permissions ?? '')].some((letter) => !after.permissions.includes(letter));
  if (!revokes && !after.permissions.includes('b')) return undefined;
  return denyForbidden('Neither of the two bans the other or takes rights away');
}

/** The user owner's own rule loses its `a` only to themselves or to an owner administrator; a ban counts as that. */
function findOwnerDenial(room: RoomOwnership, power: Power, { before, after }: RuleChange): Denial | undefined {
  if (isAtLeast(power, 'user owner')) return undefined;
  const [permissionsBefore, permissionsAfter] = [before, after].map((rule) =>
    rule && namesOwner(rule, room) ? rule.permissions : '',
  );
  const addsBan = permissionsAfter!.includes('b') && !permissionsBefore!.includes('b');
  const revokes = permissionsBefore!.includes('a') && !permissionsAfter!.includes('a');
  return addsBan || revokes
    ? denyForbidden(`Only ${ownersOnly} may take administration from the user owner`)
    : undefined;
}

const namesOwner = (rule: Rule, room: RoomOwnership) => rule.entity_UUID === room.user_owner && rule.kind !== 'entity';

/** The last rule that lets somebody administer stays. */
function findLastAdminDenial(
  actor: Actor,
  room: RoomOwnership,
  rules: readonly Rule[],
  { before, after }: RuleChange,
): Denial | undefined {
  const otherRules = rules.filter(({ entity_UUID }) => entity_UUID !== (before ?? after)?.entity_UUID);
  const next = after ? [...otherRules, after] : otherRules;
  if (!hasAdministrator(actor, room, rules) || hasAdministrator(actor, room, next)) return undefined;
  return { code: 'LAST_ADMIN' };
}

/**
 * Whether a rule lets somebody administer. Only of the user owner and of the actor it is known that they are users, and
 * only of the actor which organisation they are in.
 */
function hasAdministrator({ user, entity }: Actor, room: RoomOwnership, rules: readonly Rule[]): boolean {
  const isBanned = rules.some((rule) => rule.entity_UUID === entity && rule.kind !== 'user' && isBan(rule));
  return rules.some((rule) => {
    if (!administers(rule)) return false;
    if (rule.entity_UUID === room.user_owner) return rule.kind !== 'entity';
    return rule.entity_UUID !== user || (rule.kind !== 'entity' && !isBanned);
  });
}

const isBan = (rule: Rule) => rule.permissions.includes('b');

/** Whether the rule by itself lets somebody administer the room. */
function administers(rule: Rule): boolean {
  return rule.permissions.includes('a') && !isBan(rule) && rule.accepted !== false;
}
