import { Client } from 'pg';
import type { Message } from '../../src/core/log/message.ts';
import { toText } from './record.ts';

/** The log of a room in the database, with which everything is compared. */
export interface RoomHistory {
  room: number;
  lastRev: number;
  lastSeq: number;
  /** In the order of `rev`. */
  entries: Entry[];
}

export interface Entry {
  rev: number;
  seq: number | undefined;
  text: string;
  message?: { id: number; emitter: string; clientMsgId: string | null; content: string };
  rule?: { grantee: string; permissions: string | null; level: number };
}

/** The position of a room's log. `message` is the `rev` of the last message. */
export interface Head {
  rev: number;
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
}

interface RuleBody {
  entity_UUID: string;
  kind: string;
  permissions: string | null;
  level: number;
  accepted: boolean | null;
}

/** A message as clients should receive it, without its position. */
export const messageText = (message: Message & { rev?: number; cursor?: string }): string => {
  const { rev, cursor, ...rest } = message;
  return toText(rest);
};

export async function readHistories(url: string): Promise<RoomHistory[]> {
  return withDatabase(url, async (database) => {
    const rooms = await database.query('select id, last_rev, last_seq from rooms order by id');
    const messages = await database.query<MessageRow>('select * from messages order by room_id, rev');
    const changes = await database.query('select room_id, rev, kind, body from room_changes order by room_id, rev');
    const histories = new Map<number, RoomHistory>();
    for (const { id, last_rev, last_seq } of rooms.rows) {
      const room = Number(id);
      histories.set(room, { room, lastRev: Number(last_rev), lastSeq: Number(last_seq), entries: [] });
    }
    for (const row of messages.rows) histories.get(Number(row.room_id))?.entries.push(messageEntry(row));
    for (const { room_id, rev, kind, body } of changes.rows) {
      const entry = kind === 'member' ? memberEntry(Number(rev), body) : roomEntry(Number(rev), body);
      histories.get(Number(room_id))?.entries.push(entry);
    }
    for (const { entries } of histories.values()) entries.sort((a, b) => a.rev - b.rev);
    return [...histories.values()];
  });
}

function messageEntry(row: MessageRow): Entry {
  const { content, emitter, client_msg_id } = row;
  const [id, seq, rev, room_id] = [Number(row.id), Number(row.seq), Number(row.rev), Number(row.room_id)];
  const [createdAt, updatedAt] = [row.created_at.toISOString(), row.updated_at.toISOString()];
  const text = messageText({ id, room_id, seq, emitter, content, client_msg_id, createdAt, updatedAt, version: rev });
  return { rev, seq, text, message: { id, emitter, clientMsgId: client_msg_id, content } };
}

function memberEntry(rev: number, body: RuleBody): Entry {
  const { entity_UUID, kind, permissions, level, accepted } = body;
  const answer = { accepted: accepted === true, declined: accepted === false };
  const text = memberText({ entity_UUID, kind, permissions, level, ...answer });
  return { rev, seq: undefined, text, rule: { grantee: entity_UUID, permissions, level } };
}

const roomEntry = (rev: number, body: object): Entry => ({ rev, seq: undefined, text: roomText(body) });

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
      'select id, last_rev, (select max(rev) from messages m where m.room_id = r.id) as message from rooms r',
    );
    return new Map(rows.map((row) => [Number(row.id), { rev: Number(row.last_rev), message: Number(row.message) }]));
  });
}

/** Ends every connection of the nodes. */
export async function cutConnections(url: string): Promise<void> {
  await withDatabase(url, (database) =>
    database.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname is not null and pid <> pg_backend_pid()',
    ),
  );
}

async function withDatabase<T>(url: string, task: (database: Client) => Promise<T>): Promise<T> {
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
