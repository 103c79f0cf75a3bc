import type { Uuid } from '../core/ids.ts';
import type { SeenRule } from '../database/imported-room.entity.ts';
import { administers, isBan, type NewRule } from './convert-rules.ts';
import type { Findings } from './findings.ts';

/** A rule as it stands here. */
export interface OwnRule extends Pick<NewRule, 'grantee' | 'kind' | 'permissions' | 'level'> {
  accepted: boolean | null;
}

/** What becomes of a rule; `permissions: null`: it goes. */
export interface RuleChange extends Omit<OwnRule, 'permissions'> {
  permissions: string | null;
  created: number;
}

/** A user2user room: its two users, and whether a second one may still come. */
export interface Pair {
  users: readonly Uuid[];
  /** The two would have two rooms. */
  isTaken(other: Uuid): boolean;
}

interface Merge {
  room: number;
  /** The original's rules as the last import saw them, and as they are now. */
  seen: Readonly<Record<Uuid, SeenRule>>;
  theirs: readonly NewRule[];
  ours: readonly OwnRule[];
  /** Undefined for a group. */
  pair: Pair | undefined;
}

type Grant = Pick<NewRule, 'permissions' | 'level'>;
const isSame = (one: Grant | undefined, other: Grant | undefined) =>
  one?.permissions === other?.permissions && one?.level === other?.level;

export const seenRule = ({ permissions, level, accepted }: NewRule): SeenRule => ({ permissions, level, accepted });

/**
 * What has changed in the original since the last import changes here, unless it has changed here, too. Answers the
 * changes, and what is now seen.
 */
export function mergeRules(merge: Merge, findings: Findings): { changes: RuleChange[]; seen: Record<Uuid, SeenRule> } {
  const { room, ours } = merge;
  let { pair } = merge;
  const seen = { ...merge.seen };
  const changes: RuleChange[] = [];
  const standing = new Map(ours.map((rule) => [rule.grantee, rule]));
  // Who administers now first, so that nobody is kept as the last one who no longer is.
  const inOrder = [...merge.theirs].sort((one, other) => Number(administers(other)) - Number(administers(one)));
  const theirs = new Map(inOrder.map((rule) => [rule.grantee, rule]));
  for (const grantee of new Set([...theirs.keys(), ...Object.keys(merge.seen)])) {
    const [before, their, our] = [merge.seen[grantee], theirs.get(grantee), standing.get(grantee)];
    const name = `room ${room}, ${grantee}`;
    if (!isSame(before, their) && !isSame(their, our)) {
      if (!isSame(before, our)) {
        findings.add('rule_changed', name);
      } else if (their && pair && !fits(their, our, pair, name, findings)) {
        continue;
      } else if (our && administers(our) && !(their && administers(their)) && isLast(our, standing)) {
        findings.add('rule_last', name);
        continue;
      } else {
        const change = changeTo(their, our);
        changes.push(change);
        if (their && pair && !pair.users.includes(grantee)) pair = { ...pair, users: [...pair.users, grantee] };
        if (change.permissions === null) standing.delete(grantee);
        else standing.set(grantee, { ...change, permissions: change.permissions });
      }
    } else if (their?.accepted && !before?.accepted && our && our.accepted === null) {
      changes.push({ ...our, accepted: true, created: their.created });
    }
    if (their) seen[grantee] = seenRule(their);
    else delete seen[grantee];
  }
  return { changes, seen };
}

function changeTo(their: NewRule | undefined, our: OwnRule | undefined): RuleChange {
  if (!their) return { ...our!, permissions: null, created: 0 };
  const { permissions, level, created } = their;
  if (our) return { ...our, permissions, level, accepted: our.accepted ?? (their.accepted || null), created };
  return {
    ...{ grantee: their.grantee, kind: their.kind, permissions, level, created },
    accepted: their.accepted || null,
  };
}

const isLast = (rule: OwnRule, standing: ReadonlyMap<Uuid, OwnRule>) =>
  ![...standing.values()].some((other) => other !== rule && administers(other) && other.accepted !== false);

/** Whether a user2user room takes the rule. */
function fits(their: NewRule, our: OwnRule | undefined, pair: Pair, name: string, findings: Findings): boolean {
  if (isBan(their)) findings.add('rule_pair_ban', name);
  else if (our || pair.users.includes(their.grantee)) return true;
  else if (pair.users.length >= 2) findings.add('rule_third', name);
  else if (pair.isTaken(their.grantee)) findings.add('rule_pair', name);
  else return true;
  return false;
}
