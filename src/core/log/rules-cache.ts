import { LRUCache } from 'lru-cache';
import type { RoomId, Uuid } from '../ids.ts';
import { type RoomRow, toRuleSnapshot, toSnapshotWithRules } from './room-row.ts';
import type { RoomSnapshot, RuleSnapshot } from './room-snapshot.ts';

/** Rooms with fewer rules are not cached: their rules are read as fast as they are compared. */
const minRules = 100;
const maxRules = 200_000;

/** The rules of a room as of its last change that affects rights. */
export interface KnownRules {
  rightsRev: number;
  /** When that change was made, in ms; null if there is none. A restored database has another change at the same `rev`. */
  rightsAt: number | null;
  rules: RuleSnapshot[];
}

/** A row of `statements.roomsById`. */
export interface RoomUpdateRow extends RoomRow {
  rights_at: number | null;
  /**
   * The grantees whose rules have changed since the known rules; null if there are no known rules, or they cannot be
   * used. `rules` then has all rules, and otherwise only those of these grantees.
   */
  changed_grantees: Uuid[] | null;
}

/**
 * Keeps the rules of large rooms, because thousands of joins would otherwise read and parse thousands of rules each. The
 * database compares what is known with the log, and returns only the rules that have changed since. So a snapshot is never
 * older than its query.
 */
export class RulesCache {
  readonly #known = new LRUCache<RoomId, KnownRules>({
    maxSize: maxRules,
    sizeCalculation: ({ rules }) => rules.length,
  });

  find(room: RoomId): KnownRules | undefined {
    return this.#known.get(room);
  }

  /** `known` is what `find` returned before the query. */
  toSnapshot(row: RoomUpdateRow, known: KnownRules | undefined): RoomSnapshot {
    const { id, changed_grantees: changed, rights_rev: rightsRev, rights_at: rightsAt } = row;
    const read = row.rules.map(toRuleSnapshot);
    const rules = known && changed ? update(known.rules, changed, read) : read;
    if (rules.length >= minRules && rightsRev >= (this.#known.peek(id)?.rightsRev ?? 0)) {
      this.#known.set(id, { rightsRev, rightsAt, rules });
    }
    return toSnapshotWithRules(row, rules);
  }
}

/** Returns the same array if nothing has changed, so that what is derived from it can be used again. */
function update(rules: RuleSnapshot[], changed: readonly Uuid[], read: readonly RuleSnapshot[]): RuleSnapshot[] {
  if (changed.length === 0) return rules;
  const isChanged = new Set(changed);
  const unchanged = rules.filter(({ entity_UUID }) => !isChanged.has(entity_UUID));
  return [...unchanged, ...read].sort(inOrder);
}

/** The order in which the database returns rules. */
function inOrder(a: RuleSnapshot, b: RuleSnapshot): number {
  return compare(a.createdAt, b.createdAt) || compare(a.entity_UUID, b.entity_UUID);
}

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));
