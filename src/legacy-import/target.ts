import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Uuid } from '../core/ids.ts';
import type { RoomType } from '../core/room.ts';
import { openEmbedded } from '../database/embedded-database.ts';
import { ms } from '../database/epoch-ms.ts';
import type { ImportedRule } from '../database/imported-room.entity.ts';
import { listMissingMigrations, migrate } from '../database/migrate.ts';
import { openDatabase } from '../database/open-database.ts';
import { UnsuitableDatabase } from '../database/store-errors.ts';
import { formatLocation } from './legacy-database.ts';
import type { CurrentRule } from './merge-rules.ts';
import { formatReason, ImportError } from './report.ts';

/** One session in the database of this service. */
export interface Target {
  location: string;
  query<Row>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

type Database = { mode: 'embedded'; directory: string | undefined } | { mode: 'postgres'; databaseUrl: string };

/**
 * Opens the database of this service. The embedded database is migrated; in PostgreSQL, missing migrations cause an
 * error. If the embedded database does not exist yet, a dry run uses an empty database in memory.
 */
export async function openTarget(database: Database, isDryRun: boolean): Promise<Target> {
  const target =
    database.mode === 'postgres'
      ? await openPostgres(database.databaseUrl)
      : await openDirectory(database.directory, isDryRun);
  try {
    const missing = await listMissingMigrations((text) => target.query(text));
    if (missing.length === 0) return target;
    const names = missing.join(', ');
    throw new ImportError(
      `The database at ${target.location} lacks migrations (${names}). Run "npm run migrate" first`,
    );
  } catch (error) {
    await target.close();
    throw error;
  }
}

const lockTimeoutMs = 30_000;

async function openPostgres(url: string): Promise<Target> {
  const location = formatLocation(url);
  const { client } = await openDatabase(url, {
    limits: { statementTimeoutMs: 0, lockTimeoutMs, idleInTransactionTimeoutMs: 0 },
    application: 'nano-messaging import',
    connectTimeoutMs: 10_000,
  }).catch((error: unknown) => {
    const what = error instanceof UnsuitableDatabase ? 'cannot be used' : 'cannot be reached';
    throw new ImportError(`The database of this service at ${location} ${what}: ${formatReason(error)}`, error);
  });
  return {
    location,
    query: async <Row>(text: string, values: unknown[] = []) => (await client.query(text, values)).rows as Row[],
    close: () => client.end().catch(() => {}),
  };
}

async function openDirectory(directory: string | undefined, isDryRun: boolean): Promise<Target> {
  const path = directory && join(directory, 'pglite');
  const exists = path !== undefined && existsSync(path);
  const usesDirectory = path !== undefined && (exists || !isDryRun);
  const database = await openEmbedded(usesDirectory ? directory : undefined);
  const { orm, pglite, assertUsable, assertWritable, release } = database;
  try {
    if (!isDryRun || !exists) {
      assertWritable();
      await migrate(orm);
    }
    return {
      location: directory === undefined ? 'memory' : `${directory} (embedded)`,
      query: async <Row>(text: string, values: unknown[] = []) => {
        assertUsable();
        return (await pglite.query<Row>(text, values)).rows;
      },
      close: () => orm.close(true).finally(release),
    };
  } catch (error) {
    await orm.close(true).catch(() => {});
    release();
    throw error;
  }
}

/** How much of a room earlier imports have stored: a row of `imported_rooms`. */
export interface ImportProgress {
  room: number;
  uuid: Uuid;
  lastMessageId: number;
  seenMessages: number;
  leftOut: number;
  rules: Record<Uuid, ImportedRule>;
}

/** The end of a room's log: the numbers and the time of its last change. */
export interface Head {
  seq: number;
  rev: number;
  at: number;
}

/** The current state of a room that an earlier import has created. */
export interface CurrentRoom extends Head {
  id: number;
  type: RoomType;
  user_owner: Uuid;
  pair: [Uuid, Uuid] | null;
}

export async function readTime(target: Target): Promise<number> {
  const [row] = await target.query<{ now: number }>(
    `select (extract(epoch from date_trunc('milliseconds', clock_timestamp())) * 1000)::float8 as now`,
  );
  return row!.now;
}

/** The part of `ImportProgress` that is kept in memory for every room. */
export type ImportedRoom = Pick<ImportProgress, 'uuid' | 'lastMessageId' | 'seenMessages'>;

const progressColumns = `room_id::float8 as room, uuid::text as uuid, last_message_id::float8 as "lastMessageId",
  seen_messages::float8 as "seenMessages"`;

export async function readImportedRooms(target: Target): Promise<Map<number, ImportedRoom>> {
  const rows = await target.query<ImportedRoom & { room: number }>(`select ${progressColumns} from imported_rooms`);
  return new Map(rows.map((row) => [row.room, row]));
}

export async function readProgress(target: Target, rooms: readonly number[]): Promise<Map<number, ImportProgress>> {
  const rows = await target.query<ImportProgress>(
    `select ${progressColumns}, left_out::float8 as "leftOut", rules from imported_rooms where room_id = any($1::bigint[])`,
    [rooms],
  );
  return new Map(rows.map((row) => [row.room, row]));
}

/** Reads the names of the rooms with these ids. */
export async function readNames(target: Target, ids: readonly number[]): Promise<Map<number, string>> {
  const rows = await target.query<{ id: number; name: string }>(
    'select id::float8 as id, name from rooms where id = any($1::bigint[]) order by id',
    [ids],
  );
  return new Map(rows.map(({ id, name }) => [id, name]));
}

/** Returns the UUIDs of this list that rooms in this service already have. */
export async function readUuids(target: Target, uuids: readonly Uuid[]): Promise<Set<Uuid>> {
  const rows = await target.query<{ uuid: Uuid }>('select uuid::text as uuid from rooms where uuid = any($1::uuid[])', [
    uuids,
  ]);
  return new Set(rows.map(({ uuid }) => uuid));
}

/** Reads the users of all user2user rooms. Returns one key (`formatPairKey`) per room. */
export async function readPairs(target: Target): Promise<Set<string>> {
  const rows = await target.query<{ low: Uuid; high: Uuid }>(
    'select pair_low::text as low, pair_high::text as high from rooms where pair_low is not null',
  );
  return new Set(rows.map(({ low, high }) => formatPairKey(low, high)));
}

export const formatPairKey = (one: Uuid, other: Uuid) => (one < other ? `${one} ${other}` : `${other} ${one}`);

/**
 * Reads rooms. With `shouldLock`, locks them until the end of the transaction, in the order of their ids. Nodes lock
 * rooms in the same order, so there are no deadlocks.
 */
export async function readRooms(
  target: Target,
  ids: readonly number[],
  shouldLock: boolean,
): Promise<Map<number, CurrentRoom>> {
  type Row = Omit<CurrentRoom, 'pair'> & { low: Uuid | null; high: Uuid | null };
  const rooms = await target.query<Row>(
    `select id::float8 as id, type, user_owner::text as user_owner, pair_low::text as low, pair_high::text as high,
       last_seq::float8 as seq, last_rev::float8 as rev, ${ms('last_change_at')} as at
     from rooms where id = any($1::bigint[]) order by id ${shouldLock ? 'for no key update' : ''}`,
    [ids],
  );
  return new Map(rooms.map(({ low, high, ...room }) => [room.id, { ...room, pair: low && high ? [low, high] : null }]));
}

export async function readRules(target: Target, ids: readonly number[]): Promise<Map<number, CurrentRule[]>> {
  const rules = await target.query<CurrentRule & { room: number }>(
    `select room_id::float8 as room, grantee::text as grantee, kind, permissions, level::float8 as level, accepted
     from permission_rules where room_id = any($1::bigint[]) order by room_id, created_at, grantee`,
    [ids],
  );
  return Map.groupBy(rules, ({ room }) => room);
}

const pageSize = 50_000;

/**
 * Reads the ids of a room's messages. They include messages that were sent in this service; their ids cannot be those
 * of legacy messages, because they are greater.
 */
export async function readMessageIds(target: Target, room: number): Promise<Set<number>> {
  const ids = new Set<number>();
  for (let from = 1; ; from += pageSize) {
    const rows = await target.query<{ id: number }>(
      'select id::float8 as id from messages where room_id = $1::bigint and seq >= $2::bigint and seq < $3::bigint',
      [room, from, from + pageSize],
    );
    if (rows.length === 0) return ids;
    for (const { id } of rows) ids.add(id);
  }
}
