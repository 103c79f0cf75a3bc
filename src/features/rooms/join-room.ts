import { type Actor, administersAsOwner, authorize, matchRule } from '../../core/authorization.ts';
import type { JoinResult } from '../../core/connections.ts';
import { type Cursor, formatCursor, parseCursor } from '../../core/cursor.ts';
import type { RoomFeed } from '../../core/feed/room-feed.ts';
import type { Subscriber } from '../../core/feed/subscriber.ts';
import type { RoomId, RoomRef } from '../../core/ids.ts';
import { type Change, type Grant, UnknownChangeKindError } from '../../core/log/change.ts';
import { kindOfChange, toChangeEvent } from '../../core/log/change-kinds.ts';
import { decide, toRoomRights } from '../../core/log/rights-cache.ts';
import type { RoomSnapshot } from '../../core/log/room-snapshot.ts';
import type { Room } from '../../core/room.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';

const maxMissed = 500;
const maxMissedBytes = 256 * 1024;
const revsPerStep = 100;

/**
 * Subscribes to a room. `acknowledge` receives the state of the room and, with `since`, the changes that the client
 * missed. After this call, the subscriber receives every later change once and in order. Returns a function that leaves
 * the room.
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

/**
 * The closure lives as long as the subscription. It is created here, so that it does not keep the join's data in
 * memory.
 */
function createLeave(context: AppContext, feed: RoomFeed, subscriber: Subscriber, id: RoomId): () => void {
  return () => {
    feed.leave(subscriber);
    context.feeds.release(id);
  };
}

/**
 * Answers a subscriber that joins its room again. The subscriber continues to receive changes meanwhile. The answer
 * ends exactly where the feed is when it is sent, so no change is missing or duplicated.
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

/**
 * Reads the changes between the cursor and the snapshot. Returns undefined if the client has to load the room again:
 * there are too many changes, the cursor does not match the log, or the actor may not see all of them.
 */
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
    // A node with a newer version wrote this change, and this version cannot convert it.
    if (error instanceof UnknownChangeKindError) return undefined;
    throw error;
  });
  if (!changes) return undefined;
  // The change at the cursor itself must be the same. If it differs, the database was restored from a backup.
  const cursorChange = cursor.rev === start.rev ? start : changes.shift();
  if (!cursorChange || formatCursor({ ...cursorChange, room_id: head.room_id }) !== formatCursor(cursor))
    return undefined;
  const isContiguous = changes.every((change, n) => change.rev === cursor.rev + 1 + n);
  if (!isContiguous || changes.length !== head.rev - cursor.rev) return undefined;
  return hadReadThroughout(actor, snapshot, cursor.at, changes) ? changes : undefined;
}

/** Reads in steps, so that other queries can run in between. Returns undefined if the changes exceed the size limit. */
async function readChanges(log: AppContext['log'], room: RoomId, from: number, to: number) {
  const changes: Change[] = [];
  let bytes = 0;
  for (let next = from; next <= to; next += revsPerStep) {
    const step = await log.changes(room, next, Math.min(to, next + revsPerStep - 1), revsPerStep);
    for (const change of step) {
      // The change at the cursor does not count, because the client already has it.
      if (change.rev > from) bytes += Buffer.byteLength(JSON.stringify(toChangeEvent(change)));
      changes.push(change);
    }
    if (bytes > maxMissedBytes) return undefined;
  }
  return changes;
}

/**
 * Whether the actor had the right to read all the time since the cursor. A client can forge a cursor, and users must
 * not see changes of rules from before they became members or while they were banned.
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
