import {
  type Actor,
  administersAsOwner,
  authorize,
  can,
  type RoomOwnership,
  type Rule,
  toDenialCode,
} from './authorization.ts';
import type { ErrorCode } from './errors.ts';

/** Kinds of administrators, from the least to the most powerful. Nobody may revoke rights of someone more powerful. */
const powerOrder = ['none', 'administrator', 'user owner', 'owner administrator'] as const;
export type Power = (typeof powerOrder)[number];

export function determinePower(actor: Actor, room: RoomOwnership, rules: Iterable<Rule>): Power {
  if (administersAsOwner(actor, room)) return 'owner administrator';
  if (!can(authorize(actor, room, rules), 'administer')) return 'none';
  return actor.user === room.user_owner ? 'user owner' : 'administrator';
}

const isAtLeast = (power: Power, minPower: Power) => powerOrder.indexOf(power) >= powerOrder.indexOf(minPower);

/**
 * An administrative request. `before` is the affected rule before the change, or undefined if the rule is new. `after`
 * is the rule after the change, or undefined if the rule is removed.
 */
export type AdministrativeAction =
  | { name: 'rename' | 'change max_entity_rules' | 'delete' }
  | { name: 'change level_admin'; to: number }
  | { name: 'change rule'; before: Rule | undefined; after: Rule | undefined }
  /** The grantee removes their own rule. */
  | { name: 'leave'; before: Rule; after: undefined }
  /** The grantee accepts or declines their rule. */
  | { name: 'answer'; before: Rule; after: Rule };

export interface Denial {
  code: ErrorCode;
  message?: string;
}

/** Returns why the actor may not perform this action in the room, or undefined if they may. */
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
      return isHighest(power, room, rules)
        ? undefined
        : denyForbidden(`Only ${ownersOnly} may ${action.name} in this room`);
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

/**
 * Whether nobody can have more power in this room. In a `user2user` room, both users have the highest power. The same
 * holds for the administrators of a group that belongs to no organisation if its user owner is no longer an
 * administrator.
 */
function isHighest(power: Power, room: RoomOwnership, rules: readonly Rule[]): boolean {
  if (isAtLeast(power, 'user owner') || room.type === 'user2user') return true;
  return room.entity_owner === null && !rules.some((rule) => namesOwner(rule, room) && administers(rule));
}

/** Actors cannot set `level_admin` above their own level, so they remain owner administrators themselves. */
function findLevelDenial(actor: Actor, room: RoomOwnership, power: Power, to: number): Denial | undefined {
  if (!isAtLeast(power, 'user owner')) return denyForbidden(`level_admin: only ${ownersOnly} may change it`);
  if (room.entity_owner === null) return undefined;
  if (actor.entity !== room.entity_owner) {
    return denyForbidden('level_admin: only members of the organisation that owns the room may change it');
  }
  if (to > actor.level) return denyForbidden(`level_admin: must be at most ${actor.level}, your levelOnEntity`);
  return undefined;
}

interface RuleChange {
  before: Rule | undefined;
  after: Rule | undefined;
}

function findPairDenial(actor: Actor, { before, after }: RuleChange): Denial | undefined {
  if ((before ?? after)?.entity_UUID === actor.user) return undefined;
  if (!after) return denyForbidden('The users of a user2user room cannot remove each other');
  const revokes = [...(before?.permissions ?? '')].some((letter) => !after.permissions.includes(letter));
  if (!revokes && !after.permissions.includes('b')) return undefined;
  return denyForbidden("The users of a user2user room cannot ban each other or reduce each other's rights");
}

/** Only the user owner and owner administrators may remove `a` from the user owner's rule, or ban the user owner. */
function findOwnerDenial(room: RoomOwnership, power: Power, { before, after }: RuleChange): Denial | undefined {
  if (isAtLeast(power, 'user owner')) return undefined;
  const [permissionsBefore, permissionsAfter] = [before, after].map((rule) =>
    rule && namesOwner(rule, room) ? rule.permissions : '',
  );
  const addsBan = permissionsAfter!.includes('b') && !permissionsBefore!.includes('b');
  const revokes = permissionsBefore!.includes('a') && !permissionsAfter!.includes('a');
  return addsBan || revokes
    ? denyForbidden(`Only ${ownersOnly} may ban the user owner or remove their right to administer`)
    : undefined;
}

const namesOwner = (rule: Rule, room: RoomOwnership) => rule.entity_UUID === room.user_owner && rule.kind !== 'entity';

/** Denies an action that removes the last rule that lets somebody administer the room. */
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
 * Whether the rules let at least one user administer the room. The check is exact only for the actor, whose UUID and
 * organisation are known, and for the user owner, whose UUID belongs to a user. Any other rule with `a` counts, although
 * its UUID may not belong to a user, or the user's organisation may be banned.
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

/** Whether the rule, regardless of other rules, lets its grantee administer the room. */
function administers(rule: Rule): boolean {
  return rule.permissions.includes('a') && !isBan(rule) && rule.accepted !== false;
}
