import { createBatchLoader } from '../../database/batch-loader.ts';
import type { Statement, Store } from '../../database/store.ts';
import { isKeyRef, type RoomId, type RoomRef, toKey, type Uuid } from '../ids.ts';
import type { InboxPosition } from '../inbox-item.ts';
import { type AcceptResult, acceptInvitations, type Invitation } from './accept-invitations.ts';
import { type AppendAllResult, appendAll, type ServiceDraft } from './append-all.ts';
import { type AppendResult, appendMessages, type Draft } from './append-messages.ts';
import { applyOperations } from './apply-operations.ts';
import type { Change } from './change.ts';
import type { ReactionCount } from './message.ts';
import type { Operation, OperationResult } from './operation.ts';
import {
  type HistoryRequest,
  type HistorySlices,
  readHistorySlices,
  readSingleMessages,
  type SingleMessages,
} from './read-history.ts';
import { replayChanges } from './replay.ts';
import { statements } from './room-log-statements.ts';
import { type RoomRow, toSnapshot } from './room-row.ts';
import type { RoomSnapshot } from './room-snapshot.ts';
import { type RoomUpdateRow, RulesCache } from './rules-cache.ts';

/** `activityAt` (in ms) determines the position of the room in the user's list. */
export type ListedSnapshot = RoomSnapshot & { activityAt: number };

/**
 * Reads and writes the logs of all rooms. The database assigns `seq` and `rev` under the room's lock. Therefore both
 * are without gaps and follow the order of the commits.
 */
export interface RoomLog {
  /**
   * Stores a batch of messages. No two drafts may have the same room, emitter and client_msg_id. The results are in the
   * order of the drafts.
   */
  append(drafts: readonly Draft[]): Promise<AppendResult[]>;
  /**
   * Stores messages of the product's backend in one commit, all or none. It is not asked whether the emitters may write.
   * No two drafts may have the same emitter and client_msg_id.
   */
  appendAll(room: RoomId, drafts: readonly ServiceDraft[]): Promise<AppendAllResult>;
  /**
   * Applies a batch of operations on messages in one commit. The operations are grouped by room. At most one operation
   * may refer to each message, except for reactions. The results are in the order of the operations.
   */
  apply(operations: readonly Operation[]): Promise<OperationResult[]>;
  /**
   * Accepts the invitations in one transaction. No two of them may have the same room and grantee. The results are in
   * the order of the invitations.
   */
  accept(invitations: readonly Invitation[]): Promise<AcceptResult[]>;
  snapshot(ref: RoomRef): Promise<RoomSnapshot | undefined>;
  /** Returns the number of the room that has this key. */
  findByKey(key: string): Promise<RoomId | undefined>;
  /** Reads several rooms, with precedence over other reads, because messages cannot be authorized until it returns. */
  snapshots(ids: readonly RoomId[]): Promise<RoomSnapshot[]>;
  /** Reads the `user2user` room of two users, which have to be in the order of `orderPair`. */
  pairSnapshot(low: Uuid, high: Uuid): Promise<RoomSnapshot | undefined>;
  /**
   * Lists rooms that the user may have access to, latest activity first. The list begins after the room at `before`.
   * Each snapshot contains only the rules that name the user or their organisation.
   */
  listRooms(
    user: Uuid,
    entity: Uuid | null,
    level: number,
    before: InboxPosition | undefined,
    limit: number,
  ): Promise<ListedSnapshot[]>;
  /**
   * Replays the first `limit` changes with `from` ≤ rev ≤ `to`, in order. Each message is returned once, at its first
   * entry and in its current state; its further entries become `skipped`. `given` contains the `seq` of the messages
   * that earlier calls of the same replay have returned; this call adds its own.
   */
  changes(room: RoomId, from: number, to: number, limit: number, given?: Set<number>): Promise<Change[]>;
  /** Reads the reactions of messages, with `mine` for this user. The result has no entry for messages without any. */
  reactionsFor(user: Uuid, room: RoomId, seqs: readonly number[]): Promise<Map<number, ReactionCount[]>>;
  /** Reads the `last_rev` of each room. The result has no entry for rooms that do not exist. */
  heads(ids: readonly RoomId[]): Promise<Map<RoomId, number>>;
  /**
   * Reads messages around a `seq`, together with the head of the log at that time. Undefined if the room does not
   * exist.
   */
  history(request: HistoryRequest): Promise<HistorySlices | undefined>;
  /** Reads messages by `seq`, together with the head of the log at that time. Undefined if the room does not exist. */
  singleMessages(room: RoomId, user: Uuid, seqs: readonly number[]): Promise<SingleMessages | undefined>;
}

