import type { Actor } from '../../core/authorization.ts';
import type { Position } from '../../core/cursor.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import { type AppContext, requireRoom } from '../app-context.ts';
import type { HistoryQuery } from './contract.ts';

export interface HistoryPage {
  messages: MessageChange[];
  /** The head of the log when the page was read. The page contains no later messages. */
  head: Position;
  has_more: boolean;
}

const maxPageBytes = 256 * 1024;
const rowsPerStep = 100;

/** Reads a page of messages, oldest first. Without `before`, `after` and `around`, it is the newest page. */
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

/**
 * Converts the dates to a range of `seq`. The range ends at `last_seq`, so that the page contains no message after the
 * cursor that is sent with it.
 */
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
  // Reads in steps, so that reading stops soon after the size limit and other queries can run in between.
  for (let next = { from, to }; next.from <= next.to; ) {
    const stepSize = Math.min(limit + 1 - found.length, rowsPerStep);
    const step = await log.page(room, next.from, next.to, stepSize, order);
    found.push(...step);
    const last = step.at(-1);
    if (!last || step.length < stepSize || found.length > limit || countFitting(found, limit) < found.length) break;
    const { seq } = last.message;
    next = order === 'older' ? { from, to: seq - 1 } : { from: seq + 1, to };
  }
  const messages = found.slice(0, countFitting(found, limit));
  return { messages, has_more: messages.length < found.length };
}

/**
 * Reads the message with that `seq`, and about as many messages before as after it. `has_more` is true if either
 * direction has more messages.
 */
async function readAround(context: AppContext, room: number, { from, to }: Span, seq: number, limit: number) {
  const maxBefore = Math.floor(limit / 2);
  const [older, newer] = await Promise.all([
    readSpan(context, room, { from, to: Math.min(to, seq - 1) }, limit, 'older'),
    readSpan(context, room, { from: Math.max(from, seq), to }, limit, 'newer'),
  ]);
  const before = Math.min(older.messages.length, Math.max(maxBefore, limit - newer.messages.length));
  const after = Math.min(newer.messages.length, limit - before);
  // The order is from the middle outwards, so that the size limit cuts off the messages that are farthest from `seq`.
  const outwards: MessageChange[] = [];
  for (let n = 0; n < Math.max(before, after); n++) {
    if (n < after) outwards.push(newer.messages[n]!);
    if (n < before) outwards.push(older.messages[n]!);
  }
  const messages = outwards.slice(0, countFitting(outwards, limit)).sort((a, b) => a.rev - b.rev);
  const all = older.messages.length + newer.messages.length;
  return { messages, has_more: older.has_more || newer.has_more || messages.length < all };
}

/** Counts the messages that fit into a page: at most `limit`, at most 256 KiB as JSON, but at least one. */
function countFitting(messages: readonly MessageChange[], limit: number): number {
  let bytes = 0;
  for (let n = 0; n < Math.min(messages.length, limit); n++) {
    bytes += Buffer.byteLength(JSON.stringify(messages[n]!.message)) + 1;
    if (bytes > maxPageBytes && n > 0) return n;
  }
  return Math.min(messages.length, limit);
}
