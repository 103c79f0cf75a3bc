import { ms } from '../../database/epoch-ms.ts';
import { planOnce } from '../../database/plan-once.ts';
import type { Statement, Store } from '../../database/store.ts';
import type { Position } from '../cursor.ts';
import type { RoomId, Uuid } from '../ids.ts';
import type { MessageChange } from './change.ts';
import { listMessageColumns, type MessageRow, toMessageChange } from './message-row.ts';

/** The size of a page as JSON. A page has at least one message, even if that is larger. */
export const maxPageBytes = 256 * 1024;
/** The maximum number of messages that are examined for one page, because a filter may skip most of them. */
const maxExamined = 2_000;

export interface HistoryFilter {
  /** If set, only the replies to this root are read. */
  thread: number | null;
  /** Whether replies are left out. */
  topLevel: boolean;
  /** Whether deleted messages are included. */
  tombstones: boolean;
}

export interface HistoryRequest extends HistoryFilter {
  room_id: RoomId;
  /** The user whose reactions are marked with `mine`. */
  user: Uuid;
  /** `older` begins before this `seq` and goes backwards; `newer` begins with it and goes forwards. */
  split: number;
  maxOlder: number;
  maxNewer: number;
  /** Only messages that were sent between these times, in ms. */
  dateFrom: number | null;
  dateTo: number | null;
}

interface AtHead {
  head: Position;
  /** The `rev` of the last change that affects rights, when the messages were read. */
  rightsRev: number;
}

export interface HistorySlice {
  /** Ordered from the split outwards. May contain more messages than fit into a page, but fewer than `found`. */
  messages: MessageChange[];
  /** The number of matching messages. Counting stops at one more than the requested number. */
  found: number;
  /** If the search ended before the last message, the last `seq` that it examined. */
  searchedTo: number | null;
}

/** Messages, and the head of the log when they were read. */
export interface HistorySlices extends AtHead {
  older: HistorySlice;
  newer: HistorySlice;
}

export interface SingleMessages extends AtHead {
  /** Ordered by `seq`. Messages at the end are missing if they cannot fit into an answer. */
  messages: MessageChange[];
  /** The `seq` of all requested messages that the room has. */
  existing: number[];
}

interface HeadColumn {
  rev: number;
  at: number;
  rights_rev: number;
}

type HistoryRow = MessageRow & {
  /** Set only in the first row. If no message matches, the other columns of this row are null. */
  head:
    | (HeadColumn & {
        older_found: number;
        newer_found: number;
        older_end: number | null;
        newer_end: number | null;
      })
    | null;
};

const bytes = `octet_length(m.content) + coalesce(octet_length(m.custom), 0)`;
const headFields = (head: string) =>
  `'rev', ${head}.last_rev, 'at', ${ms(`${head}.last_change_at`)}, 'rights_rev', ${head}.rights_rev`;
/**
 * Reads one message. The `order by` makes PostgreSQL use the primary key even if it planned the statement while the
 * table was empty. Otherwise it might use another index that begins with the room, and read that index from end to end
 * for each message.
 */
const messageAt = (columns: string, seq: string) =>
  `select ${columns} from messages m where m.room_id = $1::bigint and m.seq >= ${seq} and m.seq <= ${seq} order by m.seq limit 1`;

/** Drops messages that cannot fit into a page, because those before them fill it. Reads no contents. */
const cut = (candidates: string, order: 'asc' | 'desc') => `select c.seq, c.found from (
    select m.seq, count(*) over () as found,
      sum(m.bytes) over (order by m.seq ${order} rows between unbounded preceding and 1 preceding) as bytes_before
    from ${candidates} m
  ) c where coalesce(c.bytes_before, 0) < ${maxPageBytes}`;

/**
 * Parameters: 1 room, 2 user, 3 split, 4 and 5 the maximum of older and newer candidates, 6 and 7 the times, 8 how many
 * rows to examine, 9 whether with tombstones.
 */
