import { type Actor, administersAsOwner, authorize, can, matchRule } from '../../core/authorization.ts';
import type { JoinResult } from '../../core/connections.ts';
import { type Cursor, formatCursor, parseCursor } from '../../core/cursor.ts';
import type { Subscriber } from '../../core/feed/subscriber.ts';
import type { RoomId, RoomRef } from '../../core/ids.ts';
import {
  type Change,
  type Grant,
  type MessageChange,
  type RevisionChange,
  UnknownChangeKindError,
} from '../../core/log/change.ts';
import { kindOfChange, toChangeEvent } from '../../core/log/change-kinds.ts';
import { decide, indexRules, toRoomRights } from '../../core/log/rights-cache.ts';
import type { RoomSnapshot } from '../../core/log/room-snapshot.ts';
import type { Room } from '../../core/room.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import { type JoinAnswers, noJoinAnswers, type ReadJoinAnswers } from './join-options.ts';

const maxMissed = 500;
const maxMissedBytes = 256 * 1024;
/**
 * The maximum number of skipped entries in a replay. The limit is high, because a skipped entry costs a client little.
 */
const maxSkipped = 5_000;
const revsPerStep = 100;
/** After a step that only skipped entries, the next one may be larger. */
const revsPerSkippedStep = 1_000;

/** Which missed changes a subscriber receives. */
interface Replay {
  /** The cursor of the last change that the client applied; nothing is replayed without it. */
  since?: Cursor | null | undefined;
  /** Whether the client receives the change. If undefined, it receives every change. */
  receives?: ((change: Change) => boolean) | undefined;
}

/**
 * Subscribes to a room. `acknowledge` receives the state of the room and, with `since`, the changes that the client
 * missed. After this call, the subscriber receives every later change once and in order, until `feeds.leave` is called.
 */
export async function joinRoom(
  context: AppContext,
  subscriber: Subscriber,
  ref: RoomRef,
  replay: Replay,
  acknowledge: (joined: JoinResult, answers: JoinAnswers) => void,
  readAnswers = noJoinAnswers,
): Promise<void> {
  const id = await resolveRoomId(context, ref);
  const feed = context.feeds.open(id);
  try {
    await feed.join(
      subscriber,
      () => readJoin(context, subscriber, id, replay, readAnswers),
      ({ snapshot, missed, answers }) => {
        const state = toRoomRights(snapshot);
        const { rights } = decide(subscriber.actor, state);
        const { room, head } = snapshot;
        const mayRead = (actor: Actor) => can(decide(actor, state), 'read') && feed.getRights(actor).includes('r');
        acknowledge({ room, rights, head, recovered: missed !== undefined, events: missed ?? [] }, answers(mayRead));
      },
    );
  } catch (error) {
    context.feeds.leave(id, subscriber);
    throw error;
  }
}

/**
 * Answers a subscriber that joins its room again. The subscriber continues to receive changes meanwhile. The answer
 * ends exactly where the feed is when it is sent, so no change is missing or duplicated.
 */
export async function rejoinRoom(
  context: AppContext,
  subscriber: Subscriber,
  id: RoomId,
  replay: Replay,
  acknowledge: (joined: JoinResult, answers: JoinAnswers) => void,
  readAnswers = noJoinAnswers,
): Promise<void> {
  const feed = context.feeds.open(id);
  await feed.rejoin(
    subscriber,
    () => readJoin(context, subscriber, id, replay, readAnswers),
    ({ snapshot, missed, answers }, later) => {
      const head = later.at(-1) ?? snapshot.head;
      const events = missed && [...missed, ...later];
      const room = later.reduce(applyRoomChange, snapshot.room);
      const rights = feed.getRights(subscriber.actor);
      const mayRead = (actor: Actor) => feed.getRights(actor).includes('r');
      acknowledge({ room, rights, head, recovered: events !== undefined, events: events ?? [] }, answers(mayRead));
    },
  );
}

function applyRoomChange(room: Room, change: Change): Room {
  return kindOfChange(change).applyToRoom(room, change);
}

