import { type Actor, can } from '../../core/authorization.ts';
import type { Position } from '../../core/cursor.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import { type HistorySlice, type HistorySlices, maxPageBytes } from '../../core/log/read-history.ts';
import { type AppContext, requireRoom, resolveRoomId } from '../app-context.ts';

/** The parameters that the same request needs for the next page: for a page around a message, in each direction. */
export interface NextPage {
  before?: number;
  after?: number;
}

export interface HistoryPage {
  messages: MessageChange[];
  /** The head of the log when the page was read. The page contains every change up to it, and none after it. */
  head: Position;
  has_more: boolean;
  /** null if `has_more` is false. */
  next: NextPage | null;
}

export interface PageQuery {
  before?: number | undefined;
  after?: number | undefined;
  around?: number | undefined;
  limit: number;
  dateFrom?: number | undefined;
  dateTo?: number | undefined;
  thread?: number | undefined;
  top_level?: boolean | undefined;
  tombstones: boolean;
}

/** Reads a page of messages, oldest first. Without `before`, `after` and `around`, it is the newest page. */
export function readHistory(context: AppContext, actor: Actor, ref: RoomRef, query: PageQuery): Promise<HistoryPage> {
  return context.concurrentReads.run(actor.user, () => readPage(context, actor, ref, query));
}

async function readPage(context: AppContext, actor: Actor, ref: RoomRef, query: PageQuery): Promise<HistoryPage> {
  const { before, after, around, limit, thread, dateFrom, dateTo, top_level = false, tombstones } = query;
  const slices = await readAuthorized(context, actor, ref, (room_id) =>
    context.log.history({
      ...{ room_id, user: actor.user, tombstones, topLevel: top_level },
      ...{ thread: thread ?? null, dateFrom: dateFrom ?? null, dateTo: dateTo ?? null },
      split: around ?? (after === undefined ? (before ?? Number.MAX_SAFE_INTEGER) : after + 1),
      maxOlder: after === undefined ? limit : 0,
      maxNewer: after === undefined && around === undefined ? 0 : limit,
    }),
  );
  return toPage(slices, query);
}

/**
 * Authorizes the actor with cached rules, then reads. If these rules were not current when the result was read, it may
 * contain changes that the actor must not see, so the actor is authorized again. Only current rules deny a request.
 */
async function readAuthorized<T extends { rightsRev: number }>(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  read: (room: number) => Promise<T | undefined>,
): Promise<T> {
  const room = await resolveRoomId(context, ref);
  const cached = (await context.rights.load([room])).get(room);
  const isAllowed = cached !== undefined && can(cached.decide(actor), 'read');
  const { rightsRev } = isAllowed ? cached : await requireRoom(context, actor, 'read', room);
  const found = await read(room);
  if (!found) {
    context.rights.invalidate(room);
    throw new ChatError('NOT_FOUND');
  }
  if (found.rightsRev > rightsRev) {
    context.rights.invalidate(room);
    await requireRoom(context, actor, 'read', room);
  }
  return found;
}

/**
 * Cuts the page to its size. A page around a message has about as many messages before as after it, and the size cuts
 * off those that are farthest from it.
 */
function toPage({ head, older, newer }: HistorySlices, { around, limit }: PageQuery): HistoryPage {
  const isAround = around !== undefined;
  const maxBefore = isAround ? Math.max(Math.floor(limit / 2), limit - newer.messages.length) : limit;
  const before = Math.min(older.messages.length, maxBefore);
  const behind = Math.min(newer.messages.length, isAround ? limit - before : limit);
  const outwards: MessageChange[] = [];
  for (let n = 0; n < Math.max(before, behind); n++) {
    if (n < behind) outwards.push(newer.messages[n]!);
    if (n < before) outwards.push(older.messages[n]!);
  }
  const fitting = outwards.slice(0, countFitting(outwards));
  const kept = new Set(fitting);
  const olderEnd = findEnd(older, kept, isAround ? around : undefined);
  const newerEnd = findEnd(newer, kept, isAround ? around - 1 : undefined);
  const next = {
    ...(olderEnd !== null && { before: olderEnd }),
    ...(newerEnd !== null && { after: newerEnd }),
  };
  const has_more = Object.keys(next).length > 0;
  const messages = fitting.sort((a, b) => a.message.seq - b.message.seq);
  return { head, messages, has_more, next: has_more ? next : null };
}

/** The `seq` after which the next page begins; null if there are no more messages in this direction. */
function findEnd(slice: HistorySlice, kept: ReadonlySet<MessageChange>, start: number | undefined): number | null {
  const count = slice.messages.findIndex((change) => !kept.has(change));
  const keptCount = count === -1 ? slice.messages.length : count;
  if (keptCount === slice.found) return slice.searchedTo;
  return slice.messages[keptCount - 1]?.message.seq ?? start ?? null;
}

/** An upper bound of the bytes that a message without `custom` and the like needs as JSON, beside its content. */
const plainMessageBytes = 1_024;
/** An upper bound of the bytes of a UTF-16 code unit in a JSON string: `\u0000`. */
const maxUnitBytes = 6;

/** Counts the messages that fit into a page: at most 256 KiB as JSON, but at least one. */
function countFitting(messages: readonly MessageChange[]): number {
  if (areSmall(messages)) return messages.length;
  let bytes = 0;
  for (const [n, { message }] of messages.entries()) {
    bytes += Buffer.byteLength(JSON.stringify(message)) + 1;
    if (bytes > maxPageBytes && n > 0) return n;
  }
  return messages.length;
}

/** Whether the messages fit into a page in any case. Most pages do, and need not be formatted to find out. */
function areSmall(messages: readonly MessageChange[]): boolean {
  let bytes = 0;
  for (const { message } of messages) {
    if (message.custom || message.mentions || message.reactions) return false;
    bytes += plainMessageBytes + message.content.length * maxUnitBytes;
  }
  return bytes <= maxPageBytes;
}

export interface SingleMessagesPage {
  messages: MessageChange[];
  head: Position;
  /** The `seq` of messages that the room does not have. */
  missing: number[];
  has_more: boolean;
  /** The messages that did not fit; null if `has_more` is false. */
  next: { seqs: number[] } | null;
}

/** Reads messages by `seq`, tombstones included. */
export function readMessages(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  seqs: readonly number[],
): Promise<SingleMessagesPage> {
  return context.concurrentReads.run(actor.user, async () => {
    const found = await readAuthorized(context, actor, ref, (room) =>
      context.log.singleMessages(room, actor.user, seqs),
    );
    const existing = new Set(found.existing);
    const messages = found.messages.slice(0, countFitting(found.messages));
    const given = new Set(messages.map(({ message }) => message.seq));
    const left = [...existing].filter((seq) => !given.has(seq)).sort((a, b) => a - b);
    const missing = [...new Set(seqs)].filter((seq) => !existing.has(seq));
    return {
      ...{ messages, missing, head: found.head },
      ...{ has_more: left.length > 0, next: left.length > 0 ? { seqs: left } : null },
    };
  });
}