const room = `room as materialized (
  select r.id, r.last_rev, r.last_change_at, r.rights_rev,
    case when $6::float8 is null then 1 else seq_at(r.id, to_timestamp($6::float8 / 1000)) end as low,
    least(r.last_seq, case when $7::float8 is null then r.last_seq
      else seq_at(r.id, to_timestamp(($7::float8 + 1) / 1000)) - 1 end) as high
  from rooms r where r.id = $1::bigint
)`;

const messageFilter = `($9::boolean or m.deleted_at is null)`;
/** Parameter 10: whether without replies. */
const roomFilter = `${messageFilter} and (not $10::boolean or m.thread is null)`;

/**
 * One statement, and therefore one snapshot: the head of the log and the messages belong together. The first pass over
 * the index finds the messages and their sizes, and the second one reads the messages that can fit into the page. The
 * messages of a room are numbered without gaps, so a range of `seq` limits how many are examined.
 */
const roomHistory: Statement = {
  name: 'history_of_room',
  text: planOnce(`with ${room}, span as materialized (
    select h.*, greatest(h.low, least(h.high, $3::bigint - 1) - $8::bigint + 1) as older_from,
      least(h.high, $3::bigint - 1) as older_to, greatest(h.low, $3::bigint) as newer_from,
      least(h.high, greatest(h.low, $3::bigint) + $8::bigint - 1) as newer_to
    from room h
  ), older_candidates as (
    select m.seq, ${bytes} as bytes from messages m where m.room_id = $1::bigint and m.seq >= (select older_from from span)
      and m.seq <= (select older_to from span) and ${roomFilter} order by m.seq desc limit $4::int
  ), newer_candidates as (
    select m.seq, ${bytes} as bytes from messages m where m.room_id = $1::bigint and m.seq >= (select newer_from from span)
      and m.seq <= (select newer_to from span) and ${roomFilter} order by m.seq limit $5::int
  ), older as materialized (${cut('older_candidates', 'desc')}),
  newer as materialized (${cut('newer_candidates', 'asc')}),
  page as materialized (
    select coalesce((select min(seq) from older), (select min(seq) from newer)) as first_seq,
      coalesce((select max(seq) from newer), (select max(seq) from older)) as last_seq
  )
  select case when m.seq is null or m.seq = p.first_seq then json_build_object(${headFields('s')},
      'older_found', coalesce((select max(found) from older), 0), 'newer_found', coalesce((select max(found) from newer), 0),
      'older_end', case when s.older_from > s.low then s.older_from end,
      'newer_end', case when s.newer_to < s.high then s.newer_to end) end as head, m.*
  from span s cross join page p left join lateral (
    select ${listMessageColumns('m')}, message_extras(m, $2::uuid) as extras from messages m
    where m.room_id = $1::bigint and m.seq >= (select first_seq from page) and m.seq <= (select last_seq from page)
      and ${roomFilter} order by m.seq limit 2000
  ) m on true order by m.seq`),
};

/**
 * Parameter 10: the root of the thread. The first pass walks along the index of the thread and stops when it has enough
 * messages.
 */
