import type { Rule } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { WantedRule } from './rule-list.ts';

/** `before` is undefined if the rule is new, and `after` is undefined if it is removed. */
export interface RuleDifference {
  before: Rule | undefined;
  after: Rule | undefined;
}

interface Plan {
  wanted: readonly WantedRule[];
  /** Whether rules that the list does not name are removed. Bans stay. */
  replace: boolean;
  isPair: boolean;
}

/**
 * Compares the rules of a room with the wanted rules. What grants rights comes first. Otherwise, a user whose access only
 * moves from one rule to another would be removed from the room.
 */
export function planRules(rules: readonly Rule[], { wanted, replace, isPair }: Plan): RuleDifference[] {
  const byGrantee = new Map(rules.map((rule) => [rule.entity_UUID, rule]));
  const differences: RuleDifference[] = [];
  for (const [n, one] of wanted.entries()) {
    const before = byGrantee.get(one.grantee);
    byGrantee.delete(one.grantee);
    const after = toRule(before, one, isPair, n);
    if (!isSame(before, after)) differences.push({ before, after });
  }
  if (replace) {
    for (const before of byGrantee.values()) {
      if (!before.permissions.includes('b')) differences.push({ before, after: undefined });
    }
  }
  return [...differences.filter(isGrant), ...differences.filter((difference) => !isGrant(difference))];
}

/** Returns the rule after the change; undefined if it is removed or does not exist. `n` is its position in the list. */
export function toRule(
  before: Rule | undefined,
  { grantee, kind, permissions, level, accepted }: WantedRule,
  isPair: boolean,
  n: number,
): Rule | undefined {
  if (permissions === null) return undefined;
  const letters = permissions ?? before?.permissions;
  if (letters === undefined) {
    const message = 'is required for a new rule';
    throw new ChatError('BAD_REQUEST', { field: `rules.${n}.permissions`, message });
  }
  if (isPair && kind === 'entity') {
    const message = 'must not be given for a user2user room, which has users only';
    throw new ChatError('BAD_REQUEST', { field: `rules.${n}.entityUUID`, message });
  }
  return {
    entity_UUID: grantee,
    kind: isPair ? 'user' : (kind ?? before?.kind ?? 'any'),
    permissions: letters,
    level: level ?? before?.level ?? 0,
    accepted: accepted === undefined ? (before?.accepted ?? null) : accepted,
  };
}

function isSame(before: Rule | undefined, after: Rule | undefined): boolean {
  if (!before || !after) return before === after;
  return (['kind', 'permissions', 'level', 'accepted'] as const).every((field) => before[field] === after[field]);
}

/** Whether the change revokes no right. */
function isGrant({ before, after }: RuleDifference): boolean {
  if (!after || after.permissions.includes('b') || after.accepted === false) return false;
  if (!before) return true;
  const keepsLetters = [...before.permissions].every((letter) => letter === 'b' || after.permissions.includes(letter));
  return keepsLetters && after.level <= before.level && (before.kind === after.kind || after.kind === 'any');
}
