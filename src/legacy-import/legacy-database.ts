import pg from 'pg';
import { formatReaderSetup } from '../database/session-settings.ts';
import { type FoundColumn, findColumnsSql, findTables, type LegacyTables } from './legacy-tables.ts';
import { formatReason, ImportError } from './report.ts';

export interface LegacyRoom {
  id: number;
  uuid: string | null;
  name: string | null;
  type: string | null;
  level_admin: number | null;
  user_owner: string | null;
  entity_owner: string | null;
  max_entity_rules: number | null;
  created: number | null;
  updated: number | null;
}

export interface LegacyRule {
  room_id: number;
  grantee: string | null;
  permissions: string | null;
  level: number | null;
  accepted: boolean | null;
  created: number | null;
  updated: number | null;
}

/** A tuple, not an object: there may be millions of messages, and tuples use less memory. */
export type LegacyMessage = [
  id: number,
  room_id: number,
  emitter: string | null,
  content: string | null,
  created: number | null,
  updated: number | null,
];

/** How much of a room earlier imports have stored. */
export interface ImportedPosition {
  lastMessageId: number;
  seenMessages: number;
}

/** The number of messages that a room has in the legacy service. */
export interface Tally {
  room_id: number | null;
  count: number;
  /** The number of messages up to `lastMessageId` of the previous import. */
  known: number;
  /** The highest message id. */
  last: number;
  /** The time of the newest message. */
  newest: number | null;
}

/** The messages of a room whose ids are greater than `after`. */
export interface MessageRange {
  room: number;
  after: number;
}

export interface LegacyRoomBatch {
  /** The rules of a room are ordered by date, the oldest first. */
  rooms: { room: LegacyRoom; rules: LegacyRule[] }[];
  /** Rules whose rooms do not exist. */
  strayRules: LegacyRule[];
}

/** A read-only snapshot of a legacy database. It shows the database as it was when the snapshot was opened. */
export interface LegacyDatabase {
  location: string;
  /** Reads all rooms in the order of their ids, in batches of a few hundred. */
  rooms(): AsyncGenerator<LegacyRoomBatch>;
  tallies(imported: ReadonlyMap<number, ImportedPosition>): Promise<Tally[]>;
  /**
   * Reads messages in batches of up to a few thousand, room by room, and ordered by date within a room. While the caller
   * uses a batch, the next batch is already being fetched.
   */
  messages(wanted: readonly MessageRange[]): AsyncGenerator<LegacyMessage[]>;
  close(): Promise<void>;
}

/** Formats host, port and database name for messages. Leaves out the credentials. */
export function formatLocation(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `postgres://${hostname || 'localhost'}:${port || 5432}${pathname}`;
}

