import { type Actor, administersAsOwner, authorize, matchRule } from '../../core/authorization.ts';
import { type Cursor, formatCursor, type Position, parseCursor } from '../../core/cursor.ts';
import type { RoomFeed } from '../../core/feed/room-feed.ts';
import type { Subscriber } from '../../core/feed/subscriber.ts';
import type { RoomId, RoomRef } from '../../core/ids.ts';
import { type Change, type Grant, UnknownChangeKindError } from '../../core/log/change.ts';
import { kindOfChange, toChangeEvent } from '../../core/log/change-kinds.ts';
import { decide, toRoomRights } from '../../core/log/rights-cache.ts';
import type { RoomSnapshot } from '../../core/log/room-snapshot.ts';
import type { Room } from '../../core/room.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';

export interface JoinResult {
  room: Room;
  rights: string;
  head: Position;
  recovered: boolean;
  /** What was missed, in order; empty unless `recovered`. */
  events: Change[];
}

const maxMissed = 500;
const maxMissedBytes = 256 * 1024;
const revsPerStep = 100;

/**
 * Takes a member into a room: every change from the moment of `acknowledge`, once and in order, and with `since` what
 * was missed before. `acknowledge` runs in the same turn in which the member goes live, so the two cannot cross.
 * Returns the undo.
 */
export async function joinRoom(
  context: AppContext,
  subscriber: Subscriber,
  ref: RoomRef,
  since: Cursor | null | undefined,
  acknowledge: (joined: JoinResult) => void,
): Promise<() => void> {
  const id = await resolveRoomId(context, ref);
  const feed = context.feeds.open(id);
  const leave = createLeave(context, feed, subscriber, id);
  try {
    await feed.join(
      subscriber,
      () => readJoin(context, subscriber, id, since),
      ({ snapshot, missed }) => {
        const { rights } = decide(subscriber.actor, toRoomRights(snapshot));
        const { room, head } = snapshot;
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
function createLeave(context: AppContext, feed: RoomFeed, subscriber: Subscriber, id: RoomId): () => void {
  return () => {
    feed.leave(subscriber);
    context.feeds.release(id);
  };
}

/**
 * A member that is in the room joins it again: it stays in, and hears on. The answer is the place the feed has come to,
 * so nothing that has been announced comes again and nothing is left out.
 */
export async function rejoinRoom(
  context: AppContext,
  subscriber: Subscriber,
  id: RoomId,
  since: Cursor | null | undefined,
  acknowledge: (joined: JoinResult) => void,
): Promise<void> {
  const feed = context.feeds.open(id);
  await feed.rejoin(
    subscriber,
    () => readJoin(context, subscriber, id, since),
    ({ snapshot, missed }, later) => {
      const head = later.at(-1) ?? snapshot.head;
      const events = missed && [...missed, ...later];
      acknowledge({
        room: later.reduce(applyRoomChange, snapshot.room),
        rights: feed.getRights(subscriber.actor),
        head,
        recovered: events !== undefined,
        events: events ?? [],
      });
    },
  );
}

function applyRoomChange(room: Room, change: Change): Room {
  return kindOfChange(change).applyToRoom(room, change);
}

async function readJoin(context: AppContext, { actor }: Subscriber, id: RoomId, since: Cursor | null | undefined) {
  const snapshot = await context.acceptanceQueue.accept(actor, id);
  const missed = since
    ? await context.concurrentReads.run(actor.user, () => readMissed(context, actor, snapshot, since))
    : undefined;
  return { snapshot, missed };
}

/** All changes after the cursor up to the state's head; undefined where they are too many or the cursor does not fit. */
async function readMissed(
  { log }: AppContext,
  actor: Actor,
  snapshot: RoomSnapshot,
  since: Cursor,
): Promise<Change[] | undefined> {
  const { head, start } = snapshot;
  const cursor = parseCursor(since);
  if (!cursor || cursor.room_id !== head.room_id || cursor.rev > head.rev) return undefined;
  if (head.rev - cursor.rev > maxMissed) return undefined;
  if (cursor.rev === head.rev) return formatCursor(cursor) === formatCursor(head) ? [] : undefined;
  const changes = await readChanges(log, head.room_id, cursor.rev, head.rev).catch((error) => {
    // What a newer version has changed meanwhile cannot be repeated here.
    if (error instanceof UnknownChangeKindError) return undefined;
    throw error;
  });
  if (!changes) return undefined;
  // The change the cursor names comes along: a log that was restored has another one there.
  const cursorChange = cursor.rev === start.rev ? start : changes.shift();
  if (!cursorChange || formatCursor({ ...cursorChange, room_id: head.room_id }) !== formatCursor(cursor))
    return undefined;
  const isContiguous = changes.every((change, n) => change.rev === cursor.rev + 1 + n);
  if (!isContiguous || changes.length !== head.rev - cursor.rev) return undefined;
  return hadReadThroughout(actor, snapshot, cursor.at, changes) ? changes : undefined;
}

/** In steps, which end where it is too much; undefined then. Others get the database in between. */
async function readChanges(log: AppContext['log'], room: RoomId, from: number, to: number) {
  const changes: Change[] = [];
  let bytes = 0;
  for (let next = from; next <= to; next += revsPerStep) {
    const step = await log.changes(room, next, Math.min(to, next + revsPerStep - 1), revsPerStep);
    for (const change of step) {
      // The one that the cursor names is not delivered.
      if (change.rev > from) bytes += Buffer.byteLength(JSON.stringify(toChangeEvent(change)));
      changes.push(change);
    }
    if (bytes > maxMissedBytes) return undefined;
  }
  return changes;
}

/**
 * Whether the actor could read all along. A cursor is easily made up, and the changes of rules from before somebody
 * came, or from while they were banned, are not theirs to know.
 */
function hadReadThroughout(
  actor: Actor,
  { room, rules }: RoomSnapshot,
  cursorAt: number,
  missed: readonly Change[],
): boolean {
  if (administersAsOwner(actor, room)) return true;
  const hadRule = rules.some((rule) => Date.parse(rule.createdAt) <= cursorAt && allowsReading(actor, room, rule));
  const lostAccess = missed.some((change) => {
    const grant = kindOfChange(change).getGrant(change);
    return grant && matchRule(grant, actor, room) !== null && !allowsReading(actor, room, grant);
  });
  return hadRule && !lostAccess;
}

function allowsReading(actor: Actor, room: Room, { permissions, ...rule }: Grant): boolean {
  return permissions !== null && authorize(actor, room, [{ ...rule, permissions }]).rights.includes('r');
}
