import { Client } from 'pg';
import type { CustomData, Message, ReactionDelta } from '../../src/core/log/message.ts';
import {
  mineText,
  reactionsText,
  repliesText,
  type Sent,
  type TimelineMessage,
  toText,
  versionText,
} from './record.ts';

/** The log of a room in the database, with which everything is compared. */
export interface RoomHistory {
  room: number;
  lastRev: number;
  lastSeq: number;
  lastChangeAt: number;
  name: string;
  /** The stored read positions, by user. */
  positions: Map<string, StoredPosition>;
  /** In the order of `rev`. */
  entries: Entry[];
  /** The messages as they are at the end, by `seq`. */
  messages: Map<number, StoredMessage>;
}

/** The row of a user's read state. */
export interface StoredPosition {
  readSeq: number | undefined;
  /** How far others may see that the user has read. */
  receiptSeq: number | undefined;
  version: number;
  muted: boolean;
  /** The newest message when the user hid the room. */
  hiddenSeq: number | undefined;
}

export type EntryKind = 'message' | 'edit' | 'deletion' | 'reactions' | 'member' | 'room';

export interface Entry {
  rev: number;
  kind: EntryKind;
  /** The time of the commit in ms. */
  at: number;
  seq: number | undefined;
  /** Of a rule or a room: the text that clients should receive. */
  text: string;
  /** Of an edit, a deletion or reactions: the user. */
  actor?: string;
  /** Of reactions; empty if the message was deleted. */
  changes?: ReactionDelta[];
  message?: { id: number; emitter: string; clientMsgId: string | null };
  rule?: { grantee: string; permissions: string | null; level: number };
}

export interface StoredMessage extends Omit<TimelineMessage, 'mine'> {
  emitter: string;
  content: string;
  /** The fields that the sender gave besides the content. */
  extras: NonNullable<Sent['extras']>;
  isDeleted: boolean;
  /** The users who reacted, by emoji, in the order of the counts. */
  reactors: Map<string, Set<string>>;
}

/** The position of a room's log. `message` is the `rev` of the last message that was not deleted. */
export interface Head {
  rev: number;
  seq: number;
  message: number;
}

interface MessageRow {
  room_id: string;
  rev: string;
  seq: string;
  id: string;
  emitter: string;
  content: string;
  client_msg_id: string | null;
  created_at: Date;
  updated_at: Date;
  version: string | null;
  reply_to: string | null;
  thread: string | null;
  mentions: string[] | null;
  custom: string | null;
  flags: number | null;
  edited_at: Date | null;
  deleted_at: Date | null;
  deleted_by: string | null;
}

interface EntryRow {
  room_id: string;
  rev: string;
  kind: 1 | 2 | 3;
  seq: string;
  actor: string;
  changes: string | null;
  at: Date;
}

interface CountRow {
  room_id: string;
  seq: string;
  emoji: string;
  count: number;
  users: string[] | null;
}

interface RuleBody {
  entity_UUID: string;
  kind: string;
  permissions: string | null;
  level: number;
  accepted: boolean | null;
}

