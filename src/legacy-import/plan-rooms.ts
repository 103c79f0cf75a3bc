import type { Uuid } from '../core/ids.ts';
import { orderPair } from '../features/rooms/pairs.ts';
import { convertRoom, deriveUuid, findShape, fitRules, type NewRoom, toRoomUuid } from './convert-rooms.ts';
import { reportRules } from './convert-rules.ts';
import type { LegacyRoomBatch } from './legacy-database.ts';
import { type CurrentRule, mergeRules, type RuleChange, toImportedRule } from './merge-rules.ts';
import { Findings } from './report.ts';
import { convertNumberedRooms, type Scan, type ScannedRoom, toPairKey } from './scan.ts';
import {
  type CurrentRoom,
  formatPairKey,
  type Head,
  type ImportProgress,
  readProgress,
  readRooms,
  readRules,
  readUuids,
  type Target,
} from './target.ts';

/** What the import still has to write to a room that exists in this service. */
export interface RoomPlan extends Head {
  /** The last `rev` of the room's log before the import. */
  startRev: number;
  /** The date for messages without a date. */
  fallbackDate: number;
  /** The import reads the messages whose ids are greater than this. */
  after: number;
  /** The number of messages to read. */
  expected: number;
  /** If true, all messages are read again, and those that an earlier import has stored are ignored. */
  shouldReread: boolean;
  /** The number of messages that were skipped, because they cannot be imported. */
  leftOut: number;
  /** The rule changes of a room from an earlier import. In the room's log they follow the new messages. */
  changes: RuleChange[] | undefined;
  /** Set if the second user of a user2user room was added. */
  pair: ReturnType<typeof orderPair> | undefined;
}

/** This number is lower than every id. */
export const minId = Number.MIN_SAFE_INTEGER;

export interface BatchPlan {
  rooms: NewRoom[];
  progress: ImportProgress[];
  roomPlans: Map<number, RoomPlan>;
  /** How many rooms from earlier imports still exist in this service. */
  known: number;
}

export interface PlanContext {
  target: Target;
  scan: Scan;
  findings: Findings;
  now: number;
  /** Whether to lock the rooms. False for a dry run. */
  shouldLock: boolean;
}

export async function planRooms(batch: LegacyRoomBatch, context: PlanContext): Promise<BatchPlan> {
  const { scan, findings, now } = context;
  const rooms = convertNumberedRooms(batch, scan.tallies, now, findings);
  const known = rooms.filter(({ room }) => scan.imported.has(room.id));
  const newRooms = rooms.filter(({ room }) => !scan.imported.has(room.id));
  const plan: BatchPlan = { rooms: [], progress: [], roomPlans: new Map(), known: 0 };
  await planKnownRooms(known, context, plan);
  await planNewRooms(newRooms, context, plan);
  return plan;
}

async function planNewRooms(
  newRooms: ScannedRoom[],
  { target, scan, findings, now }: PlanContext,
  plan: BatchPlan,
): Promise<void> {
  const uuids = await readUuids(
    target,
    newRooms.map(({ room }) => toRoomUuid(room)),
  );
  for (const scanned of newRooms) {
    const { room, tally, rules, owner } = scanned;
    const ownUuid = toRoomUuid(room);
    const uuid = uuids.has(ownUuid) ? deriveUuid(room) : ownUuid;
    uuids.add(uuid);
    const shape = chooseShape(scanned, scan, findings);
    const converted = convertRoom(room, { shape, uuid, owner, rules, now }, findings);
    reportRules(room.id, converted.rules, findings);
    plan.rooms.push(converted);
    plan.progress.push({
      ...{ room: room.id, uuid: ownUuid, lastMessageId: tally.last, seenMessages: tally.count, leftOut: 0 },
      // `convertRoom` may have added a rule for the owner. The legacy service has no such rule, so it is not recorded
      // here: the next import would take it for a rule that the legacy service has removed, and would remove it, too.
      rules: Object.fromEntries(
        converted.rules
          .filter(({ grantee }) => isLegacyRule(rules, grantee))
          .map((rule) => [rule.grantee, toImportedRule(rule)]),
      ),
    });
    plan.roomPlans.set(room.id, {
      ...{ seq: 0, rev: 0, at: 0, startRev: 0, fallbackDate: converted.created },
      ...{ after: minId, expected: tally.count, shouldReread: false, leftOut: 0, changes: undefined, pair: undefined },
    });
  }
}

const isLegacyRule = (rules: ScannedRoom['rules'], grantee: string) => rules.some((rule) => rule.grantee === grantee);

