import type { Uuid } from '../core/ids.ts';
import type { SeenRule } from '../database/imported-room.entity.ts';
import { grantsAdmin, isBan, type NewRule } from './convert-rules.ts';
import type { Findings } from './report.ts';

/** A current rule of this service. */
export interface CurrentRule extends Pick<NewRule, 'grantee' | 'kind' | 'permissions' | 'level'> {
  accepted: boolean | null;
}

/** A change of a rule; `permissions: null` removes it. */
export interface RuleChange extends Omit<CurrentRule, 'permissions'> {
  permissions: string | null;
  created: number;
}

/** The users of a user2user room, which may still lack its second user. */
export interface Pair {
  users: readonly Uuid[];
  /** Whether the other user already has a room with the only user of this room. */
  hasRoomWith(other: Uuid): boolean;
}

interface MergeInput {
  room: number;
  /** The legacy rules at the last import, and now. */
  seen: Readonly<Record<Uuid, SeenRule>>;
  theirs: readonly NewRule[];
  ours: readonly CurrentRule[];
  /** Undefined for a group. */
  pair: Pair | undefined;
}

type Grant = Pick<NewRule, 'permissions' | 'level'>;
const isSame = (one: Grant | undefined, other: Grant | undefined) =>
  one?.permissions === other?.permissions && one?.level === other?.level;

export const toSeenRule = ({ permissions, level, accepted }: NewRule): SeenRule => ({ permissions, level, accepted });

/**
 * Applies what changed in the legacy service since the last import, except to rules that changed here, too. Returns the
 * changes, and the legacy rules as of this import.
 */
export function mergeRules(
  merge: MergeInput,
  findings: Findings,
): { changes: RuleChange[]; seen: Record<Uuid, SeenRule> } {
  const { room, ours } = merge;
  let { pair } = merge;
  const seen = { ...merge.seen };
  const changes: RuleChange[] = [];
  const current = new Map(ours.map((rule) => [rule.grantee, rule]));
  // Administrators come first, so that a former administrator is not kept as the last administrator.
  const inOrder = [...merge.theirs].sort((one, other) => Number(grantsAdmin(other)) - Number(grantsAdmin(one)));
  const theirs = new Map(inOrder.map((rule) => [rule.grantee, rule]));
  for (const grantee of new Set([...theirs.keys(), ...Object.keys(merge.seen)])) {
    const [before, their, our] = [merge.seen[grantee], theirs.get(grantee), current.get(grantee)];
    const name = `room ${room}, ${grantee}`;
    if (!isSame(before, their) && !isSame(their, our)) {
      if (!isSame(before, our)) {
        findings.add('rule_changed', name);
      } else if (their && pair && !fitsPair(their, our, pair, name, findings)) {
        continue;
      } else if (our && grantsAdmin(our) && !(their && grantsAdmin(their)) && isLastAdmin(our, current)) {
        findings.add('rule_last', name);
        continue;
      } else {
        const change = toChange(their, our);
        changes.push(change);
        if (their && pair && !pair.users.includes(grantee)) pair = { ...pair, users: [...pair.users, grantee] };
        if (change.permissions === null) current.delete(grantee);
        else current.set(grantee, { ...change, permissions: change.permissions });
      }
    } else if (their?.accepted && !before?.accepted && our && our.accepted === null) {
      changes.push({ ...our, accepted: true, created: their.created });
    }
    if (their) seen[grantee] = toSeenRule(their);
    else delete seen[grantee];
  }
  return { changes, seen };
}

function toChange(their: NewRule | undefined, our: CurrentRule | undefined): RuleChange {
  if (!their) return { ...our!, permissions: null, created: 0 };
  const { permissions, level, created } = their;
  if (our) return { ...our, permissions, level, accepted: our.accepted ?? (their.accepted || null), created };
  return {
    ...{ grantee: their.grantee, kind: their.kind, permissions, level, created },
    accepted: their.accepted || null,
  };
}

const isLastAdmin = (rule: CurrentRule, current: ReadonlyMap<Uuid, CurrentRule>) =>
  ![...current.values()].some((other) => other !== rule && grantsAdmin(other) && other.accepted !== false);

/** Whether the rule is possible in a user2user room. */
function fitsPair(their: NewRule, our: CurrentRule | undefined, pair: Pair, name: string, findings: Findings): boolean {
  if (isBan(their)) findings.add('rule_pair_ban', name);
  else if (our || pair.users.includes(their.grantee)) return true;
  else if (pair.users.length >= 2) findings.add('rule_third', name);
  else if (pair.hasRoomWith(their.grantee)) findings.add('rule_pair', name);
  else return true;
  return false;
}
