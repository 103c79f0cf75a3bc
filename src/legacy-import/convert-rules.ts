import { Uuid } from '../core/ids.ts';
import { Permissions, type RuleKind } from '../core/room.ts';
import type { LegacyRule } from './legacy-database.ts';
import type { Findings } from './report.ts';

/**
 * A valid legacy rule. The legacy service did not distinguish between unanswered and declined invitations. The import
 * treats both as unanswered, so `accepted: false` means unanswered.
 */
export interface ConvertedRule {
  grantee: Uuid;
  permissions: string;
  level: number;
  accepted: boolean;
  created: number;
  updated: number;
}

/** A row of `permission_rules` in this service. */
export interface NewRule extends ConvertedRule {
  kind: RuleKind;
}

const int32 = 2_147_483_647;

/**
 * Converts the rules of one room, the oldest first. If a grantee has several rules, they are combined into one, because
 * this service allows only one rule per grantee.
 */
export function convertRules(
  room: number,
  legacyRules: readonly LegacyRule[],
  now: number,
  findings: Findings,
): ConvertedRule[] {
  const byGrantee = new Map<Uuid, ConvertedRule>();
  for (const rule of legacyRules) {
    const converted = convertRule(room, rule, now, findings);
    if (!converted) continue;
    const other = byGrantee.get(converted.grantee);
    if (other) findings.add('rule_twice', formatName(room, converted.grantee));
    byGrantee.set(converted.grantee, other ? combineRules(other, converted) : converted);
  }
  return [...byGrantee.values()];
}

const formatName = (room: number, grantee: string | null) => `room ${room}, ${grantee}`;

function convertRule(room: number, rule: LegacyRule, now: number, findings: Findings): ConvertedRule | undefined {
  const grantee = Uuid.safeParse(rule.grantee);
  const name = formatName(room, rule.grantee);
  if (!grantee.success) {
    findings.add('rule_grantee', name);
    return undefined;
  }
  const given = rule.permissions ?? '';
  const letters = given.replaceAll(/[^rwab]/g, '');
  if (letters === '') {
    findings.add('rule_letters', `${name}: ${JSON.stringify(given)}`);
    return undefined;
  }
  if (letters !== given) findings.add('rule_dropped_letters', `${name}: ${JSON.stringify(given)}`);
  const level = rule.level ?? 0;
  const isLevel = Number.isInteger(level) && Math.abs(level) <= int32;
  if (!isLevel) findings.add('rule_level', `${name}: ${level}`);
  return {
    grantee: grantee.data,
    permissions: Permissions.parse([...new Set(letters)].join('')),
    level: isLevel ? level : 0,
    accepted: rule.accepted === true,
    ...toTimestamps(rule, now, now),
  };
}

/**
 * Combines two rules of the same grantee. In the legacy service, the grantee had the permissions of both rules, so the
 * letters of both are kept. If one of the rules is a ban, the result is a ban, too.
 */
function combineRules(one: ConvertedRule, other: ConvertedRule): ConvertedRule {
  const newer = other.updated >= one.updated ? other : one;
  return {
    ...newer,
    permissions: Permissions.parse(one.permissions + other.permissions),
    accepted: one.accepted || other.accepted,
    created: Math.min(one.created, other.created),
  };
}

export const isBan = ({ permissions }: { permissions: string }) => permissions.includes('b');

export const grantsAdmin = ({ permissions }: { permissions: string }) =>
  permissions.includes('a') && !permissions.includes('b');

/** Adds findings for rules that have another effect in this service than in the legacy service. */
export function reportRules(room: number, rules: readonly NewRule[], findings: Findings): void {
  for (const rule of rules) {
    const name = `${formatName(room, rule.grantee)}: ${rule.permissions}`;
    const { permissions } = rule;
    if (isBan(rule)) findings.add('rule_ban_works', name);
    else if (rule.kind === 'entity') findings.add('rule_entity_works', `${name} from level ${rule.level} on`);
    else if (permissions === 'w') findings.add('rule_write_only', name);
  }
}

/** Clamps a legacy date to the range from 1970 to now. Returns undefined if the date is missing. */
export function toTimestamp(ms: number | null, now: number): number | undefined {
  if (ms === null || ms === Number.NEGATIVE_INFINITY) return undefined;
  return Math.min(Math.max(Math.round(ms), 0), now);
}

export function toTimestamps(
  { created, updated }: { created: number | null; updated: number | null },
  fallback: number,
  now: number,
): { created: number; updated: number } {
  const made = toTimestamp(created, now) ?? toTimestamp(updated, now) ?? fallback;
  return { created: made, updated: Math.max(toTimestamp(updated, now) ?? made, made) };
}
