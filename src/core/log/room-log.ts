import { createBatchLoader } from '../../database/batch-loader.ts';
import type { Store } from '../../database/store.ts';
import type { Position } from '../cursor.ts';
import type { RoomId, RoomRef, Uuid } from '../ids.ts';
import { type AcceptResult, acceptInvitations, type Invitation } from './accept-invitations.ts';
import { appendFastPath } from './append-fast-path.ts';
import type { Change, MessageChange } from './change.ts';
import { toChange } from './change-kinds.ts';
import type { AppendResult, Draft } from './draft.ts';
import { type MessageRow, type RoomRow, statements, toMessageChange, toSnapshot } from './room-log-statements.ts';
import type { RoomSnapshot } from './room-snapshot.ts';

/** The rooms' logs in SQL. The database assigns `seq` and `rev` under the room's lock, so both follow commit order without gaps. */
export interface RoomLog {
  /** Stores a batch in one commit. No two drafts may have the same room, emitter and client_msg_id. The results are in their order. */
  append(drafts: readonly Draft[]): Promise<AppendResult[]>;
  /** Accepts invitations in one commit. No two may have the same room and grantee. The results are in their order. */
  accept(invitations: readonly Invitation[]): Promise<AcceptResult[]>;
  snapshot(ref: RoomRef): Promise<RoomSnapshot | undefined>;
  /** For messages that wait for authorization: takes precedence over other reads. */
  snapshots(ids: readonly RoomId[]): Promise<RoomSnapshot[]>;
  /** The room of two users, which are passed in the order of `orderPair`. */
  pairSnapshot(low: Uuid, high: Uuid): Promise<RoomSnapshot | undefined>;
  /** Rooms that the user may have access to, latest activity first, after `before`; each with only the rules that name them. */
  listRooms(
    user: Uuid,
    entity: Uuid | null,
    level: number,
    before: Position | undefined,
    limit: number,
  ): Promise<RoomSnapshot[]>;
  /** The first `limit` changes with `from` ≤ rev ≤ `to`, in order. */
  changes(room: RoomId, from: number, to: number, limit: number): Promise<Change[]>;
  /** `last_rev` by room. Rooms that do not exist are missing from the result. */
  heads(ids: readonly RoomId[]): Promise<Map<RoomId, number>>;
  /** Messages with `from` ≤ seq ≤ `to`: `older` starts with the newest of them, `newer` with the oldest. */
  page(room: RoomId, from: number, to: number, limit: number, order: 'older' | 'newer'): Promise<MessageChange[]>;
  /** The seq of the first message that is not older than `at` (ms). */
  seqAt(room: RoomId, at: number): Promise<number>;
}

export function createRoomLog(store: Store): RoomLog {
  const loadSnapshot = createBatchLoader(async (ids: readonly RoomId[]) => {
    const snapshots = (await store.query<RoomRow>(statements.roomsById, [ids])).map(toSnapshot);
    return new Map(snapshots.map((snapshot) => [snapshot.room.id, snapshot]));
  });
  return {
    snapshots: async (ids) => (await store.query<RoomRow>(statements.roomsByIdUrgent, [ids])).map(toSnapshot),
    async append(drafts) {
      const allowed = drafts.filter((draft) => draft.isAllowed);
      const denied = drafts.filter((draft) => !draft.isAllowed);
      // Denied messages first: if this fails, no message has been stored without an answer.
      const results = {
        denied: denied.length > 0 ? await resolveDenied(store, denied) : [],
        allowed: [] as AppendResult[],
      };
      if (allowed.length > 0) results.allowed = await appendAllowed(store, allowed);
      const [allowedResults, deniedResults] = [results.allowed.values(), results.denied.values()];
      return drafts.map((draft) => (draft.isAllowed ? allowedResults : deniedResults).next().value!);
    },
    accept: (invitations) => acceptInvitations(store, invitations),
    async snapshot(ref) {
      if (typeof ref === 'number') return loadSnapshot(ref);
      const [row] = await store.query<RoomRow>(statements.roomByUuid, [ref]);
      return row && toSnapshot(row);
    },
    async pairSnapshot(low, high) {
      const [row] = await store.query<RoomRow>(statements.roomByPair, [low, high]);
      return row && toSnapshot(row);
    },
    async listRooms(user, entity, level, before, limit) {
      const from = [before?.at ?? null, before?.room_id ?? null];
      const rows = await store.query<RoomRow>(statements.roomsOfUser, [user, entity, level, ...from, limit]);
      return rows.map(toSnapshot);
    },
    async changes(room_id, from, to, limit) {
      type Row = { rev: number; kind: string; body: unknown; at: number };
      const bounds = [room_id, from, to, limit];
      const [messages, others] = await Promise.all([
        store.query<MessageRow>(statements.messages, bounds),
        store.query<Row>(statements.changes, bounds),
      ]);
      const changes: Change[] = [
        ...messages.map(toMessageChange),
        ...others.map((row) => toChange({ ...row, room_id })),
      ];
      return changes.sort((a, b) => a.rev - b.rev).slice(0, limit);
    },
    async heads(ids) {
      const rows = await store.query<{ id: RoomId; rev: number }>(statements.heads, [ids]);
      return new Map(rows.map(({ id, rev }) => [id, rev]));
    },
    async page(room_id, from, to, limit, order) {
      return (await store.query<MessageRow>(statements[order], [room_id, from, to, limit])).map(toMessageChange);
    },
    async seqAt(room_id, at) {
      const [row] = await store.query<{ seq: number }>(statements.seqAt, [room_id, at]);
      return row?.seq ?? 1;
    },
  };
}

async function appendAllowed(store: Store, drafts: readonly Draft[]): Promise<AppendResult[]> {
  const stored = await appendFastPath(store, drafts);
  return stored ? stored.map((change) => ({ outcome: 'stored', change })) : appendSlowPath(store, drafts);
}

type OutcomeRow = MessageRow & { outcome: AppendResult['outcome']; content: string | null };

/** Takes no lock, so that users who may not write cannot slow down those who may. */
async function resolveDenied(store: Store, drafts: readonly Draft[]): Promise<AppendResult[]> {
  const rows = await store.query<OutcomeRow>(statements.denied, [
    drafts.map((draft) => draft.room_id),
    drafts.map((draft) => draft.emitter),
    drafts.map((draft) => draft.client_msg_id),
    drafts.map((draft) => draft.rightsRev),
  ]);
  return rows.map((row, n) => toAppendResult(row, drafts[n]!));
}

/** Determines the outcome of each message separately. */
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