export async function openLegacyDatabase(url: string): Promise<LegacyDatabase> {
  const location = formatLocation(url);
  const client = new pg.Client({
    connectionString: url,
    application_name: 'nano-messaging import',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  // An unhandled 'error' event would end the process. The error can be ignored here: the next query fails with it.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(formatReaderSetup());
    await client.query(`set work_mem = '64MB'`);
    await client.query('begin isolation level repeatable read read only');
    const tables = findTables((await client.query<FoundColumn>(findColumnsSql)).rows);
    return createLegacyDatabase(client, location, tables);
  } catch (error) {
    await client.end().catch(() => {});
    throw new ImportError(`Cannot read the legacy database at ${location}: ${formatReason(error)}`, error);
  }
}

/**
 * If the content column is declared with at most this length, such as `varchar(255)`, large batches fit into memory.
 * Otherwise batches are small.
 */
const maxShortContent = 1_024;
const batchSizes = { short: 4_000, any: 250, rooms: 500, rules: 4_000 };

/** The client must be within a transaction, so that all reads see the same snapshot. */
export function createLegacyDatabase(client: pg.Client, location: string, tables: LegacyTables): LegacyDatabase {
  const { messages } = tables;

  /** Fetches the next batch while the caller uses the current batch. */
  async function* cursor<Row>(
    name: string,
    size: number,
    text: string,
    values: unknown[] = [],
    shape: { rowMode?: 'array' } = {},
  ): AsyncGenerator<Row[]> {
    await rethrowAsImportError(client.query(`declare ${name} no scroll cursor for ${text}`, values));
    const fetch = () => {
      const batch: Promise<{ rows: unknown[] }> = client.query({
        text: `fetch ${size} from ${name}`,
        ...shape,
      } as pg.QueryConfig);
      batch.catch(() => {}); // The loop awaits the batch later, and handles the error then.
      return batch;
    };
    for (let next = fetch(); ; ) {
      const { rows } = await rethrowAsImportError(next);
      if (rows.length === 0) break;
      next = fetch();
      yield rows as Row[];
    }
    await rethrowAsImportError(client.query(`close ${name}`));
  }

  async function rethrowAsImportError<T>(answer: Promise<T>): Promise<T> {
    return answer.catch((error: unknown) => {
      throw new ImportError(`Reading the legacy database at ${location} failed: ${formatReason(error)}`, error);
    });
  }

  return {
    location,
    rooms: () =>
      joinRules(
        cursor<LegacyRoom>('legacy_rooms', batchSizes.rooms, selectRooms(tables.rooms)),
        cursor<LegacyRule>('legacy_rules', batchSizes.rules, selectRules(tables.rules)),
      ),
    tallies: async (imported: ReadonlyMap<number, ImportedPosition>) => {
      const lasts = [...imported.values()].map(({ lastMessageId }) => lastMessageId);
      return (await rethrowAsImportError(client.query<Tally>(selectTallies(messages), [[...imported.keys()], lasts])))
        .rows;
    },
    messages: (wanted: readonly MessageRange[]) => {
      const declared = /\((\d+)\)$/.exec(messages.getType('content')!)?.[1];
      const size = Number(declared ?? Number.POSITIVE_INFINITY) <= maxShortContent ? batchSizes.short : batchSizes.any;
      const values = [wanted.map(({ room }) => room), wanted.map(({ after }) => after)];
      return cursor<LegacyMessage>('legacy_messages', size, selectMessages(messages), values, { rowMode: 'array' });
    },
    close: () => client.end().catch(() => {}),
  };
}

/** Combines rooms and rules as in a merge join. Both inputs must be in the order of the room ids. */
async function* joinRules(
  rooms: AsyncGenerator<LegacyRoom[]>,
  rules: AsyncGenerator<LegacyRule[]>,
): AsyncGenerator<LegacyRoomBatch> {
  let ahead: LegacyRule[] = [];
  let isExhausted = false;
  async function* readRulesUpTo(last: number): AsyncGenerator<LegacyRule[]> {
    for (;;) {
      const beyond = ahead.findIndex(({ room_id }) => (room_id ?? Number.POSITIVE_INFINITY) > last);
      yield ahead.splice(0, beyond < 0 ? ahead.length : beyond);
      if (beyond >= 0 || isExhausted) return;
      const next = await rules.next();
      if (next.done) isExhausted = true;
      else ahead = next.value;
    }
  }
  for await (const roomBatch of rooms) {
    const combined: LegacyRoomBatch = { rooms: roomBatch.map((room) => ({ room, rules: [] })), strayRules: [] };
    const byNumber = new Map(combined.rooms.map((entry) => [entry.room.id, entry]));
    for await (const batch of readRulesUpTo(roomBatch.at(-1)!.id ?? Number.POSITIVE_INFINITY)) {
      for (const rule of batch) (byNumber.get(rule.room_id)?.rules ?? combined.strayRules).push(rule);
    }
    yield combined;
  }
  for await (const strayRules of readRulesUpTo(Number.POSITIVE_INFINITY)) {
    if (strayRules.length > 0) yield { rooms: [], strayRules };
  }
}

const selectRooms = ({ from, read }: LegacyTables['rooms']) =>
  `select ${read('id', 'r')} as id, ${read('uuid', 'r')} as uuid, ${read('name', 'r')} as name,
     ${read('type', 'r')} as type, ${read('level_admin', 'r')} as level_admin, ${read('user_owner', 'r')} as user_owner,
     ${read('entity_owner', 'r')} as entity_owner, ${read('max_entity_rules', 'r')} as max_entity_rules,
     ${read('createdAt', 'r')} as created, ${read('updatedAt', 'r')} as updated
   from ${from} r order by 1`;

const selectRules = ({ from, read }: LegacyTables['rules']) =>
  `select ${read('room_id', 'p')} as room_id, ${read('entity_UUID', 'p')} as grantee,
     ${read('permissions', 'p')} as permissions, ${read('level', 'p')} as level, ${read('accepted', 'p')} as accepted,
     ${read('createdAt', 'p')} as created, ${read('updatedAt', 'p')} as updated
   from ${from} p order by 1, created nulls first, 2`;

const selectTallies = ({ from, raw, read, readMax }: LegacyTables['messages']) =>
  `select ${read('room_id', 'm')} as room_id, count(*)::float8 as count,
     count(*) filter (where ${raw('id', 'm')} <= s.last)::float8 as known,
     ${readMax('id', 'm')} as last, ${readMax('createdAt', 'm')} as newest
   from ${from} m left join unnest($1::float8[], $2::float8[]) as s(room, last) on s.room = ${raw('room_id', 'm')}
   group by ${raw('room_id', 'm')} order by 1`;

/** Selects the columns in the order of the tuple `LegacyMessage`. */
function selectMessages({ from, raw, read }: LegacyTables['messages']): string {
  const columns = (['id', 'room_id', 'emitter', 'content', 'createdAt', 'updatedAt'] as const).map((name) =>
    read(name, 'm'),
  );
  return `select ${columns.join(', ')}
    from ${from} m join unnest($1::float8[], $2::float8[]) as w(room, after)
      on ${raw('room_id', 'm')} = w.room and ${raw('id', 'm')} > w.after
    order by ${raw('room_id', 'm')}, ${raw('createdAt', 'm')} nulls first, ${raw('id', 'm')}`;
}
