import type { RoomId, Uuid } from '../../core/ids.ts';
import type { Store } from '../../database/store.ts';

/** A change of a user's position in a room, of their settings there, or of both. */
export interface PositionWrite {
  room_id: RoomId;
  user: Uuid;
  /** The user's organisation. Messages that mention it count as mentions of the user. */
  entity: Uuid | null;
  level: number;
  /** The position to mark as read. Null leaves the position unchanged. */
  seq: number | null;
  /** Whether the position may move back. */
  force: boolean;
  /** Whether nobody else may see the mark. */
  isQuiet: boolean;
  /** Null leaves the setting unchanged. */
  muted: boolean | null;
  hidden: boolean | null;
}

/** The read state of a user in a room after a write. */
export interface ReadState {
  read_seq: number;
  version: number;
  muted: boolean;
  hidden: boolean;
  unread: number;
  unread_mentions: number;
}

export interface WrittenPosition extends ReadState {
  /** How far others may see that the user has read; null if nobody else has seen a mark. */
  receipt_seq: number | null;
  /** Whether the write has changed anything. */
  hasChanged: boolean;
  /** Whether members of the room see how far others have read. */
  hasReceipts: boolean;
}

const writePositionsStatement = {
  name: 'write_positions',
  writesJournal: true,
  text: `select w.o_ord::float8 as ord, w.o_read_seq::float8 as read_seq, w.o_receipt_seq::float8 as receipt_seq,
    w.o_version::float8 as version, w.o_muted as muted, w.o_hidden as hidden, w.o_unread as unread,
    w.o_mentions as unread_mentions, w.o_has_changed as "hasChanged", w.o_has_receipts as "hasReceipts"
    from write_positions($1::bigint[], $2::uuid[], $3::uuid[], $4::int[], $5::bigint[], $6::boolean[], $7::boolean[],
      $8::boolean[], $9::boolean[], $10::bigint[]) w`,
};

/**
 * Stores all writes in one commit. No two of them may have the same room and user. The results are in the order of the
 * writes; undefined if the room does not exist.
 *
 * With `rightsRevs`, the `rights_rev` at which each write was authorized, the database compares them with the current
 * ones. If those of a room have changed, or the room no longer exists, nothing is stored and the result is undefined.
 */
export async function writePositions(
  store: Pick<Store, 'query'>,
  writes: readonly PositionWrite[],
  rightsRevs: readonly number[] | null = null,
): Promise<(WrittenPosition | undefined)[] | undefined> {
  const rows = await store.query<WrittenPosition & { ord: number }>(writePositionsStatement, [
    writes.map(({ room_id }) => room_id),
    writes.map(({ user }) => user),
    writes.map(({ entity }) => entity),
    writes.map(({ level }) => level),
    writes.map(({ seq }) => seq),
    writes.map(({ force }) => force),
    writes.map(({ isQuiet }) => isQuiet),
    writes.map(({ muted }) => muted),
    writes.map(({ hidden }) => hidden),
    rightsRevs,
  ]);
  if (rightsRevs && rows.length === 0) return undefined;
  const results: (WrittenPosition | undefined)[] = writes.map(() => undefined);
  for (const { ord, ...result } of rows) results[ord - 1] = result;
  return results;
}
