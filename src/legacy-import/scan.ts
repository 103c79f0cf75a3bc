import type { Uuid } from '../core/ids.ts';
import { findOwner, findPair, findShape, toRoomUuid } from './convert-rooms.ts';
import { type ConvertedRule, convertRules } from './convert-rules.ts';
import type { LegacyDatabase, LegacyRoom, LegacyRoomBatch, Tally } from './legacy-database.ts';
import { Findings, ImportError } from './report.ts';
import { formatPairKey, readNames, readPairs, readSeen, type SeenRoom, type Target } from './target.ts';

/** Facts of all rooms that are needed before the first room is written. */
export interface Scan {
  tallies: ReadonlyMap<number, Tally>;
  seen: ReadonlyMap<number, SeenRoom>;
  /** The keys (`formatPairKey`) of all user2user rooms here, including the rooms of this import. */
  pairs: Set<string>;
  /** Among several rooms of the same two users, the room with the latest message. */
  roomByPair: ReadonlyMap<string, number>;
  lastRoom: number;
  lastMessage: number;
}

export interface ScannedRoom {
  room: LegacyRoom;
  rules: ConvertedRule[];
  owner: Uuid;
  tally: Tally;
}

const maxNames = 5;

/** Reads all rooms once. Throws if the id of a room belongs to another room here. */
export async function scanLegacy(
  legacy: LegacyDatabase,
  target: Target,
  now: number,
  findings: Findings,
): Promise<Scan> {
  const seen = await readSeen(target);
  const tallies = new Map<number, Tally>();
  for (const tally of await legacy.tallies(seen)) tallies.set(tally.room_id ?? Number.NaN, tally);
  const conflicts: string[] = [];
  const latest = new Map<string, PairClaim>();
  const missing = new Set(seen.keys());
  const strayMessages = new Map(tallies);
  let [lastRoom, lastMessage, conflictCount] = [0, 0, 0];
  for await (const batch of legacy.rooms()) {
    const rooms = convertNumberedRooms(batch, tallies, now, new Findings());
    const names = await readNames(
      target,
      rooms.map(({ room }) => room.id),
    );
    for (const one of rooms) {
      const { room, tally } = one;
      const known = seen.get(room.id);
      if (known ? known.uuid !== toRoomUuid(room) : names.has(room.id)) {
        conflictCount += 1;
        const name = JSON.stringify(names.get(room.id) ?? 'deleted here');
        if (conflicts.length < maxNames) conflicts.push(`${room.id} ${name}`);
      }
      if (!known) claimPair(one, latest);
      missing.delete(room.id);
      strayMessages.delete(room.id);
      lastRoom = Math.max(lastRoom, room.id);
      lastMessage = Math.max(lastMessage, tally.last);
    }
  }
  assertNoConflicts(conflictCount, conflicts);
  for (const { room_id, count } of strayMessages.values()) {
    findings.add('message_room', `room ${room_id}: ${count.toLocaleString('en')}`, count);
  }
  for (const room of (await readNames(target, [...missing])).keys()) findings.add('room_gone', `room ${room}`);
  const roomByPair = new Map([...latest].map(([key, { room }]) => [key, room]));
  return { tallies, seen, pairs: await readPairs(target), roomByPair, lastRoom, lastMessage };
}

/** Converts the rules of the rooms whose id is valid here. */
export function convertNumberedRooms(
  { rooms, strayRules }: LegacyRoomBatch,
  tallies: ReadonlyMap<number, Tally>,
  now: number,
  findings: Findings,
): ScannedRoom[] {
  const numbered: ScannedRoom[] = [];
  for (const { room, rules: legacyRules } of rooms) {
    const { id } = room;
    const isNumber = Number.isSafeInteger(id) && id > 0 && id !== numbered.at(-1)?.room.id;
    if (isNumber) {
      const rules = convertRules(id, legacyRules, now, findings);
      const tally = tallies.get(id) ?? { room_id: id, count: 0, known: 0, last: 0, newest: null };
      numbered.push({ room, rules, owner: findOwner(room, rules), tally });
    } else {
      findings.add('room_number', `room ${id}`);
      strayRules.push(...legacyRules);
    }
  }
  for (const { room_id } of strayRules) findings.add('rule_room', `room ${room_id}`);
  return numbered;
}

/** The key of the two users of a user2user room. */
export function toPairKey({ room, rules, owner }: ScannedRoom): string | undefined {
  const two = room.type === 'user2user' ? findPair(room, owner, rules) : undefined;
  return two && formatPairKey(...two);
}

interface PairClaim {
  room: number;
  newest: number;
}

function claimPair(one: ScannedRoom, latest: Map<string, PairClaim>): void {
  const key = toPairKey(one);
  if (key === undefined || findShape(one.room, one.owner, one.rules, false) !== 'pair') return;
  const newest = one.tally.newest ?? Number.NEGATIVE_INFINITY;
  const other = latest.get(key);
  if (!other || newest > other.newest) latest.set(key, { room: one.room.id, newest });
}

function assertNoConflicts(conflictCount: number, conflicts: readonly string[]): void {
  if (conflictCount === 0) return;
  const more = conflictCount > conflicts.length ? ' …' : '';
  throw new ImportError(
    `${conflictCount} of the legacy rooms have the id of another room in this service: ${conflicts.join(', ')}${more}. ` +
      'Import into another database, or delete these rooms first',
  );
}
