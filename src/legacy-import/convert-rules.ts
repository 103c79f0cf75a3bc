import { Uuid } from '../core/ids.ts';
import { Permissions, type RuleKind } from '../core/room.ts';
import type { Findings } from './findings.ts';
import type { OldRule } from './legacy-rows.ts';
import { momentsOf } from './timestamps.ts';

/** A rule of the original, its oddities gone. Unanswered and declined looked the same there: here it is unanswered. */
export interface TakenRule {
  grantee: Uuid;
  permissions: string;
  level: number;
  accepted: boolean;
  created: number;
  updated: number;
}

/** A rule as it is written here. */
export interface NewRule extends TakenRule {
  kind: RuleKind;
}

const int32 = 2_147_483_647;

/** The rules of one room, one for each grantee, the oldest first. */
export function takeRules(room: number, old: readonly OldRule[], now: number, findings: Findings): TakenRule[] {
  const byGrantee = new Map<Uuid, TakenRule>();
  for (const rule of old) {
    const taken = takeRule(room, rule, now, findings);
    if (!taken) continue;
    const other = byGrantee.get(taken.grantee);
    if (other) findings.add('rule_twice', nameOf(room, taken.grantee));
    byGrantee.set(taken.grantee, other ? merged(other, taken) : taken);
  }
  return [...byGrantee.values()];
}

const nameOf = (room: number, grantee: string | null) => `room ${room}, ${grantee}`;

function takeRule(room: number, rule: OldRule, now: number, findings: Findings): TakenRule | undefined {
  const grantee = Uuid.safeParse(rule.grantee);
  const name = nameOf(room, rule.grantee);
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
    ...momentsOf(rule, now, now),
  };
}

/** The original asked whether any of them grants, so their letters add up; a ban among them stays one. */
function merged(one: TakenRule, other: TakenRule): TakenRule {
  const newer = other.updated >= one.updated ? other : one;
  return {
    ...newer,
    permissions: Permissions.parse(one.permissions + other.permissions),
    accepted: one.accepted || other.accepted,
    created: Math.min(one.created, other.created),
  };
}

export const isBan = ({ permissions }: { permissions: string }) => permissions.includes('b');

/** Whether the rule by itself lets somebody administer the room. */
export const administers = ({ permissions }: { permissions: string }) =>
  permissions.includes('a') && !permissions.includes('b');

/** What the operator should know of the rules as they are written. */
export function tellRules(room: number, rules: readonly NewRule[], findings: Findings): void {
  for (const rule of rules) {
    const name = `${nameOf(room, rule.grantee)}: ${rule.permissions}`;
    const { permissions } = rule;
    if (isBan(rule)) findings.add('rule_ban_works', name);
    else if (rule.kind === 'entity') findings.add('rule_entity_works', `${name} from level ${rule.level} on`);
    else if (permissions === 'w') findings.add('rule_write_only', name);
  }
}
