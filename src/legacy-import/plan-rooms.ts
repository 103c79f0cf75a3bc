import type { Uuid } from '../core/ids.ts';
import { orderPair } from '../features/rooms/pairs.ts';
import { convertRoom, deriveUuid, findShape, fitRules, type NewRoom, toRoomUuid } from './convert-rooms.ts';
import { reportRules } from './convert-rules.ts';
import type { LegacyRoomBatch } from './legacy-database.ts';
import { type CurrentRule, mergeRules, type RuleChange, toSeenRule } from './merge-rules.ts';
import { Findings } from './report.ts';
import { convertNumberedRooms, type Scan, type ScannedRoom, toPairKey } from './scan.ts';
import {
  type CurrentRoom,
  formatPairKey,
  type Head,
  type Mark,
  readMarks,
  readRooms,
  readRules,
  readUuids,
  type Target,
} from './target.ts';

/** The work in one room after its creation. */
export interface RoomPlan extends Head {
  /** The last rev of its log before the import. */
  from: number;
  /** The date for messages without a date. */
  fallbackDate: number;
  /** Messages with a greater id are read; `expected` of them exist. */
  after: number;
  expected: number;
  /** Some of the messages may have been imported already. */
  reread: boolean;
  /** The number of messages that were skipped. */
  leftOut: number;
  /** Rule changes in a known room; in its log they follow the messages. */
  changes: RuleChange[] | undefined;
  /** Set if the second user of a user2user room was added. */
  pair: ReturnType<typeof orderPair> | undefined;
}

/** Less than every id. */
export const minId = Number.MIN_SAFE_INTEGER;

/** The work for a batch of rooms. */
export interface BatchPlan {
  rooms: NewRoom[];
  marks: Mark[];
  roomPlans: Map<number, RoomPlan>;
  /** How many rooms of earlier imports still exist here. */
  known: number;
}

export interface PlanContext {
  target: Target;
  scan: Scan;
  findings: Findings;
  now: number;
  /** A dry run locks nothing. */
  shouldLock: boolean;
}

export async function planRooms(batch: LegacyRoomBatch, context: PlanContext): Promise<BatchPlan> {
  const { scan, findings, now } = context;
  const rooms = convertNumberedRooms(batch, scan.tallies, now, findings);
  const [known, fresh] = [true, false].map((is) => rooms.filter(({ room }) => scan.seen.has(room.id) === is));
  const plan: BatchPlan = { rooms: [], marks: [], roomPlans: new Map(), known: 0 };
  await planKnownRooms(known!, context, plan);
  await planNewRooms(fresh!, context, plan);
  return plan;
}

async function planNewRooms(
  fresh: ScannedRoom[],
  { target, scan, findings, now }: PlanContext,
  plan: BatchPlan,
): Promise<void> {
  const uuids = await readUuids(
    target,
    fresh.map(({ room }) => toRoomUuid(room)),
  );
  for (const one of fresh) {
    const { room, tally, rules, owner } = one;
    const ownUuid = toRoomUuid(room);
    const uuid = uuids.has(ownUuid) ? deriveUuid(room) : ownUuid;
    uuids.add(uuid);
    const shape = chooseShape(one, scan, findings);
    const converted = convertRoom(room, { shape, uuid, owner, rules, now }, findings);
    reportRules(room.id, converted.rules, findings);
    plan.rooms.push(converted);
    plan.marks.push({
      ...{ room: room.id, uuid: ownUuid, lastMessageId: tally.last, seenMessages: tally.count, leftOut: 0 },
      // Without the rule that the owner received here: a later import must not remove it.
      rules: Object.fromEntries(
        converted.rules
          .filter(({ grantee }) => isTheirs(rules, grantee))
          .map((rule) => [rule.grantee, toSeenRule(rule)]),
      ),
    });
    plan.roomPlans.set(room.id, {
      ...{ seq: 0, rev: 0, at: 0, from: 0, fallbackDate: converted.created },
      ...{ after: minId, expected: tally.count, reread: false, leftOut: 0, changes: undefined, pair: undefined },
    });
  }
}

const isTheirs = (rules: ScannedRoom['rules'], grantee: string) => rules.some((rule) => rule.grantee === grantee);

