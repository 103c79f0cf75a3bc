import { LRUCache } from 'lru-cache';
import {
  type Actor,
  authorize,
  type Decision,
  pickOwnership,
  type RoomOwnership,
  type Rule,
} from '../authorization.ts';
import type { RoomId, Uuid } from '../ids.ts';
import type { Room } from '../room.ts';
import type { Change } from './change.ts';
import { kindOfChange, type RoomState } from './change-kinds.ts';
import type { RoomLog } from './room-log.ts';
import type { RoomSnapshot, RuleSnapshot } from './room-snapshot.ts';

/** The fields and rules of a room as of one `rev`. */
export interface RoomRights {
  room: Room;
  rules: ReadonlyMap<Uuid, Rule>;
}

export function createRoomRights(room: Room, rules: readonly Rule[]): RoomRights {
  return { room, rules: new Map(rules.map((rule) => [rule.entity_UUID, rule])) };
}

const indexedRules = new WeakMap<readonly RuleSnapshot[], ReadonlyMap<Uuid, RuleSnapshot>>();

/** Indexes each list of rules once, because many joins use the same list. */
export function indexRules(rules: readonly RuleSnapshot[]): ReadonlyMap<Uuid, RuleSnapshot> {
  const indexed = indexedRules.get(rules) ?? new Map(rules.map((rule) => [rule.entity_UUID, rule]));
  indexedRules.set(rules, indexed);
  return indexed;
}

export function toRoomRights({ room, rules }: Pick<RoomSnapshot, 'room' | 'rules'>): RoomRights {
  return { room, rules: indexRules(rules) };
}

/** A mutable copy of `RoomRights`, which `applyChange` updates. */
export type TrackedRights = RoomState;

export function trackRights({ room, rules }: RoomRights): TrackedRights {
  return { room: pickOwnership(room), rules: new Map(rules) };
}

export function applyChange(rights: TrackedRights, change: Change): void {
  kindOfChange(change).applyToRights(rights, change);
}

/** Whether a change may affect the actor's rights. */
export function affects(change: Change, actor: Actor): boolean {
  const kind = kindOfChange(change);
  return kind.affectsRights && kind.concerns(change, actor);
}

/** Considers only the rules of the actor and of their organisation, because no other rule can match. */
export function decide(
  actor: Actor,
  { room, rules }: { room: RoomOwnership; rules: ReadonlyMap<Uuid, Rule> },
): Decision {
  const ownRule = rules.get(actor.user);
  const entityRule = actor.entity === null || actor.entity === actor.user ? undefined : rules.get(actor.entity);
  return authorize(
    actor,
    room,
    [ownRule, entityRule].filter((rule) => rule !== undefined),
  );
}

export interface VersionedRights extends RoomRights {
  rightsRev: number;
  /** Caches the decision for each actor. */
  decide(actor: Actor): Decision;
}

export function createVersionedRights(rights: RoomRights, rightsRev: number): VersionedRights {
  const decisions = new WeakMap<Actor, Decision>();
  return {
    ...{ ...rights, rightsRev },
    decide(actor) {
      const decision = decisions.get(actor) ?? decide(actor, rights);
      decisions.set(actor, decision);
      return decision;
    },
  };
}

const maxCachedRooms = 10_000;

/**
 * Caches the rights of the rooms that this node writes to or reads messages from. Cached rights may be outdated.
 * Therefore writers pass the cached `rightsRev` to the database, which compares it with the current `rightsRev`, and
 * readers compare it with the `rightsRev` of what they have read.
 */
export interface RightsCache {
  /** Reads the rights that are not cached. The result has no entry for a room that does not exist. */
  load(rooms: readonly RoomId[]): Promise<Map<RoomId, VersionedRights>>;
  invalidate(room: RoomId): void;
}

export function createRightsCache(log: RoomLog): RightsCache {
  const cache = new LRUCache<RoomId, VersionedRights>({ max: maxCachedRooms });
  return {
    invalidate: (room) => void cache.delete(room),
    async load(rooms) {
      const found = new Map<RoomId, VersionedRights>();
      const missing: RoomId[] = [];
      for (const room of rooms) {
        const rights = cache.get(room);
        if (rights) found.set(room, rights);
        else missing.push(room);
      }
      if (missing.length === 0) return found;
      for (const { room, rules, rightsRev } of await log.snapshots(missing)) {
        const rights = createVersionedRights(toRoomRights({ room, rules }), rightsRev);
        cache.set(room.id, rights);
        found.set(room.id, rights);
      }
      return found;
    },
  };
}
