import type { Actor } from '../../core/authorization.ts';
import type { Position } from '../../core/cursor.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import type { HistoryQuery } from '../../core/log/message.ts';
import { type AppContext, requireRoom } from '../app-context.ts';

export interface HistoryPage {
  messages: MessageChange[];
  /** Where the log stood: what comes after is not on the page. */
  head: Position;
  has_more: boolean;
}

const maxPageBytes = 256 * 1024;
const rowsPerStep = 100;

/** One page of history, oldest first. Without a position it is the newest that match. */
export function readHistory(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  query: HistoryQuery,
): Promise<HistoryPage> {
  return context.concurrentReads.run(actor.user, () => readPage(context, actor, ref, query));
}

async function readPage(context: AppContext, actor: Actor, ref: RoomRef, query: HistoryQuery): Promise<HistoryPage> {
  const { room, head } = await requireRoom(context, actor, 'read', ref);
  const span = await resolveSpan(context, room.id, room.last_seq, query);
  if (query.around !== undefined)
    return { head, ...(await readAround(context, room.id, span, query.around, query.limit)) };
  if (query.after !== undefined) {
    const newer = { from: Math.max(span.from, query.after + 1), to: span.to };
    const { messages, has_more } = await readSpan(context, room.id, newer, query.limit, 'newer');
    return { head, messages, has_more };
  }
  const to = query.before === undefined ? span.to : Math.min(span.to, query.before - 1);
  const { messages, has_more } = await readSpan(context, room.id, { from: span.from, to }, query.limit, 'older');
  return { head, messages: messages.reverse(), has_more };
}

interface Span {
  from: number;
  to: number;
}

/** The dates as bounds on `seq`; the head bounds it too, so that page and cursor are of one moment. */
async function resolveSpan(
  { log }: AppContext,
  room: number,
  last_seq: number,
  { dateFrom, dateTo }: HistoryQuery,
): Promise<Span> {
  const [from, endSeq] = await Promise.all([
    dateFrom === undefined ? 1 : log.seqAt(room, dateFrom),
    dateTo === undefined ? last_seq + 1 : log.seqAt(room, dateTo + 1),
  ]);
  return { from, to: Math.min(last_seq, endSeq - 1) };
}

async function readSpan(
  { log }: AppContext,
  room: number,
  { from, to }: Span,
  limit: number,
  order: 'older' | 'newer',
) {
  const found: MessageChange[] = [];
  // In steps, so that nothing large is read that does not fit, and others get the database in between.
  for (let next = { from, to }; next.from <= next.to; ) {
    const wanted = Math.min(limit + 1 - found.length, rowsPerStep);
    const step = await log.page(room, next.from, next.to, wanted, order);
    found.push(...step);
    const last = step.at(-1);
    if (!last || step.length < wanted || found.length > limit || countFitting(found, limit) < found.length) break;
    const { seq } = last.message;
    next = order === 'older' ? { from, to: seq - 1 } : { from: seq + 1, to };
  }
  const messages = found.slice(0, countFitting(found, limit));
  return { messages, has_more: messages.length < found.length };
}

/** The message of that `seq`, as many before as after it, and `has_more` for either direction. */
async function readAround(context: AppContext, room: number, { from, to }: Span, seq: number, limit: number) {
  const maxBefore = Math.floor(limit / 2);
  const [older, newer] = await Promise.all([
    readSpan(context, room, { from, to: Math.min(to, seq - 1) }, limit, 'older'),
    readSpan(context, room, { from: Math.max(from, seq), to }, limit, 'newer'),
  ]);
  const before = Math.min(older.messages.length, Math.max(maxBefore, limit - newer.messages.length));
  const after = Math.min(newer.messages.length, limit - before);
  // From the middle outwards, so that the cut takes away what is farthest.
  const outwards: MessageChange[] = [];
  for (let n = 0; n < Math.max(before, after); n++) {
    if (n < after) outwards.push(newer.messages[n]!);
    if (n < before) outwards.push(older.messages[n]!);
  }
  const messages = outwards.slice(0, countFitting(outwards, limit)).sort((a, b) => a.rev - b.rev);
  const all = older.messages.length + newer.messages.length;
  return { messages, has_more: older.has_more || newer.has_more || messages.length < all };
}

/** How many of them make a page: at most `limit`, at most 256 KiB as JSON, at least one. */
function countFitting(messages: readonly MessageChange[], limit: number): number {
  let bytes = 0;
  for (let n = 0; n < Math.min(messages.length, limit); n++) {
    bytes += Buffer.byteLength(JSON.stringify(messages[n]!.message)) + 1;
    if (bytes > maxPageBytes && n > 0) return n;
  }
  return Math.min(messages.length, limit);
}
