import type { Uuid } from '../core/ids.ts';
import { findOwner, findPair, findShape, toRoomUuid } from './convert-rooms.ts';
import { type ConvertedRule, convertRules } from './convert-rules.ts';
import type { LegacyDatabase, LegacyRoom, LegacyRoomBatch, Tally } from './legacy-database.ts';
import { Findings, ImportError } from './report.ts';
import { formatPairKey, type ImportedRoom, readImportedRooms, readNames, readPairs, type Target } from './target.ts';

/** What the import must know about all rooms before it writes the first room. */
export interface Scan {
  tallies: ReadonlyMap<number, Tally>;
  imported: ReadonlyMap<number, ImportedRoom>;
  /** The keys (`formatPairKey`) of all user2user rooms in this service, including the rooms of this import. */
  pairs: Set<string>;
  /**
   * The id of the room that remains a user2user room, by the key of its two users. If the legacy service has several
   * rooms of the same two users, this is the room with the latest message.
   */
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

/** Reads all legacy rooms once. Throws if this service already uses the id of a legacy room for another room. */
export async function scanLegacy(
  legacy: LegacyDatabase,
  target: Target,
  now: number,
  findings: Findings,
): Promise<Scan> {
  const imported = await readImportedRooms(target);
  const tallies = new Map<number, Tally>();
  for (const tally of await legacy.tallies(imported)) tallies.set(tally.room_id ?? Number.NaN, tally);
  const conflicts: string[] = [];
  const latest = new Map<string, PairClaim>();
  const missing = new Set(imported.keys());
  const strayMessages = new Map(tallies);
  let [lastRoom, lastMessage, conflictCount] = [0, 0, 0];
  for await (const batch of legacy.rooms()) {
    const rooms = convertNumberedRooms(batch, tallies, now, new Findings());
    const names = await readNames(
      target,
      rooms.map(({ room }) => room.id),
    );
    for (const scanned of rooms) {
      const { room, tally } = scanned;
      const known = imported.get(room.id);
      if (known ? known.uuid !== toRoomUuid(room) : names.has(room.id)) {
        conflictCount += 1;
        const name = JSON.stringify(names.get(room.id) ?? 'deleted here');
        if (conflicts.length < maxNames) conflicts.push(`${room.id} ${name}`);
      }
      if (!known) claimPair(scanned, latest);
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
  return { tallies, imported, pairs: await readPairs(target), roomByPair, lastRoom, lastMessage };
}

/** Converts the rules of rooms. Leaves out rooms whose ids are invalid in this service or occur twice. */
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

/** Returns the key of the two users of a user2user room. Returns undefined for other rooms. */
export function toPairKey({ room, rules, owner }: ScannedRoom): string | undefined {
  const pair = room.type === 'user2user' ? findPair(room, owner, rules) : undefined;
  return pair && formatPairKey(...pair);
}

interface PairClaim {
  room: number;
  newest: number;
}

function claimPair(scanned: ScannedRoom, latest: Map<string, PairClaim>): void {
  const key = toPairKey(scanned);
  if (key === undefined || findShape(scanned.room, scanned.owner, scanned.rules, false) !== 'pair') return;
  const newest = scanned.tally.newest ?? Number.NEGATIVE_INFINITY;
  const other = latest.get(key);
  if (!other || newest > other.newest) latest.set(key, { room: scanned.room.id, newest });
}

function assertNoConflicts(conflictCount: number, conflicts: readonly string[]): void {
  if (conflictCount === 0) return;
  const more = conflictCount > conflicts.length ? ' …' : '';
  throw new ImportError(
    `${conflictCount} of the legacy rooms have the id of another room in this service: ${conflicts.join(', ')}${more}. ` +
      'Import into another database, or delete these rooms first',
  );
}
