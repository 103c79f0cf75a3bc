import type { Uuid } from '../core/ids.ts';
import { findOwner, findPair, findShape, toRoomUuid } from './convert-rooms.ts';
import { type ConvertedRule, convertRules } from './convert-rules.ts';
import type { LegacyDatabase, LegacyRoom, LegacyRoomBatch, Tally } from './legacy-database.ts';
import { Findings, ImportError } from './report.ts';
import { formatPairKey, readNames, readPairs, readSeen, type SeenRoom, type Target } from './target.ts';

/** What has to be known of all rooms before the first one is written. */
export interface Scan {
  tallies: ReadonlyMap<number, Tally>;
  seen: ReadonlyMap<number, SeenRoom>;
  /** The two users of every user2user room here, as `pairKey` has them. It grows with those that come. */
  pairs: Set<string>;
  /** Of several rooms of the same two users, the one where something was said last is theirs. */
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

/** Goes through all rooms once. Throws where one has the number of a room here that is not its own. */
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

/** Those with a number that can be one here, with what their rules become. */
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

/** The two users that the room is to belong to, if they have no other. */
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
    `${conflictCount} of the original's rooms have the number of a room here that is not theirs: ${conflicts.join(', ')}${more}. ` +
      'Take another database for the import, or delete these rooms first',
  );
}
