import type { Store } from '../../database/store.ts';
import { sqlState } from '../../database/store-errors.ts';
import type { RoomId, Uuid } from '../ids.ts';
import type { MessageChange } from './change.ts';
import { type MessageRow, toMessageChange } from './message-row.ts';
import { statements } from './room-log-statements.ts';

export interface Draft {
  room_id: RoomId;
  emitter: Uuid;
  content: string;
  client_msg_id: string | null;
  /** Whether the emitter may write in the room, according to its rules as of `rightsRev`. */
  isAllowed: boolean;
  rightsRev: number;
}

export type AppendResult =
  | { outcome: 'stored'; change: MessageChange }
  | { outcome: 'duplicate'; change: MessageChange }
  /** The rules have changed since `rightsRev`. The caller has to authorize again. */
  | { outcome: 'stale' }
  /** Another transaction keeps the room locked. The caller has to retry later. */
  | { outcome: 'busy' }
  | { outcome: 'refused' }
  | { outcome: 'gone' };

/**
 * Stores a batch of messages. No two drafts may have the same room, emitter and client_msg_id. The results are in the
 * order of the drafts.
 */
export async function appendMessages(store: Store, drafts: readonly Draft[]): Promise<AppendResult[]> {
  const allowed = drafts.filter((draft) => draft.isAllowed);
  const denied = drafts.filter((draft) => !draft.isAllowed);
  // If this query fails, the whole batch fails. Therefore it runs before any message is stored.
  const results = {
    denied: denied.length > 0 ? await resolveDenied(store, denied) : [],
    allowed: [] as AppendResult[],
  };
  if (allowed.length > 0) results.allowed = await appendAllowed(store, allowed);
  await completeDuplicates(store, [...results.denied, ...results.allowed]);
  const [allowedResults, deniedResults] = [results.allowed.values(), results.denied.values()];
  return drafts.map((draft) => (draft.isAllowed ? allowedResults : deniedResults).next().value!);
}

async function appendAllowed(store: Store, drafts: readonly Draft[]): Promise<AppendResult[]> {
  const stored = await appendFastPath(store, drafts);
  return stored ? stored.map((change) => ({ outcome: 'stored', change })) : appendSlowPath(store, drafts);
}

/** Reads the whole message of each duplicate, because the functions that find duplicates return plain messages only. */
async function completeDuplicates(store: Store, results: readonly AppendResult[]): Promise<void> {
  for (const result of results) {
    if (result.outcome !== 'duplicate') continue;
    const { room_id, message } = result.change;
    const [row] = await store.query<MessageRow>(statements.messagesBySeq, [room_id, [message.seq]]);
    if (row) result.change = toMessageChange(row);
  }
}

type OutcomeRow = MessageRow & { outcome: AppendResult['outcome']; content: string | null };

/** Takes no lock, so that users without the right to write cannot slow down the others. */
async function resolveDenied(store: Store, drafts: readonly Draft[]): Promise<AppendResult[]> {
  const rows = await store.query<OutcomeRow>(statements.denied, [
    drafts.map((draft) => draft.room_id),
    drafts.map((draft) => draft.emitter),
    drafts.map((draft) => draft.client_msg_id),
    drafts.map((draft) => draft.rightsRev),
  ]);
  return rows.map((row, n) => toAppendResult(row, drafts[n]!));
}

/** Stores what it can: if one message is rejected, the others are still stored. */
async function appendSlowPath(store: Store, drafts: readonly Draft[]): Promise<AppendResult[]> {
  const rows = await store.query<OutcomeRow>(statements.append, [
    drafts.map((draft) => draft.room_id),
    drafts.map((draft) => draft.emitter),
    drafts.map((draft) => draft.content),
    drafts.map((draft) => draft.client_msg_id),
    drafts.map((draft) => draft.isAllowed),
    drafts.map((draft) => draft.rightsRev),
  ]);
  return rows.map((row, n) => toAppendResult(row, drafts[n]!));
}

