import type { Evidence } from './record.ts';
import type { RoomHistory } from './room-history.ts';

/**
 * Computes from the log of a room who could read and write after each `rev`. The authorization rules are deliberately
 * implemented again here: the check of the server must not depend on the server's code. Owner administrators are not
 * among the clients.
 */
export interface RightsOverTime {
  canRead(user: string, rev: number): boolean;
  canWrite(user: string, rev: number): boolean;
  /** The first `rev` from `since` on at which the user could read; undefined if there is none. */
  firstWithRead(user: string, since: number): number | undefined;
  /** The first `rev` from `since` on at which the user could no longer read; undefined if they could until the end. */
  firstWithoutRead(user: string, since: number): number | undefined;
}

interface Span {
  since: number;
  rights: string;
}

export function rightsOverTime({ entries }: RoomHistory, users: Evidence['users']): RightsOverTime {
  const rules = new Map<string, { permissions: string; level: number }>();
  const spans = new Map<string, Span[]>([...users.keys()].map((user) => [user, [{ since: 0, rights: '' }]]));
  for (const { rev, rule } of entries) {
    if (!rule) continue;
    if (rule.permissions === null) rules.delete(rule.grantee);
    else rules.set(rule.grantee, { permissions: rule.permissions, level: rule.level });
    for (const [user, { entity, level }] of users) {
      if (rule.grantee !== user && rule.grantee !== entity) continue;
      const own = rules.get(user);
      const shared = rules.get(entity);
      spans.get(user)!.push({ since: rev, rights: add(own?.permissions ?? '', shared, level) });
    }
  }
  const rightsAt = (user: string, rev: number) => spans.get(user)?.findLast(({ since }) => since <= rev)?.rights ?? '';
  return {
    canRead: (user, rev) => rightsAt(user, rev).includes('r'),
    canWrite: (user, rev) => rightsAt(user, rev).includes('w'),
    firstWithRead(user, since) {
      if (rightsAt(user, since).includes('r')) return since;
      return spans.get(user)?.find((span) => span.since > since && span.rights.includes('r'))?.since;
    },
    firstWithoutRead(user, since) {
      if (!rightsAt(user, since).includes('r')) return since;
      return spans.get(user)?.find((span) => span.since > since && !span.rights.includes('r'))?.since;
    },
  };
}

/** `b` takes all rights at any level. The letters of the entity's rule count only from its level up. */
function add(own: string, shared: { permissions: string; level: number } | undefined, level: number): string {
  const letters =
    own + (shared && (level >= shared.level || shared.permissions.includes('b')) ? shared.permissions : '');
  return letters.includes('b') ? '' : letters;
}
