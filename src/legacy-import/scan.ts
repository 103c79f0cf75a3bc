import type { Uuid } from '../core/ids.ts';
import { identityOf, ownerOf, pairIn, shapeOf } from './convert-rooms.ts';
import { type TakenRule, takeRules } from './convert-rules.ts';
import { Findings } from './findings.ts';
import { ImportError } from './import-error.ts';
import type { OldRoom, OldRooms, Original, Tally } from './legacy-rows.ts';
import type { Target } from './target.ts';
import { pairKey, readNames, readPairs, readSeen, type SeenRoom } from './target-reads.ts';

/** What has to be known of all rooms before the first one is written. */
export interface Survey {
  tallies: ReadonlyMap<number, Tally>;
  seen: ReadonlyMap<number, SeenRoom>;
  /** The two users of every user2user room here, as `pairKey` has them. It grows with those that come. */
  pairs: Set<string>;
  /** Of several rooms of the same two users, the one where something was said last is theirs. */
  ofPairs: ReadonlyMap<string, number>;
  lastRoom: number;
  lastMessage: number;
}

export interface SurveyedRoom {
  room: OldRoom;
  rules: TakenRule[];
  owner: Uuid;
  tally: Tally;
}

const mostNamed = 5;

/** Goes through all rooms once. Throws where one has the number of a room here that is not its own. */
export async function surveyOriginal(
  original: Original,
  target: Target,
  now: number,
  findings: Findings,
): Promise<Survey> {
  const seen = await readSeen(target);
  const tallies = new Map<number, Tally>();
  for (const tally of await original.tallies(seen)) tallies.set(tally.room_id ?? Number.NaN, tally);
  const conflicts: string[] = [];
  const latest = new Map<string, Claim>();
  const unmet = new Set(seen.keys());
  const strayMessages = new Map(tallies);
  let [lastRoom, lastMessage, taken] = [0, 0, 0];
  for await (const some of original.rooms()) {
    const rooms = takeNumbered(some, tallies, now, new Findings());
    const names = await readNames(
      target,
      rooms.map(({ room }) => room.id),
    );
    for (const one of rooms) {
      const { room, tally } = one;
      const known = seen.get(room.id);
      if (known ? known.uuid !== identityOf(room) : names.has(room.id)) {
        taken += 1;
        const name = JSON.stringify(names.get(room.id) ?? 'deleted here');
        if (conflicts.length < mostNamed) conflicts.push(`${room.id} ${name}`);
      }
      if (!known) claimPair(one, latest);
      unmet.delete(room.id);
      strayMessages.delete(room.id);
      lastRoom = Math.max(lastRoom, room.id);
      lastMessage = Math.max(lastMessage, tally.last);
    }
  }
  refuse(taken, conflicts);
  for (const { room_id, count } of strayMessages.values()) {
    findings.add('message_room', `room ${room_id}: ${count.toLocaleString('en')}`, count);
  }
  for (const room of (await readNames(target, [...unmet])).keys()) findings.add('room_gone', `room ${room}`);
  const ofPairs = new Map([...latest].map(([key, { room }]) => [key, room]));
  return { tallies, seen, pairs: await readPairs(target), ofPairs, lastRoom, lastMessage };
}

/** Those with a number that can be one here, with what their rules become. */
export function takeNumbered(
  { rooms, strayRules }: OldRooms,
  tallies: ReadonlyMap<number, Tally>,
  now: number,
  findings: Findings,
): SurveyedRoom[] {
  const numbered: SurveyedRoom[] = [];
  for (const { room, rules: old } of rooms) {
    const { id } = room;
    const isNumber = Number.isSafeInteger(id) && id > 0 && id !== numbered.at(-1)?.room.id;
    if (isNumber) {
      const rules = takeRules(id, old, now, findings);
      const tally = tallies.get(id) ?? { room_id: id, count: 0, known: 0, last: 0, newest: null };
      numbered.push({ room, rules, owner: ownerOf(room, rules), tally });
    } else {
      findings.add('room_number', `room ${id}`);
      strayRules.push(...old);
    }
  }
  for (const { room_id } of strayRules) findings.add('rule_room', `room ${room_id}`);
  return numbered;
}

/** The two users that the room is to belong to, if they have no other. */
export function pairKeyOf({ room, rules, owner }: SurveyedRoom): string | undefined {
  const two = room.type === 'user2user' ? pairIn(room, owner, rules) : undefined;
  return two && pairKey(...two);
}

interface Claim {
  room: number;
  newest: number;
}

function claimPair(one: SurveyedRoom, latest: Map<string, Claim>): void {
  const key = pairKeyOf(one);
  if (key === undefined || shapeOf(one.room, one.owner, one.rules, false) !== 'pair') return;
  const newest = one.tally.newest ?? Number.NEGATIVE_INFINITY;
  const other = latest.get(key);
  if (!other || newest > other.newest) latest.set(key, { room: one.room.id, newest });
}

function refuse(taken: number, conflicts: readonly string[]): void {
  if (taken === 0) return;
  const more = taken > conflicts.length ? ' …' : '';
  throw new ImportError(
    `${taken} of the original's rooms have the number of a room here that is not theirs: ${conflicts.join(', ')}${more}. ` +
      'Take another database for the import, or delete these rooms first',
  );
}