const threadHistory: Statement = {
  name: 'history_of_thread',
  text: planOnce(`with ${room}, older_window as materialized (
    select t.seq from thread_messages t where t.room_id = $1::bigint and t.root = $10::bigint
      and t.seq >= (select low from room) and t.seq <= (select least(high, $3::bigint - 1) from room)
      order by t.seq desc limit case when $4::int = 0 then 0 else $8::bigint end
  ), newer_window as materialized (
    select t.seq from thread_messages t where t.room_id = $1::bigint and t.root = $10::bigint
      and t.seq >= (select greatest(low, $3::bigint) from room) and t.seq <= (select high from room)
      order by t.seq limit case when $5::int = 0 then 0 else $8::bigint end
  ), older_candidates as (
    select m.seq, ${bytes} as bytes from thread_messages t, lateral (${messageAt('m.*', 't.seq')}) m where t.room_id = $1::bigint and t.root = $10::bigint and t.seq >= (select min(seq) from older_window)
      and t.seq <= (select least(high, $3::bigint - 1) from room) and ${messageFilter}
      order by t.seq desc limit $4::int
  ), newer_candidates as (
    select m.seq, ${bytes} as bytes from thread_messages t, lateral (${messageAt('m.*', 't.seq')}) m where t.room_id = $1::bigint and t.root = $10::bigint and t.seq >= (select greatest(low, $3::bigint) from room)
      and t.seq <= (select max(seq) from newer_window) and ${messageFilter}
      order by t.seq limit $5::int
  ), older as materialized (${cut('older_candidates', 'desc')}),
  newer as materialized (${cut('newer_candidates', 'asc')}),
  page as materialized (select array_agg(x.seq) as seqs, min(x.seq) as first_seq
    from (select seq from older union all select seq from newer) x)
  select case when m.seq is null or m.seq = p.first_seq then json_build_object(${headFields('s')},
      'older_found', coalesce((select max(found) from older), 0), 'newer_found', coalesce((select max(found) from newer), 0),
      'older_end', (select case when count(*) = $8::bigint then min(w.seq) end from older_window w),
      'newer_end', (select case when count(*) = $8::bigint then max(w.seq) end from newer_window w)) end as head, m.*
  from room s cross join page p left join lateral (
    select ${listMessageColumns('(x.m)')}, message_extras(x.m, $2::uuid) as extras
    from unnest((select seqs from page)) s(seq), lateral (${messageAt('m as m', 's.seq')}) x
  ) m on true order by m.seq`),
};

/** The limit of a short page, whose messages can be read without looking at their sizes first. */
const maxShortPage = 100;

type ShortPageRow = MessageRow & { head_rev: number; head_at: number; rights_rev: number; last_seq: number };

/** Parameters: 1 room, 2 user, 3 the first or last `seq`, 4 the maximum of messages, 5 whether with tombstones. */
const shortPage = (name: string, span: string, order: 'asc' | 'desc'): Statement => ({
  name,
  text: planOnce(`select r.last_rev::float8 as head_rev, ${ms('r.last_change_at')} as head_at,
      r.rights_rev::float8 as rights_rev, r.last_seq::float8 as last_seq, m.*
    from rooms r left join lateral (
      select ${listMessageColumns('m')}, message_extras(m, $2::uuid) as extras from messages m
      where m.room_id = $1::bigint and ${span} and ($5::boolean or m.deleted_at is null)
      order by m.seq ${order} limit $4::int
    ) m on true where r.id = $1::bigint`),
});

const shortOlder = shortPage(
  'history_short_older',
  `m.seq <= least(r.last_seq, $3::bigint) and m.seq > least(r.last_seq, $3::bigint) - ${maxExamined}`,
  'desc',
);
const shortNewer = shortPage(
  'history_short_newer',
  `m.seq >= $3::bigint and m.seq <= least(r.last_seq, $3::bigint + ${maxExamined - 1})`,
  'asc',
);

const isShortPage = ({ thread, topLevel, dateFrom, dateTo, maxOlder, maxNewer }: HistoryRequest) =>
  thread === null &&
  !topLevel &&
  dateFrom === null &&
  dateTo === null &&
  Math.min(maxOlder, maxNewer) === 0 &&
  Math.max(maxOlder, maxNewer) <= maxShortPage;

const emptySlice: HistorySlice = { messages: [], found: 0, searchedTo: null };