export async function readHistories(url: string): Promise<RoomHistory[]> {
  return withDatabase(url, async (database) => {
    const rooms = await database.query('select id, name, last_rev, last_seq, last_change_at from rooms order by id');
    const messages = await database.query<MessageRow>('select * from messages order by room_id, rev');
    const changes = await database.query('select room_id, rev, kind, body, at from room_changes order by room_id, rev');
    const entries = await database.query<EntryRow>('select * from log_entries order by room_id, rev');
    // The reactions without a count, and the counts without a reaction, are found as well.
    const counts = await database.query<CountRow>(`select room_id, seq, emoji, coalesce(c.count, 0) as count, r.users
      from reaction_counts c full join (
        select room_id, seq, emoji, array_agg(user_uuid::text) as users from reactions group by 1, 2, 3
      ) r using (room_id, seq, emoji) order by room_id, seq, c.first_rev, c.first_n`);
    const positions = await database.query('select * from positions');
    const threads = await database.query('select room_id, root, count, last_seq from threads');
    const histories = new Map<number, RoomHistory>();
    for (const { id, name, last_rev, last_seq, last_change_at } of rooms.rows) {
      const head = { lastRev: Number(last_rev), lastSeq: Number(last_seq), lastChangeAt: last_change_at.getTime() };
      const contents = { entries: [], messages: new Map(), positions: new Map() };
      histories.set(Number(id), { room: Number(id), name, ...head, ...contents });
    }
    for (const row of messages.rows) {
      const history = histories.get(Number(row.room_id));
      history?.entries.push(messageEntry(row));
      history?.messages.set(Number(row.seq), storedMessage(row));
    }
    for (const { room_id, rev, kind, body, at } of changes.rows) {
      const position = { rev: Number(rev), at: (at as Date).getTime() };
      const entry = kind === 'member' ? memberEntry(position, body) : roomEntry(position, body);
      histories.get(Number(room_id))?.entries.push(entry);
    }
    for (const row of entries.rows) histories.get(Number(row.room_id))?.entries.push(operationEntry(row));
    for (const { room_id, seq, emoji, count, users } of counts.rows) {
      const message = histories.get(Number(room_id))?.messages.get(Number(seq));
      if (!message) continue;
      message.reactors.set(emoji, new Set(users ?? []));
      message.reactions = [message.reactions, reactionsText([{ emoji, count }])].filter(Boolean).join(' ');
    }
    for (const { room_id, user_uuid, version, muted, ...row } of positions.rows) {
      const [readSeq, receiptSeq, hiddenSeq] = [row.read_seq, row.receipt_seq, row.hidden_seq].map((seq) =>
        seq === null ? undefined : Number(seq),
      );
      const position = { readSeq, receiptSeq, version: Number(version), muted, hiddenSeq };
      histories.get(Number(room_id))?.positions.set(user_uuid, position);
    }
    for (const { room_id, root, count, last_seq } of threads.rows) {
      const message = histories.get(Number(room_id))?.messages.get(Number(root));
      if (message) message.replies = repliesText({ count: Number(count), last_seq: Number(last_seq) });
    }
    for (const { entries } of histories.values()) entries.sort((a, b) => a.rev - b.rev);
    return [...histories.values()];
  });
}

/** The emojis with which this user reacted, as text. */
export function mineOf({ reactors }: StoredMessage, user: string): string {
  return mineText([...reactors].filter(([, users]) => users.has(user)).map(([emoji]) => emoji));
}

function messageEntry(row: MessageRow): Entry {
  const { emitter, client_msg_id: clientMsgId } = row;
  const position = { rev: Number(row.rev), seq: Number(row.seq), at: row.created_at.getTime() };
  return { ...position, kind: 'message', text: '', message: { id: Number(row.id), emitter, clientMsgId } };
}

function storedMessage(row: MessageRow): StoredMessage {
  const { content, emitter, client_msg_id, mentions, deleted_by, edited_at, deleted_at } = row;
  const [id, seq, room_id, version] = [row.id, row.seq, row.room_id, row.version ?? row.rev].map(Number) as [
    ...[number, number, number, number],
  ];
  const flags = row.flags ?? 0;
  const extras = {
    ...(row.reply_to !== null && { reply_to: Number(row.reply_to) }),
    ...(row.thread !== null && { thread: Number(row.thread) }),
    ...(mentions && { mentions }),
    ...(row.custom !== null && { custom: JSON.parse(row.custom) as CustomData }),
    ...((flags & 1) !== 0 && { silent: true as const }),
  };
  const message: Message = {
    ...{ id, room_id, seq, emitter, content, client_msg_id, version, ...extras },
    ...((flags & 2) !== 0 && { mention_room: true as const }),
    ...{ createdAt: row.created_at.toISOString(), updatedAt: row.updated_at.toISOString() },
    ...(edited_at && { editedAt: edited_at.toISOString() }),
    ...(deleted_at && { deletedAt: deleted_at.toISOString() }),
    ...(deleted_by && { deleted_by }),
  };
  return {
    ...{ emitter, content, extras, version, text: versionText(message), isDeleted: deleted_at !== null },
    ...{ reactors: new Map(), reactions: '', replies: '' },
  };
}

