import type { Evidence } from './record.ts';
import type { RoomHistory } from './room-history.ts';

/**
 * Who could read and write a room after each `rev`, from its log alone. The decision is written down a second time on
 * purpose: what judges the server must not ask the server. Owner administrators are not among the clients.
 */
export interface RightsOverTime {
  canRead(user: string, rev: number): boolean;
  canWrite(user: string, rev: number): boolean;
  /** The first `rev` from `since` on after which the user could not read; undefined: he could to the end. */
  firstWithoutRead(user: string, since: number): number | undefined;
}

interface Span {
  since: number;
  rights: string;
}

export function rightsOverTime({ entries }: RoomHistory, people: Evidence['people']): RightsOverTime {
  const rules = new Map<string, { permissions: string; level: number }>();
  const spans = new Map<string, Span[]>([...people.keys()].map((user) => [user, [{ since: 0, rights: '' }]]));
  for (const { rev, rule } of entries) {
    if (!rule) continue;
    if (rule.permissions === null) rules.delete(rule.grantee);
    else rules.set(rule.grantee, { permissions: rule.permissions, level: rule.level });
    for (const [user, { entity, level }] of people) {
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
    firstWithoutRead(user, since) {
      if (!rightsAt(user, since).includes('r')) return since;
      return spans.get(user)?.find((span) => span.since > since && !span.rights.includes('r'))?.since;
    },
  };
}

/** `b` takes everything, whatever the level; letters of the entity's rule count from its level on. */
function add(own: string, shared: { permissions: string; level: number } | undefined, level: number): string {
  const letters =
    own + (shared && (level >= shared.level || shared.permissions.includes('b')) ? shared.permissions : '');
  return letters.includes('b') ? '' : letters;
}