export function createRoomLog(store: Store): RoomLog {
  const rulesCache = new RulesCache();
  async function readSnapshots(statement: Statement, ids: readonly RoomId[]): Promise<RoomSnapshot[]> {
    const known = new Map(ids.map((id) => [id, rulesCache.find(id)]));
    const found = [...known.values()];
    const values = [
      [...known.keys()],
      found.map((rules) => rules?.rightsRev ?? null),
      found.map((rules) => rules?.rightsAt ?? null),
    ];
    const rows = await store.query<RoomUpdateRow>(statement, values);
    return rows.map((row) => rulesCache.toSnapshot(row, known.get(row.id)));
  }
  const loadSnapshot = createBatchLoader(async (ids: readonly RoomId[]) => {
    const snapshots = await readSnapshots(statements.roomsById, ids);
    return new Map(snapshots.map((snapshot) => [snapshot.room.id, snapshot]));
  });
  const loadByKey = createBatchLoader(async (keys: readonly string[]) => {
    const rows = await store.query<{ key: string; id: RoomId }>(statements.roomsByKey, [keys]);
    return new Map(rows.map(({ key, id }) => [key, id]));
  });
  return {
    findByKey: (key) => loadByKey(key),
    snapshots: (ids) => readSnapshots(statements.roomsByIdUrgent, ids),
    append: (drafts) => appendMessages(store, drafts),
    appendAll: (room, drafts) => appendAll(store, room, drafts),
    apply: (operations) => applyOperations(store, operations),
    accept: (invitations) => acceptInvitations(store, invitations),
    async snapshot(ref) {
      if (typeof ref === 'number') return loadSnapshot(ref);
      if (isKeyRef(ref)) {
        const id = await loadByKey(toKey(ref));
        return id === undefined ? undefined : loadSnapshot(id);
      }
      const [row] = await store.query<RoomRow>(statements.roomByUuid, [ref]);
      return row && toSnapshot(row);
    },
    async pairSnapshot(low, high) {
      const [row] = await store.query<RoomRow>(statements.roomByPair, [low, high]);
      return row && toSnapshot(row);
    },
    async listRooms(user, entity, level, before, limit) {
      const from = [before?.at ?? null, before?.room_id ?? null];
      const values = [user, entity, level, ...from, limit];
      const rows = await store.query<RoomRow & { active: number }>(statements.roomsOfUser, values);
      return rows.map((row) => ({ ...toSnapshot(row), activityAt: row.active }));
    },
    changes: (room_id, from, to, limit, given) => replayChanges(store, { room_id, from, to, limit }, given),
    async reactionsFor(user, room_id, seqs) {
      type Row = { seq: number; reactions: ReactionCount[] | null };
      const rows = await store.query<Row>(statements.reactionsForUser, [room_id, seqs, user]);
      return new Map(rows.map(({ seq, reactions }) => [seq, reactions ?? []]));
    },
    async heads(ids) {
      const rows = await store.query<{ id: RoomId; rev: number }>(statements.heads, [ids]);
      return new Map(rows.map(({ id, rev }) => [id, rev]));
    },
    history: (request) => readHistorySlices(store, request),
    singleMessages: (room, user, seqs) => readSingleMessages(store, room, user, seqs),
  };
}
