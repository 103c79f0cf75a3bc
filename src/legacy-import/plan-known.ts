import type { Uuid } from '../core/ids.ts';
import { orderPair } from '../features/rooms/pairs.ts';
import { fitRules } from './convert-rooms.ts';
import { Findings } from './findings.ts';
import { type CurrentRule, mergeRules } from './merge-rules.ts';
import type { BatchPlan, PlanContext } from './room-plan.ts';
import { minId } from './room-plan.ts';
import type { ScannedRoom } from './scan.ts';
import { type CurrentRoom, formatPairKey, type Mark, readMarks, readRooms, readRules } from './target-reads.ts';

/** A room that an earlier import has brought. */
interface KnownRoom extends ScannedRoom {
  mark: Mark;
}

/** Only rooms of which the original has something new are locked, and looked at under the lock. */
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
  for (const surveyed of rooms) {
    const { id } = surveyed.room;
    const one = { ...surveyed, mark: marks.get(id)! };
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

/** The original's rules in the shape that the room has here; what that leaves out was told when the room came. */
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
  // Rows came or went below the last id that was seen: such a row was under way when the last import looked.
  const reread = tally.known !== mark.seenMessages;
  if (!reread) reportLeftOut(one, findings);
  const users = here.pair ?? ours.map(({ grantee }) => grantee);
  const isTaken = (other: Uuid) => users.length !== 1 || scan.pairs.has(formatPairKey(users[0]!, other));
  const pair = here.type === 'user2user' ? { users, isTaken } : undefined;
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
    ...{ seq: here.seq, rev: here.rev, at: here.at, from: here.rev, undated: now },
    after: reread ? minId : mark.lastMessageId,
    expected: reread ? tally.count : tally.count - tally.known,
    ...{ reread, leftOut: 0, changes, pair: second && orderPair(users[0]!, second.grantee) },
  });
}