function toAppendResult(row: OutcomeRow, { room_id, emitter, content, client_msg_id }: Draft): AppendResult {
  if (row.outcome !== 'stored' && row.outcome !== 'duplicate') return { outcome: row.outcome };
  const stored = { ...row, room_id, emitter, client_msg_id, content: row.content ?? content };
  return { outcome: row.outcome, change: toMessageChange(stored) };
}

const fastAppendStatement = {
  name: 'append_straight',
  isUrgent: true,
  writesJournal: true,
  text: `select ids, seqs, revs, ats from append_straight($1::bigint[], $2::int[], $3::bigint[], $4::int[], $5::int[],
    $6::uuid[], $7::text[], $8::text[])`,
};

/**
 * Each column contains comma-separated numbers: the driver parses one long string much faster than one row per message.
 */
type Row = Record<'ids' | 'seqs' | 'revs' | 'ats', string>;

/** The messages of the batch that belong to one room. */
interface RoomShare {
  room: RoomId;
  rightsRev: number;
  count: number;
}

/**
 * Stores a batch of allowed messages, all or none. Returns undefined if none was stored and the slow path has to try:
 * at least one message is a duplicate or invalid, its room is locked or deleted, or the rights in the room may have
 * changed.
 */
export async function appendFastPath(store: Store, drafts: readonly Draft[]): Promise<MessageChange[] | undefined> {
  const shares = groupByRoom(drafts);
  if (!shares) return undefined;
  const slots = new Map(shares.map(({ room }, n) => [room, n]));
  const counts = shares.map(() => 0);
  const placements = drafts.map(({ room_id }) => {
    const slot = slots.get(room_id)!;
    counts[slot]! += 1;
    return { slot, nth: counts[slot]! };
  });
  let rows: Row[];
  try {
    rows = await store.query<Row>(fastAppendStatement, [
      shares.map(({ room }) => room),
      shares.map(({ count }) => count),
      shares.map(({ rightsRev }) => rightsRev),
      placements.map(({ slot }) => slot + 1),
      placements.map(({ nth }) => nth),
      drafts.map(({ emitter }) => emitter),
      drafts.map(({ content }) => content),
      drafts.map(({ client_msg_id }) => client_msg_id),
    ]);
  } catch (error) {
    if (needsSlowPath(error)) return undefined;
    throw error;
  }
  const [row] = rows;
  if (!row) return undefined;
  const [ids, seqs, revs, ats] = (['ids', 'seqs', 'revs', 'ats'] as const).map((name) =>
    row[name].split(',').map(Number),
  ) as [number[], number[], number[], number[]];
  return drafts.map(({ room_id, emitter, content, client_msg_id }, n) => {
    const { slot, nth } = placements[n]!;
    const at = ats[slot]!;
    const position = { id: ids[n]!, seq: seqs[slot]! + nth, rev: revs[slot]! + nth };
    return toMessageChange({ room_id, ...position, emitter, content, client_msg_id, at, updated: at });
  });
}

/**
 * Counts the drafts for each room. The rooms are sorted by number, because all nodes lock rooms in this order to avoid
 * deadlocks. Returns undefined if two drafts for one room differ in `rightsRev`.
 */
function groupByRoom(drafts: readonly Draft[]): RoomShare[] | undefined {
  const shares = new Map<RoomId, RoomShare>();
  for (const { room_id: room, rightsRev } of drafts) {
    const share = shares.get(room);
    if (!share) shares.set(room, { room, rightsRev, count: 1 });
    else if (share.rightsRev === rightsRev) share.count += 1;
    else return undefined;
  }
  return [...shares.values()].sort((a, b) => a.room - b.room);
}

/**
 * Whether the slow path may still store some of the messages. The SQL function itself raises `NM001`; the other codes
 * are those of invalid data, violated constraints, lock timeouts and deadlocks.
 */
function needsSlowPath(error: unknown): boolean {
  return /^(NM001|2[23]...|55P03|40P01)$/.test(sqlState(error) ?? '');
}