async function readJoin(
  context: AppContext,
  { actor }: Subscriber,
  id: RoomId,
  { since, receives }: Replay,
  readAnswers: ReadJoinAnswers,
) {
  const readingAnswers = readAnswers();
  // If the join is denied, its own error is reported instead, because it is more precise.
  readingAnswers.catch(() => {});
  const snapshot = await context.acceptanceQueue.accept(actor, id);
  const missed = since
    ? await context.concurrentReads.run(actor.user, () => readMissed(context, actor, snapshot, since, receives))
    : undefined;
  return { snapshot, missed, answers: await readingAnswers };
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
  receives: Replay['receives'] = () => true,
): Promise<Change[] | undefined> {
  const { head, start } = snapshot;
  const cursor = parseCursor(since);
  if (!cursor || cursor.room_id !== head.room_id || cursor.rev > head.rev) return undefined;
  if (head.rev - cursor.rev > maxMissed + maxSkipped) return undefined;
  if (cursor.rev === head.rev) return formatCursor(cursor) === formatCursor(head) ? [] : undefined;
  // A restored log has a different change at the `rev` of the cursor. The change is read separately: the replay must
  // not skip later entries of its message.
  const [cursorChange] =
    cursor.rev === start.rev ? [start] : await log.changes(head.room_id, cursor.rev, cursor.rev, 1).catch(() => []);
  if (!cursorChange || formatCursor({ ...cursorChange, room_id: head.room_id }) !== formatCursor(cursor))
    return undefined;
  const changes = await readChanges(log, head.room_id, cursor.rev + 1, head.rev, receives).catch((error) => {
    // A node with a newer version wrote this change, and this version cannot convert it.
    if (error instanceof UnknownChangeKindError) return undefined;
    throw error;
  });
  if (!changes) return undefined;
  const isContiguous = changes.every((change, n) => change.rev === cursor.rev + 1 + n);
  if (!isContiguous || changes.length !== head.rev - cursor.rev) return undefined;
  if (!hadReadThroughout(actor, snapshot, cursor.at, changes)) return undefined;
  return markOwnReactions(log, actor, head.room_id, changes);
}

/** Adds `mine` to the reactions of the actor. Reactions may be newer than the rest, but never older. */
async function markOwnReactions(
  log: AppContext['log'],
  { user }: Actor,
  room: RoomId,
  changes: Change[],
): Promise<Change[]> {
  const reacted = changes.filter(hasReactions).map(({ message }) => message.seq);
  if (reacted.length === 0) return changes;
  const reactionsBySeq = await log.reactionsFor(user, room, reacted);
  return changes.map((change) => {
    if (!hasReactions(change)) return change;
    return { ...change, message: { ...change.message, reactions: reactionsBySeq.get(change.message.seq) ?? [] } };
  });
}

const hasReactions = (change: Change): change is MessageChange | RevisionChange =>
  (change.kind === 'message' || change.kind === 'revision') && (change.message.reactions ?? []).length > 0;

/**
 * Reads in steps, so that other queries can run in between. Returns undefined if the changes are too many or too large.
 * A change of a message that the client does not receive becomes `skipped`, so that its text does not stay in memory.
 */
async function readChanges(
  log: AppContext['log'],
  room: RoomId,
  from: number,
  to: number,
  receives: (change: Change) => boolean,
) {
  const changes: Change[] = [];
  const given = new Set<number>();
  let bytes = 0;
  let skipped = 0;
  for (let next = from, size = revsPerStep; next <= to; next += size) {
    if (changes.length > 0) size = changes.at(-1)!.kind === 'skipped' ? revsPerSkippedStep : revsPerStep;
    const step = await log.changes(room, next, Math.min(to, next + size - 1), size, given);
    for (const change of step) {
      const isSkipped = change.kind === 'skipped' || !receives(change);
      if (isSkipped) skipped += 1;
      else bytes += Buffer.byteLength(JSON.stringify(toChangeEvent(change)));
      changes.push(isSkipped && namesMessage(change) ? toSkipped(change) : change);
    }
    if (bytes > maxMissedBytes || skipped > maxSkipped || changes.length - skipped > maxMissed) return undefined;
  }
  return changes;
}

const namesMessage = ({ kind }: Change) => kind === 'message' || kind === 'revision' || kind === 'reactions';
const toSkipped = ({ room_id, rev, at }: Change): Change => ({ kind: 'skipped', room_id, rev, at });

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
  const indexed = indexRules(rules);
  const hadRule = [actor.user, actor.entity].some((grantee) => {
    const rule = grantee === null ? undefined : indexed.get(grantee);
    return rule && Date.parse(rule.createdAt) <= cursorAt && allowsReading(actor, room, rule);
  });
  const lostAccess = missed.some((change) => {
    const grant = kindOfChange(change).getGrant(change);
    return grant && matchRule(grant, actor, room) !== null && !allowsReading(actor, room, grant);
  });
  return hadRule && !lostAccess;
}

function allowsReading(actor: Actor, room: Room, { permissions, ...rule }: Grant): boolean {
  return permissions !== null && authorize(actor, room, [{ ...rule, permissions }]).rights.includes('r');
}
