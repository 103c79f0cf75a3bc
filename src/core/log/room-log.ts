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

/** The rooms' logs as SQL. `seq` and `rev` are given under the room's lock, so both are without gaps in commit order. */
export interface RoomLog {
  /** Stores a batch in one commit. No two drafts may share room, emitter and client_msg_id. Answers in their order. */
  append(drafts: readonly Draft[]): Promise<AppendResult[]>;
  /** Accepts invitations in one commit. No two may share room and grantee. Answers in their order. */
  accept(invitations: readonly Invitation[]): Promise<AcceptResult[]>;
  snapshot(ref: RoomRef): Promise<RoomSnapshot | undefined>;
  /** For messages that wait to be judged: ahead of other reads. */
  snapshots(ids: readonly RoomId[]): Promise<RoomSnapshot[]>;
  /** The room of two users, given in the order in which they are unique. */
  pairSnapshot(low: Uuid, high: Uuid): Promise<RoomSnapshot | undefined>;
  /** Rooms that a rule or ownership may lead the actor to, newest activity first and from `before` on, each with the rules that name him. */
  listRooms(
    user: Uuid,
    entity: Uuid | null,
    level: number,
    before: Position | undefined,
    limit: number,
  ): Promise<RoomSnapshot[]>;
  /** The changes from `from` to `to` inclusive, in order; at most `limit`. */
  changes(room: RoomId, from: number, to: number, limit: number): Promise<Change[]>;
  /** `last_rev` of the rooms that there are. */
  heads(ids: readonly RoomId[]): Promise<Map<RoomId, number>>;
  /** Messages with `from` ≤ seq ≤ `to`: `older` begins with the newest of them, `newer` with the oldest. */
  page(room: RoomId, from: number, to: number, limit: number, order: 'older' | 'newer'): Promise<MessageChange[]>;
  /** The lowest seq that is not older than `at` (ms). */
  seqAt(room: RoomId, at: number): Promise<number>;
}

export function createRoomLog(store: Store): RoomLog {
  const loadSnapshot = createBatchLoader(async (ids: readonly RoomId[]) => {
    const states = (await store.query<RoomRow>(statements.roomsById, [ids])).map(toSnapshot);
    return new Map(states.map((state) => [state.room.id, state]));
  });
  return {
    snapshots: async (ids) => (await store.query<RoomRow>(statements.roomsByIdUrgent, [ids])).map(toSnapshot),
    async append(drafts) {
      const allowed = drafts.filter((draft) => draft.isAllowed);
      const others = drafts.filter((draft) => !draft.isAllowed);
      // Those first that store nothing: what fails then leaves nothing behind that is stored and not answered.
      const answers = {
        others: others.length > 0 ? await answerUnwritable(store, others) : [],
        allowed: [] as AppendResult[],
      };
      if (allowed.length > 0) answers.allowed = await appendAllowed(store, allowed);
      const [allowedResults, otherResults] = [answers.allowed.values(), answers.others.values()];
      return drafts.map((draft) => (draft.isAllowed ? allowedResults : otherResults).next().value!);
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

/** Messages that may not be written, without a lock: whoever may not write cannot hold up those who may. */
async function answerUnwritable(store: Store, drafts: readonly Draft[]): Promise<AppendResult[]> {
  const rows = await store.query<OutcomeRow>(statements.unwritable, [
    drafts.map((draft) => draft.room_id),
    drafts.map((draft) => draft.emitter),
    drafts.map((draft) => draft.client_msg_id),
    drafts.map((draft) => draft.rightsRev),
  ]);
  return rows.map((row, n) => toAppendResult(row, drafts[n]!));
}

/** Tells of each message what became of it. */
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