/** Reads a page in one direction with a statement that costs a fraction of the general one. */
async function readShortPage(
  store: Store,
  { room_id, user, split, maxOlder, maxNewer, tombstones }: HistoryRequest,
): Promise<HistorySlices | undefined> {
  const isOlder = maxNewer === 0;
  const start = isOlder ? split - 1 : Math.max(1, split);
  const limit = Math.max(maxOlder, maxNewer) + 1;
  const values = [room_id, user, start, limit, tombstones];
  const rows = await store.query<ShortPageRow>(isOlder ? shortOlder : shortNewer, values);
  const [first] = rows;
  if (!first) return undefined;
  const { head_rev: rev, head_at: at, rights_rev: rightsRev, last_seq } = first;
  const messages = first.seq === null ? [] : rows.map(toMessageChange);
  const end = isOlder ? Math.min(last_seq, start) - maxExamined + 1 : start + maxExamined - 1;
  const isComplete = isOlder ? end <= 1 : end >= last_seq;
  const slice = { messages, found: messages.length, searchedTo: isComplete ? null : end };
  const slices = isOlder ? { older: slice, newer: emptySlice } : { older: emptySlice, newer: slice };
  return { head: { room_id, rev, at }, rightsRev, ...slices };
}

/** Reads at most `maxOlder` + 1 and `maxNewer` + 1 messages. Returns undefined if the room does not exist. */
export async function readHistorySlices(store: Store, request: HistoryRequest): Promise<HistorySlices | undefined> {
  if (isShortPage(request)) return readShortPage(store, request);
  const { room_id, user, split, maxOlder, maxNewer, dateFrom, dateTo, thread, topLevel, tombstones } = request;
  const examined = maxOlder > 0 && maxNewer > 0 ? maxExamined / 2 : maxExamined;
  const rows = await store.query<HistoryRow>(thread === null ? roomHistory : threadHistory, [
    ...[room_id, user, split, maxOlder && maxOlder + 1, maxNewer && maxNewer + 1, dateFrom, dateTo, examined],
    ...[tombstones, thread ?? topLevel],
  ]);
  const head = rows[0]?.head;
  if (!head) return undefined;
  const messages = head.older_found + head.newer_found === 0 ? [] : rows.map(toMessageChange);
  return {
    ...toAtHead(room_id, head),
    older: {
      messages: messages.filter(({ message }) => message.seq < split).reverse(),
      found: head.older_found,
      searchedTo: maxOlder > 0 ? head.older_end : null,
    },
    newer: {
      messages: messages.filter(({ message }) => message.seq >= split),
      found: head.newer_found,
      searchedTo: maxNewer > 0 ? head.newer_end : null,
    },
  };
}

type SingleRow = MessageRow & { head: (HeadColumn & { existing: number[] }) | null };

const singleMessages: Statement = {
  name: 'single_messages',
  text: planOnce(`with candidates as (
    select m.seq, ${bytes} as bytes
    from (select distinct seq from unnest($3::bigint[]) d(seq)) s, lateral (${messageAt('m.*', 's.seq')}) m
  ), fitting as materialized (${cut('candidates', 'asc')}),
  page as materialized (select array_agg(f.seq) as seqs, min(f.seq) as first_seq from fitting f)
  select case when m.seq is null or m.seq = p.first_seq then json_build_object(${headFields('r')},
      'existing', coalesce((select json_agg(c.seq) from candidates c), '[]')) end as head, m.*
  from rooms r cross join page p left join lateral (
    select ${listMessageColumns('(x.m)')}, message_extras(x.m, $2::uuid) as extras
    from unnest((select seqs from page)) s(seq), lateral (${messageAt('m as m', 's.seq')}) x
  ) m on true where r.id = $1::bigint order by m.seq`),
};

/** Reads messages by `seq`, tombstones included. Returns undefined if the room does not exist. */
export async function readSingleMessages(
  store: Store,
  room_id: RoomId,
  user: Uuid,
  seqs: readonly number[],
): Promise<SingleMessages | undefined> {
  const rows = await store.query<SingleRow>(singleMessages, [room_id, user, seqs]);
  const head = rows[0]?.head;
  if (!head) return undefined;
  const messages = head.existing.length === 0 ? [] : rows.map(toMessageChange);
  return { ...toAtHead(room_id, head), messages, existing: head.existing };
}

const toAtHead = (room_id: RoomId, { rev, at, rights_rev }: HeadColumn): AtHead => ({
  head: { room_id, rev, at },
  rightsRev: rights_rev,
});
