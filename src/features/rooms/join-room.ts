import { type Actor, administersAsOwner, judge, matchOf } from '../../core/authorization.ts';
import { type Cursor, formatCursor, type Position, parseCursor } from '../../core/cursor.ts';
import type { Member, RoomFeed } from '../../core/feed/room-feed.ts';
import type { RoomId, RoomRef } from '../../core/ids.ts';
import { type Change, type Grant, toChangeEvent } from '../../core/log/change.ts';
import { rightsAt, verdictOn } from '../../core/log/rights-cache.ts';
import type { RoomSnapshot } from '../../core/log/room-snapshot.ts';
import type { Room } from '../../core/room.ts';
import { type Rooms, roomIdOf } from '../app-context.ts';

export interface Joined {
  room: Room;
  rights: string;
  head: Position;
  recovered: boolean;
  /** What was missed, in order; empty unless `recovered`. */
  events: Change[];
}

const mostMissed = 500;
const mostMissedBytes = 256 * 1024;
const revsOfStep = 100;

/**
 * Takes a member into a room: every change from the moment of `acknowledge`, once and in order, and with `since` what
 * was missed before. `acknowledge` runs in the same turn in which the member goes live, so the two cannot cross.
 * Returns the undo.
 */
export async function joinRoom(
  rooms: Rooms,
  member: Member,
  ref: RoomRef,
  since: Cursor | null | undefined,
  acknowledge: (joined: Joined) => void,
): Promise<() => void> {
  const id = await roomIdOf(rooms, ref);
  const feed = rooms.feeds.open(id);
  const leave = leaving(rooms, feed, member, id);
  try {
    await feed.join(
      member,
      () => read(rooms, member, id, since),
      ({ state, missed }) => {
        const { rights } = verdictOn(member.actor, rightsAt(state));
        const { room, head } = state;
        acknowledge({ room, rights, head, recovered: missed !== undefined, events: missed ?? [] });
      },
    );
    return leave;
  } catch (error) {
    leave();
    throw error;
  }
}

/** Kept as long as the member stays, so it holds nothing else of the join. */
function leaving(rooms: Rooms, feed: RoomFeed, member: Member, id: RoomId): () => void {
  return () => {
    feed.leave(member);
    rooms.feeds.release(id);
  };
}

/**
 * A member that is in the room joins it again: it stays in, and hears on. The answer is the place the feed has come to,
 * so nothing that has been announced comes again and nothing is left out.
 */
export async function rejoinRoom(
  rooms: Rooms,
  member: Member,
  id: RoomId,
  since: Cursor | null | undefined,
  acknowledge: (joined: Joined) => void,
): Promise<void> {
  const feed = rooms.feeds.open(id);
  await feed.rejoin(
    member,
    () => read(rooms, member, id, since),
    ({ state, missed }, later) => {
      const head = later.at(-1) ?? state.head;
      const events = missed && [...missed, ...later];
      acknowledge({
        room: later.reduce(roomAfter, state.room),
        rights: feed.rightsOf(member.actor),
        head,
        recovered: events !== undefined,
        events: events ?? [],
      });
    },
  );
}

function roomAfter(room: Room, change: Change): Room {
  if (change.kind === 'message') return { ...room, last_seq: change.message.seq };
  return change.kind === 'room' ? change.room : room;
}

async function read(rooms: Rooms, { actor }: Member, id: RoomId, since: Cursor | null | undefined) {
  const state = await rooms.acceptances.enter(actor, id);
  const missed = since ? await rooms.reads.run(actor.user, () => missedSince(rooms, actor, state, since)) : undefined;
  return { state, missed };
}

/** All changes after the cursor up to the state's head; undefined where they are too many or the cursor does not fit. */
async function missedSince(
  { log }: Rooms,
  actor: Actor,
  state: RoomSnapshot,
  since: Cursor,
): Promise<Change[] | undefined> {
  const { head, start } = state;
  const cursor = parseCursor(since);
  if (!cursor || cursor.room_id !== head.room_id || cursor.rev > head.rev) return undefined;
  if (head.rev - cursor.rev > mostMissed) return undefined;
  if (cursor.rev === head.rev) return formatCursor(cursor) === formatCursor(head) ? [] : undefined;
  const changes = await changesBetween(log, head.room_id, cursor.rev, head.rev);
  if (!changes) return undefined;
  // The change the cursor names comes along: a log that was restored has another one there.
  const named = cursor.rev === start.rev ? start : changes.shift();
  if (!named || formatCursor({ ...named, room_id: head.room_id }) !== formatCursor(cursor)) return undefined;
  const whole = changes.every((change, n) => change.rev === cursor.rev + 1 + n);
  if (!whole || changes.length !== head.rev - cursor.rev) return undefined;
  return hasReadSince(actor, state, cursor.at, changes) ? changes : undefined;
}

/** In steps, which end where it is too much; undefined then. Others get the database in between. */
async function changesBetween(log: Rooms['log'], room: RoomId, from: number, to: number) {
  const changes: Change[] = [];
  let bytes = 0;
  for (let next = from; next <= to; next += revsOfStep) {
    const step = await log.changes(room, next, Math.min(to, next + revsOfStep - 1), revsOfStep);
    for (const change of step) {
      // The one that the cursor names is not delivered.
      if (change.rev > from) bytes += Buffer.byteLength(JSON.stringify(toChangeEvent(change)));
      changes.push(change);
    }
    if (bytes > mostMissedBytes) return undefined;
  }
  return changes;
}

/**
 * Whether the actor could read all along. A cursor is easily made up, and the changes of rules from before somebody
 * came, or from while they were banned, are not theirs to know.
 */
function hasReadSince(actor: Actor, { room, rules }: RoomSnapshot, at: number, missed: readonly Change[]): boolean {
  if (administersAsOwner(actor, room)) return true;
  const hadRule = rules.some((rule) => Date.parse(rule.createdAt) <= at && letsRead(actor, room, rule));
  const lostIt = missed.some(
    (change) =>
      change.kind === 'member' && matchOf(change.rule, actor, room) !== null && !letsRead(actor, room, change.rule),
  );
  return hadRule && !lostIt;
}

function letsRead(actor: Actor, room: Room, { permissions, ...rule }: Grant): boolean {
  return permissions !== null && judge(actor, room, [{ ...rule, permissions }]).rights.includes('r');
}
