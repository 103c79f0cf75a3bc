import { sharedReads } from '../../database/batch-loader.ts';
import type { Store } from '../../database/store.ts';
import type { Position } from '../cursor.ts';
import type { RoomId, RoomRef, Uuid } from '../ids.ts';
import { type Answered, acceptAll, type Invitation } from './accept-invitations.ts';
import { storeStraight } from './append-fast-path.ts';
import type { Change, MessageChange } from './change.ts';
import type { Appended, Draft } from './draft.ts';
import { type MessageRow, messageChange, type RoomRow, statements, stateOf } from './room-log-statements.ts';
import type { LoggedRoom } from './room-snapshot.ts';

/** The rooms' logs as SQL. `seq` and `rev` are given under the room's lock, so both are without gaps in commit order. */
export interface RoomLog {
  /** Stores a batch in one commit. No two drafts may share room, emitter and client_msg_id. Answers in their order. */
  append(drafts: readonly Draft[]): Promise<Appended[]>;
  /** Accepts invitations in one commit. No two may share room and grantee. Answers in their order. */
  accept(invitations: readonly Invitation[]): Promise<Answered[]>;
  state(ref: RoomRef): Promise<LoggedRoom | undefined>;
  /** For messages that wait to be judged: ahead of other reads. */
  states(ids: readonly RoomId[]): Promise<LoggedRoom[]>;
  /** The room of two users, given in the order in which they are unique. */
  pair(low: Uuid, high: Uuid): Promise<LoggedRoom | undefined>;
  /** Rooms that a rule or ownership may lead the actor to, newest activity first and from `before` on, each with the rules that name him. */
  roomsOf(
    user: Uuid,
    entity: Uuid | null,
    level: number,
    before: Position | undefined,
    limit: number,
  ): Promise<LoggedRoom[]>;
  /** The changes from `from` to `to` inclusive, in order; at most `limit`. */
  changes(room: RoomId, from: number, to: number, limit: number): Promise<Change[]>;
  /** `last_rev` of the rooms that there are. */
  heads(ids: readonly RoomId[]): Promise<Map<RoomId, number>>;
  /** Messages with `from` ≤ seq ≤ `to`: `older` begins with the newest of them, `newer` with the oldest. */
  page(room: RoomId, from: number, to: number, limit: number, order: 'older' | 'newer'): Promise<MessageChange[]>;
  /** The lowest seq that is not older than `at` (ms). */
  seqAt(room: RoomId, at: number): Promise<number>;
}

export function roomLog(store: Store): RoomLog {
  const stateById = sharedReads(async (ids: readonly RoomId[]) => {
    const states = (await store.query<RoomRow>(statements.roomsById, [ids])).map(stateOf);
    return new Map(states.map((state) => [state.room.id, state]));
  });
  return {
    states: async (ids) => (await store.query<RoomRow>(statements.roomsWrittenTo, [ids])).map(stateOf),
    async append(drafts) {
      const allowed = drafts.filter((draft) => draft.allowed);
      const others = drafts.filter((draft) => !draft.allowed);
      // Those first that store nothing: what fails then leaves nothing behind that is stored and not answered.
      const answers = {
        others: others.length > 0 ? await answerUnwritable(store, others) : [],
        allowed: [] as Appended[],
      };
      if (allowed.length > 0) answers.allowed = await appendAllowed(store, allowed);
      const [ofAllowed, ofOthers] = [answers.allowed.values(), answers.others.values()];
      return drafts.map((draft) => (draft.allowed ? ofAllowed : ofOthers).next().value!);
    },
    accept: (invitations) => acceptAll(store, invitations),
    async state(ref) {
      if (typeof ref === 'number') return stateById(ref);
      const [row] = await store.query<RoomRow>(statements.roomByUuid, [ref]);
      return row && stateOf(row);
    },
    async pair(low, high) {
      const [row] = await store.query<RoomRow>(statements.roomByPair, [low, high]);
      return row && stateOf(row);
    },
    async roomsOf(user, entity, level, before, limit) {
      const from = [before?.at ?? null, before?.room_id ?? null];
      const rows = await store.query<RoomRow>(statements.roomsOf, [user, entity, level, ...from, limit]);
      return rows.map(stateOf);
    },
    async changes(room_id, from, to, limit) {
      type Row = { rev: number; kind: 'member' | 'room'; body: never; at: number };
      const bounds = [room_id, from, to, limit];
      const [messages, others] = await Promise.all([
        store.query<MessageRow>(statements.messages, bounds),
        store.query<Row>(statements.changes, bounds),
      ]);
      const changes: Change[] = messages.map(messageChange);
      for (const { rev, kind, body, at } of others) {
        changes.push(
          kind === 'member' ? { kind, room_id, rev, at, rule: body } : { kind, room_id, rev, at, room: body },
        );
      }
      return changes.sort((a, b) => a.rev - b.rev).slice(0, limit);
    },
    async heads(ids) {
      const rows = await store.query<{ id: RoomId; rev: number }>(statements.heads, [ids]);
      return new Map(rows.map(({ id, rev }) => [id, rev]));
    },
    async page(room_id, from, to, limit, order) {
      return (await store.query<MessageRow>(statements[order], [room_id, from, to, limit])).map(messageChange);
    },
    async seqAt(room_id, at) {
      const [row] = await store.query<{ seq: number }>(statements.seqAt, [room_id, at]);
      return row?.seq ?? 1;
    },
  };
}

async function appendAllowed(store: Store, drafts: readonly Draft[]): Promise<Appended[]> {
  const stored = await storeStraight(store, drafts);
  return stored ? stored.map((change) => ({ outcome: 'stored', change })) : appendCarefully(store, drafts);
}

type Outcome = MessageRow & { outcome: Appended['outcome']; content: string | null };

/** Messages that may not be written, without a lock: whoever may not write cannot hold up those who may. */
async function answerUnwritable(store: Store, drafts: readonly Draft[]): Promise<Appended[]> {
  const rows = await store.query<Outcome>(statements.unwritable, [
    drafts.map((draft) => draft.room_id),
    drafts.map((draft) => draft.emitter),
    drafts.map((draft) => draft.client_msg_id),
    drafts.map((draft) => draft.judgedAt),
  ]);
  return rows.map((row, n) => appendedOf(row, drafts[n]!));
}

/** Tells of each message what became of it. */
async function appendCarefully(store: Store, drafts: readonly Draft[]): Promise<Appended[]> {
  const rows = await store.query<Outcome>(statements.append, [
    drafts.map((draft) => draft.room_id),
    drafts.map((draft) => draft.emitter),
    drafts.map((draft) => draft.content),
    drafts.map((draft) => draft.client_msg_id),
    drafts.map((draft) => draft.allowed),
    drafts.map((draft) => draft.judgedAt),
  ]);
  return rows.map((row, n) => appendedOf(row, drafts[n]!));
}

function appendedOf(row: Outcome, { room_id, emitter, content, client_msg_id }: Draft): Appended {
  if (row.outcome !== 'stored' && row.outcome !== 'duplicate') return { outcome: row.outcome };
  const stored = { ...row, room_id, emitter, client_msg_id, content: row.content ?? content };
  return { outcome: row.outcome, change: messageChange(stored) };
}
