import { LRUCache } from 'lru-cache';
import { type Actor, judge, type Rule, type Verdict } from '../authorization.ts';
import type { RoomId, Uuid } from '../ids.ts';
import type { Room } from '../room.ts';
import type { Change } from './change.ts';
import type { RoomLog } from './room-log.ts';
import type { RoomSnapshot } from './room-snapshot.ts';

/** A room and its rules as they stand at one `rev`. */
export interface RoomRights {
  room: Room;
  rules: ReadonlyMap<Uuid, Rule>;
}

export function rightsOf(room: Room, rules: readonly Rule[]): RoomRights {
  return { room, rules: new Map(rules.map((rule) => [rule.entity_UUID, rule])) };
}

const known = new WeakMap<RoomSnapshot, RoomRights>();

/** Those of a room as it was read; made once for all who join by one read. */
export function rightsAt(state: RoomSnapshot): RoomRights {
  const rights = known.get(state) ?? rightsOf(state.room, state.rules);
  known.set(state, rights);
  return rights;
}

/** Rights that follow the log. */
export interface FollowedRights extends RoomRights {
  rules: Map<Uuid, Rule>;
}

export function follow({ room, rules }: RoomRights): FollowedRights {
  return { room, rules: new Map(rules) };
}

/** Applies a change of the log. */
export function apply(rights: FollowedRights, change: Change): void {
  if (change.kind === 'room') rights.room = change.room;
  if (change.kind !== 'member') return;
  const { permissions, ...rule } = change.rule;
  if (permissions === null) rights.rules.delete(rule.entity_UUID);
  else rights.rules.set(rule.entity_UUID, { ...rule, permissions });
}

/** Whether a change may bear on the actor's rights. */
export function concerns(change: Change, { user, entity }: Actor): boolean {
  if (change.kind === 'message') return false;
  return change.kind === 'room' || change.rule.entity_UUID === user || change.rule.entity_UUID === entity;
}

/** Only rules for the actor or their organisation can match, however many there are. */
export function verdictOn(actor: Actor, { room, rules }: RoomRights): Verdict {
  const own = rules.get(actor.user);
  const shared = actor.entity === null || actor.entity === actor.user ? undefined : rules.get(actor.entity);
  return judge(
    actor,
    room,
    [own, shared].filter((rule) => rule !== undefined),
  );
}

export interface VersionedRights extends RoomRights {
  rightsRev: number;
  /** The same as `verdictOn`, judged once for each actor. */
  verdictOn(actor: Actor): Verdict;
}

export function versioned(rights: RoomRights, rightsRev: number): VersionedRights {
  const verdicts = new WeakMap<Actor, Verdict>();
  return {
    ...{ ...rights, rightsRev },
    verdictOn(actor) {
      const verdict = verdicts.get(actor) ?? verdictOn(actor, rights);
      verdicts.set(actor, verdict);
      return verdict;
    },
  };
}

const cachedRooms = 10_000;

/**
 * The rights of the rooms that are written to here, each with the `rightsRev` it holds for. It may be behind: whoever
 * uses it says which version he judged by, and the room's lock tells whether that was the last.
 */
export interface RightsCache {
  /** Those of the rooms that there are; what is not here is read. */
  of(rooms: readonly RoomId[]): Promise<Map<RoomId, VersionedRights>>;
  forget(room: RoomId): void;
}

export function rightsCache(log: RoomLog): RightsCache {
  const known = new LRUCache<RoomId, VersionedRights>({ max: cachedRooms });
  return {
    forget: (room) => void known.delete(room),
    async of(rooms) {
      const found = new Map<RoomId, VersionedRights>();
      const missing: RoomId[] = [];
      for (const room of rooms) {
        const rights = known.get(room);
        if (rights) found.set(room, rights);
        else missing.push(room);
      }
      if (missing.length === 0) return found;
      for (const { room, rules, rightsRev } of await log.snapshots(missing)) {
        const rights = versioned(rightsOf(room, rules), rightsRev);
        known.set(room.id, rights);
        found.set(room.id, rights);
      }
      return found;
    },
  };
}
