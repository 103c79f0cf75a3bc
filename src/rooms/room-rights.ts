import { LRUCache } from 'lru-cache';
import type { Change } from '../protocol/change.ts';
import type { RoomId, Uuid } from '../protocol/identifiers.ts';
import type { Room } from '../protocol/room.ts';
import type { RoomLog } from '../store/room-log.ts';
import { type Actor, judge, type Rule, type Verdict } from './permissions.ts';

/** A room and its rules as they stand at one `rev`. */
export interface RoomRights {
  room: Room;
  rules: ReadonlyMap<Uuid, Rule>;
}

export function rightsOf(room: Room, rules: readonly Rule[]): RoomRights {
  return { room, rules: new Map(rules.map((rule) => [rule.entity_UUID, rule])) };
}

/** The rights after a change of the log. */
export function rightsAfter(rights: RoomRights, change: Change): RoomRights {
  switch (change.kind) {
    case 'message':
      return rights;
    case 'room':
      return { ...rights, room: change.room };
    case 'member': {
      const rules = new Map(rights.rules);
      const { permissions, ...rule } = change.rule;
      if (permissions === null) rules.delete(rule.entity_UUID);
      else rules.set(rule.entity_UUID, { ...rule, permissions });
      return { ...rights, rules };
    }
  }
}

export function verdictOn(actor: Actor, rights: RoomRights): Verdict {
  return judge(actor, rights.room, rights.rules.values());
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
      for (const { room, rules, rightsRev } of await log.states(missing)) {
        const rights = versioned(rightsOf(room, rules), rightsRev);
        known.set(room.id, rights);
        found.set(room.id, rights);
      }
      return found;
    },
  };
}
