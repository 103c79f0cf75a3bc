import type { Store } from '../../database/store.ts';
import type { RoomId, Uuid } from '../ids.ts';
import { type Change, UnknownChangeKindError } from './change.ts';
import { toChange } from './change-kinds.ts';
import type { ReactionDelta } from './message.ts';
import { type MessageRow, toMessageChange, toReplayedRevision } from './message-row.ts';
import { statements } from './room-log-statements.ts';

export interface ChangeRow {
  rev: number;
  kind: string;
  body: unknown;
  by: Uuid | null;
  at: number;
}

export interface EntryRow {
  rev: number;
  /** 1 means an edit, 2 a deletion, and 3 reactions. */
  kind: number;
  seq: number;
  /** The reactions that were added and removed, as JSON. */
  changes: string | null;
  at: number;
}

const lastKnownKind = 3;

interface Range {
  room_id: RoomId;
  from: number;
  to: number;
  limit: number;
}

/**
 * Reads changes from the log. A replay delivers each message in its current state. Therefore a deleted text never
 * reappears, and a hundred edits of a message cost as much as one.
 */
export async function replayChanges(
  store: Store,
  { room_id, from, to, limit }: Range,
  given = new Set<number>(),
): Promise<Change[]> {
  const bounds = [room_id, from, to, limit];
  const [messageRows, changeRows, entryRows] = await Promise.all([
    store.query<MessageRow>(statements.messages, bounds),
    store.query<ChangeRow>(statements.changes, bounds),
    store.query<EntryRow>(statements.entries, bounds),
  ]);
  const sent = messageRows.map(toMessageChange);
  if (entryRows.length === 0) {
    for (const { message } of sent) given.add(message.seq);
    return sortByRev([...sent, ...changeRows.map((row) => toChange({ ...row, room_id }))]).slice(0, limit);
  }
  // Only entries within the limit count. An entry beyond it belongs to the next page.
  const last =
    [...messageRows, ...changeRows, ...entryRows].map(({ rev }) => rev).sort((a, b) => a - b)[limit - 1] ?? to;
  const entries = entryRows.filter(({ rev }) => rev <= last);
  for (const { rev, message } of sent) if (rev <= last) given.add(message.seq);
  const changed = await replayEntries(store, room_id, entries, given);
  const others = changeRows.map((row) => toChange({ ...row, room_id }));
  const withDeltas = sent.map((change) => {
    const changes = listDeltas(entries.filter(({ seq }) => seq === change.message.seq));
    return changes.length > 0 && change.message.reactions ? { ...change, changes } : change;
  });
  return sortByRev([...withDeltas, ...others, ...changed]).slice(0, limit);
}

async function replayEntries(
  store: Store,
  room_id: RoomId,
  entries: readonly EntryRow[],
  given: Set<number>,
): Promise<Change[]> {
  const seqs = listNamedSeqs(room_id, entries, given);
  const rows = seqs.length > 0 ? await store.query<MessageRow>(statements.messagesBySeq, [room_id, seqs]) : [];
  return toEntryChanges(room_id, entries, rows, given);
}

/** Lists the messages that the entries refer to, except for those that the replay has given. */
export function listNamedSeqs(room_id: RoomId, entries: readonly EntryRow[], given: ReadonlySet<number>): number[] {
  const unknown = entries.find(({ kind }) => kind > lastKnownKind);
  if (unknown) throw new UnknownChangeKindError({ room_id, rev: unknown.rev, kind: `log entry ${unknown.kind}` });
  return [...new Set(entries.map(({ seq }) => seq).filter((seq) => !given.has(seq)))];
}

/** Converts the entries. `rows` are the messages of `listNamedSeqs`. Adds their `seq` to `given`. */
export function toEntryChanges(
  room_id: RoomId,
  entries: readonly EntryRow[],
  rows: readonly MessageRow[],
  given: Set<number>,
): Change[] {
  const messages = new Map(rows.map((row) => [row.seq, row]));
  const deltas = Map.groupBy(entries, ({ seq }) => seq);
  return entries.map(({ seq, rev, at }): Change => {
    const row = given.has(seq) ? undefined : messages.get(seq);
    given.add(seq);
    if (!row) return { kind: 'skipped', room_id, rev, at };
    return toReplayedRevision(row, { rev, at }, listDeltas(deltas.get(seq)!));
  });
}

const listDeltas = (entries: readonly EntryRow[]): ReactionDelta[] =>
  entries.flatMap((entry) => JSON.parse(entry.changes ?? '[]') as ReactionDelta[]);

export const sortByRev = (changes: Change[]) => changes.sort((a, b) => a.rev - b.rev);
