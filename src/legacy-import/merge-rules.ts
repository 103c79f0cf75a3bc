import type { Uuid } from '../core/ids.ts';
import type { ImportedRule } from '../database/imported-room.entity.ts';
import { grantsAdmin, isBan, type NewRule } from './convert-rules.ts';
import type { Findings } from './report.ts';

/** A current rule of this service. */
export interface CurrentRule extends Pick<NewRule, 'grantee' | 'kind' | 'permissions' | 'level'> {
  accepted: boolean | null;
}

/** A change of a rule. `permissions: null` removes the rule. */
export interface RuleChange extends Omit<CurrentRule, 'permissions'> {
  permissions: string | null;
  created: number;
}

/** The users of a user2user room. There is only one as long as the second user has no rule. */
export interface Pair {
  users: readonly Uuid[];
  /** Whether the other user already has a room with the only user of this room. */
  hasRoomWith(other: Uuid): boolean;
}

interface MergeInput {
  room: number;
  /** The legacy rules as of the previous import. */
  importedRules: Readonly<Record<Uuid, ImportedRule>>;
  /** The legacy rules as of now. */
  legacyRules: readonly NewRule[];
  currentRules: readonly CurrentRule[];
  /** Undefined for a group. */
  pair: Pair | undefined;
}

type Grant = Pick<NewRule, 'permissions' | 'level'>;
const isSame = (one: Grant | undefined, other: Grant | undefined) =>
  one?.permissions === other?.permissions && one?.level === other?.level;

export const toImportedRule = ({ permissions, level, accepted }: NewRule): ImportedRule => ({
  permissions,
  level,
  accepted,
});

/**
 * Compares the legacy rules with those of the previous import. Returns the changes to apply in this service, and the
 * legacy rules to compare with at the next import. A rule that was also changed in this service is kept.
 */
export function mergeRules(
  merge: MergeInput,
  findings: Findings,
): { changes: RuleChange[]; importedRules: Record<Uuid, ImportedRule> } {
  const { room, currentRules } = merge;
  let { pair } = merge;
  const importedRules = { ...merge.importedRules };
  const changes: RuleChange[] = [];
  const current = new Map(currentRules.map((rule) => [rule.grantee, rule]));
  // Rules that grant administration are applied first. Otherwise a former administrator would look like the last one of
  // the room and keep the rule, although the legacy service has a new administrator.
  const adminsFirst = [...merge.legacyRules].sort(
    (one, other) => Number(grantsAdmin(other)) - Number(grantsAdmin(one)),
  );
  const legacyByGrantee = new Map(adminsFirst.map((rule) => [rule.grantee, rule]));
  for (const grantee of new Set([...legacyByGrantee.keys(), ...Object.keys(merge.importedRules)])) {
    const [importedRule, legacyRule, currentRule] = [
      merge.importedRules[grantee],
      legacyByGrantee.get(grantee),
      current.get(grantee),
    ];
    const name = `room ${room}, ${grantee}`;
    if (!isSame(importedRule, legacyRule) && !isSame(legacyRule, currentRule)) {
      if (!isSame(importedRule, currentRule)) {
        findings.add('rule_changed', name);
      } else if (legacyRule && pair && !fitsPair(legacyRule, currentRule, pair, name, findings)) {
        continue;
      } else if (
        currentRule &&
        grantsAdmin(currentRule) &&
        !(legacyRule && grantsAdmin(legacyRule)) &&
        isLastAdmin(currentRule, current)
      ) {
        findings.add('rule_last', name);
        continue;
      } else {
        const change = toChange(legacyRule, currentRule);
        changes.push(change);
        if (legacyRule && pair && !pair.users.includes(grantee)) pair = { ...pair, users: [...pair.users, grantee] };
        if (change.permissions === null) current.delete(grantee);
        else current.set(grantee, { ...change, permissions: change.permissions });
      }
    } else if (legacyRule?.accepted && !importedRule?.accepted && currentRule && currentRule.accepted === null) {
      changes.push({ ...currentRule, accepted: true, created: legacyRule.created });
    }
    if (legacyRule) importedRules[grantee] = toImportedRule(legacyRule);
    else delete importedRules[grantee];
  }
  return { changes, importedRules };
}

function toChange(legacyRule: NewRule | undefined, currentRule: CurrentRule | undefined): RuleChange {
  if (!legacyRule) return { ...currentRule!, permissions: null, created: 0 };
  const { permissions, level, created } = legacyRule;
  if (currentRule)
    return {
      ...currentRule,
      permissions,
      level,
      accepted: currentRule.accepted ?? (legacyRule.accepted || null),
      created,
    };
  return {
    ...{ grantee: legacyRule.grantee, kind: legacyRule.kind, permissions, level, created },
    accepted: legacyRule.accepted || null,
  };
}

const isLastAdmin = (rule: CurrentRule, current: ReadonlyMap<Uuid, CurrentRule>) =>
  ![...current.values()].some((other) => other !== rule && grantsAdmin(other) && other.accepted !== false);

/** Returns whether a user2user room can have the rule. If not, adds a finding with the reason. */
function fitsPair(
  legacyRule: NewRule,
  currentRule: CurrentRule | undefined,
  pair: Pair,
  name: string,
  findings: Findings,
): boolean {
  if (isBan(legacyRule)) findings.add('rule_pair_ban', name);
  else if (currentRule || pair.users.includes(legacyRule.grantee)) return true;
  else if (pair.users.length >= 2) findings.add('rule_third', name);
  else if (pair.hasRoomWith(legacyRule.grantee)) findings.add('rule_pair', name);
  else return true;
  return false;
}