function chooseShape(scanned: ScannedRoom, { pairs, roomByPair }: Scan, findings: Findings) {
  const { room, rules, owner } = scanned;
  const key = toPairKey(scanned);
  const hasRoom = key !== undefined && (pairs.has(key) || (roomByPair.get(key) ?? room.id) !== room.id);
  const shape = findShape(room, owner, rules, hasRoom);
  if (shape === 'pair' && key) pairs.add(key);
  if (shape === 'private') findings.add(hasRoom ? 'room_same_two' : 'room_more_than_two', `room ${room.id}`);
  return shape;
}

/** A room that an earlier import has created. */
interface KnownRoom extends ScannedRoom {
  progress: ImportProgress;
}

/** Plans the rooms that have changed in the legacy service. Only these rooms are locked. */
export async function planKnownRooms(
  rooms: readonly ScannedRoom[],
  context: PlanContext,
  plan: BatchPlan,
): Promise<void> {
  const { target, findings, shouldLock } = context;
  const ids = rooms.map(({ room }) => room.id);
  const progressByRoom = await readProgress(target, ids);
  const current = await readRooms(target, ids, false);
  const outdated: KnownRoom[] = [];
  for (const scanned of rooms) {
    const { id } = scanned.room;
    const known = { ...scanned, progress: progressByRoom.get(id)! };
    const existing = current.get(id);
    if (!existing) findings.add('room_deleted', `room ${id}`);
    else if (hasNews(known, existing)) outdated.push(known);
    else reportLeftOut(known, findings);
    if (existing) plan.known += 1;
  }
  const outdatedIds = outdated.map(({ room }) => room.id);
  const locked = await readRooms(target, outdatedIds, shouldLock);
  const rules = await readRules(target, outdatedIds);
  for (const known of outdated) {
    const existing = locked.get(known.room.id);
    if (existing) planRoom(known, existing, rules.get(known.room.id) ?? [], context, plan);
    else findings.add('room_deleted', `room ${known.room.id}`);
  }
}

function reportLeftOut({ progress: { room, leftOut } }: KnownRoom, findings: Findings): void {
  if (leftOut > 0) findings.add('message_before', `room ${room}: ${leftOut}`, leftOut);
}

/**
 * Returns the legacy rules that the room in this service can have. There are no findings for the other rules, because
 * the first import of the room has reported them.
 */
function convertLegacyRules({ room, rules }: KnownRoom, { type, user_owner }: CurrentRoom) {
  const shape = type === 'user2user' ? 'pair' : room.type === 'user2user' ? 'private' : 'group';
  return fitRules(shape, room, user_owner, rules, new Findings());
}

function hasNews(known: KnownRoom, existing: CurrentRoom): boolean {
  const { tally, progress } = known;
  if (tally.count !== progress.seenMessages || tally.known !== progress.seenMessages) return true;
  const legacyRules = convertLegacyRules(known, existing);
  const isUnchanged = ({ grantee, permissions, level, accepted }: (typeof legacyRules)[number]) => {
    const imported = progress.rules[grantee];
    return imported?.permissions === permissions && imported.level === level && imported.accepted === accepted;
  };
  return legacyRules.length !== Object.keys(progress.rules).length || !legacyRules.every(isUnchanged);
}

function planRoom(
  known: KnownRoom,
  existing: CurrentRoom,
  currentRules: readonly CurrentRule[],
  { scan, findings, now }: PlanContext,
  plan: BatchPlan,
): void {
  const { room, tally, progress } = known;
  // The number of messages up to the last imported id has changed, so messages were deleted, or their transactions were
  // still open during the previous import.
  const shouldReread = tally.known !== progress.seenMessages;
  if (!shouldReread) reportLeftOut(known, findings);
  const users = existing.pair ?? currentRules.map(({ grantee }) => grantee);
  const hasRoomWith = (other: Uuid) => users.length !== 1 || scan.pairs.has(formatPairKey(users[0]!, other));
  const pair = existing.type === 'user2user' ? { users, hasRoomWith } : undefined;
  const merge = {
    room: room.id,
    importedRules: progress.rules,
    legacyRules: convertLegacyRules(known, existing),
    currentRules,
    pair,
  };
  const { changes, importedRules } = mergeRules(merge, findings);
  const second = pair && !existing.pair ? changes.find(({ grantee }) => !users.includes(grantee)) : undefined;
  if (second) scan.pairs.add(formatPairKey(users[0]!, second.grantee));
  plan.progress.push({
    ...progress,
    lastMessageId: Math.max(progress.lastMessageId, tally.last),
    seenMessages: tally.count,
    leftOut: shouldReread ? 0 : progress.leftOut,
    rules: importedRules,
  });
  plan.roomPlans.set(room.id, {
    ...{ seq: existing.seq, rev: existing.rev, at: existing.at, startRev: existing.rev, fallbackDate: now },
    after: shouldReread ? minId : progress.lastMessageId,
    expected: shouldReread ? tally.count : tally.count - tally.known,
    ...{ shouldReread, leftOut: 0, changes, pair: second && orderPair(users[0]!, second.grantee) },
  });
}