const entryKinds = { 1: 'edit', 2: 'deletion', 3: 'reactions' } as const;

function operationEntry({ rev, seq, kind, actor, changes, at }: EntryRow): Entry {
  const position = { rev: Number(rev), seq: Number(seq), at: at.getTime() };
  const deltas = kind === 3 && { changes: JSON.parse(changes ?? '[]') as ReactionDelta[] };
  return { ...position, kind: entryKinds[kind], actor, ...deltas, text: '' };
}

function memberEntry(position: Pick<Entry, 'rev' | 'at'>, body: RuleBody): Entry {
  const { entity_UUID, kind, permissions, level, accepted } = body;
  const answer = { accepted: accepted === true, declined: accepted === false };
  const text = memberText({ entity_UUID, kind, permissions, level, ...answer });
  return { ...position, kind: 'member', seq: undefined, text, rule: { grantee: entity_UUID, permissions, level } };
}

function roomEntry(position: Pick<Entry, 'rev' | 'at'>, body: object): Entry {
  return { ...position, kind: 'room', seq: undefined, text: roomText(body) };
}

/** The text of `member:changed`, without its position. */
export function memberText(payload: Omit<RuleBody, 'accepted'> & { accepted: boolean; declined: boolean }): string {
  const { entity_UUID, kind, permissions, level, accepted, declined } = payload;
  return toText({ entity_UUID, kind, permissions, level, accepted, declined });
}

/** The text of the room in `room:changed`. */
export const roomText = (room: object): string => toText(room);

export async function readHeads(url: string): Promise<Map<number, Head>> {
  return withDatabase(url, async (database) => {
    const { rows } = await database.query(
      'select id, last_rev, last_seq, (select max(rev) from messages m where m.room_id = r.id and deleted_at is null) as message from rooms r',
    );
    return new Map(
      rows.map((row) => [
        Number(row.id),
        { rev: Number(row.last_rev), seq: Number(row.last_seq), message: Number(row.message) },
      ]),
    );
  });
}

const tokenPattern = /\[([\w.-]+)\]/g;

/** The texts that clients made, in the columns of all tables: each with the tables that contain it. */
export async function readTokens(url: string): Promise<Map<string, Set<string>>> {
  return withDatabase(url, async (database) => {
    const found = new Map<string, Set<string>>();
    const tables = await database.query<{ name: string }>(
      `select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'`,
    );
    for (const { name } of tables.rows) {
      const { rows } = await database.query<{ text: string }>(`select t::text as text from ${name} t`);
      for (const { text } of rows) {
        for (const [, token] of text.matchAll(tokenPattern)) {
          found.set(token!, (found.get(token!) ?? new Set()).add(name));
        }
      }
    }
    return found;
  });
}

/** The texts that clients made, in this text. */
export const findTokens = (text: string): string[] => [...text.matchAll(tokenPattern)].map(([, token]) => token!);

/** Ends every connection of the nodes. */
export async function cutConnections(url: string): Promise<void> {
  await withDatabase(url, (database) =>
    database.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname is not null and pid <> pg_backend_pid()',
    ),
  );
}

export async function withDatabase<T>(url: string, task: (database: Client) => Promise<T>): Promise<T> {
  const database = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 60_000 });
  // If the server is killed, the connection emits an error in addition to the failed query.
  database.on('error', () => {});
  try {
    await database.connect();
    return await task(database);
  } finally {
    await database.end().catch(() => {});
  }
}