function chooseShape(one: ScannedRoom, { pairs, roomByPair }: Scan, findings: Findings) {
  const { room, rules, owner } = one;
  const key = toPairKey(one);
  const hasRoom = key !== undefined && (pairs.has(key) || (roomByPair.get(key) ?? room.id) !== room.id);
  const shape = findShape(room, owner, rules, hasRoom);
  if (shape === 'pair' && key) pairs.add(key);
  if (shape === 'private') findings.add(hasRoom ? 'room_same_two' : 'room_more_than_two', `room ${room.id}`);
  return shape;
}

/** A room of an earlier import. */
interface KnownRoom extends ScannedRoom {
  mark: Mark;
}

/** Locks only the rooms with news in the legacy service, and plans them under the lock. */
export async function planKnownRooms(
  rooms: readonly ScannedRoom[],
  context: PlanContext,
  plan: BatchPlan,
): Promise<void> {
  const { target, findings, shouldLock } = context;
  const ids = rooms.map(({ room }) => room.id);
  const marks = await readMarks(target, ids);
  const current = await readRooms(target, ids, false);
  const behind: KnownRoom[] = [];
  for (const scanned of rooms) {
    const { id } = scanned.room;
    const one = { ...scanned, mark: marks.get(id)! };
    const here = current.get(id);
    if (!here) findings.add('room_deleted', `room ${id}`);
    else if (isBehind(one, here)) behind.push(one);
    else reportLeftOut(one, findings);
    if (here) plan.known += 1;
  }
  const behindIds = behind.map(({ room }) => room.id);
  const locked = await readRooms(target, behindIds, shouldLock);
  const rules = await readRules(target, behindIds);
  for (const one of behind) {
    const here = locked.get(one.room.id);
    if (here) planRoom(one, here, rules.get(one.room.id) ?? [], context, plan);
    else findings.add('room_deleted', `room ${one.room.id}`);
  }
}

function reportLeftOut({ mark: { room, leftOut } }: KnownRoom, findings: Findings): void {
  if (leftOut > 0) findings.add('message_before', `room ${room}: ${leftOut}`, leftOut);
}

/** The legacy rules that fit the shape of the room here. The first import of the room reported the others. */
function convertTheirRules({ room, rules }: KnownRoom, { type, user_owner }: CurrentRoom) {
  const shape = type === 'user2user' ? 'pair' : room.type === 'user2user' ? 'private' : 'group';
  return fitRules(shape, room, user_owner, rules, new Findings());
}

function isBehind(one: KnownRoom, here: CurrentRoom): boolean {
  const { tally, mark } = one;
  if (tally.count !== mark.seenMessages || tally.known !== mark.seenMessages) return true;
  const theirs = convertTheirRules(one, here);
  const isSeen = ({ grantee, permissions, level, accepted }: (typeof theirs)[number]) => {
    const seen = mark.rules[grantee];
    return seen?.permissions === permissions && seen.level === level && seen.accepted === accepted;
  };
  return theirs.length !== Object.keys(mark.rules).length || !theirs.every(isSeen);
}

function planRoom(
  one: KnownRoom,
  here: CurrentRoom,
  ours: readonly CurrentRule[],
  { scan, findings, now }: PlanContext,
  plan: BatchPlan,
): void {
  const { room, tally, mark } = one;
  // Rows appeared or disappeared below the last id: their transactions were open during the last import.
  const reread = tally.known !== mark.seenMessages;
  if (!reread) reportLeftOut(one, findings);
  const users = here.pair ?? ours.map(({ grantee }) => grantee);
  const hasRoomWith = (other: Uuid) => users.length !== 1 || scan.pairs.has(formatPairKey(users[0]!, other));
  const pair = here.type === 'user2user' ? { users, hasRoomWith } : undefined;
  const merge = { room: room.id, seen: mark.rules, theirs: convertTheirRules(one, here), ours, pair };
  const { changes, seen } = mergeRules(merge, findings);
  const second = pair && !here.pair ? changes.find(({ grantee }) => !users.includes(grantee)) : undefined;
  if (second) scan.pairs.add(formatPairKey(users[0]!, second.grantee));
  plan.marks.push({
    ...mark,
    lastMessageId: Math.max(mark.lastMessageId, tally.last),
    seenMessages: tally.count,
    leftOut: reread ? 0 : mark.leftOut,
    rules: seen,
  });
  plan.roomPlans.set(room.id, {
    ...{ seq: here.seq, rev: here.rev, at: here.at, from: here.rev, fallbackDate: now },
    after: reread ? minId : mark.lastMessageId,
    expected: reread ? tally.count : tally.count - tally.known,
    ...{ reread, leftOut: 0, changes, pair: second && orderPair(users[0]!, second.grantee) },
  });
}
