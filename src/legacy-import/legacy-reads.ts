import type pg from 'pg';
import { formatReason, ImportError } from './import-error.ts';
import type {
  ImportedPosition,
  LegacyDatabase,
  LegacyMessage,
  LegacyRoom,
  LegacyRoomBatch,
  LegacyRule,
  MessageRange,
  Tally,
} from './legacy-rows.ts';
import type { LegacyTables } from './legacy-tables.ts';

/** Contents that are declared to be no longer than this are read many at once. */
const maxShortContent = 1_024;
const batchSizes = { short: 4_000, any: 250, rooms: 500, rules: 4_000 };

/** Reads the original's tables within the transaction that the session is in. */
export function createLegacyDatabase(client: pg.Client, location: string, tables: LegacyTables): LegacyDatabase {
  const { messages } = tables;

  /** What there is next is fetched while the batch before it is used. */
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
      batch.catch(() => {}); // it is awaited in its turn
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
      throw new ImportError(`The original at ${location} cannot be read any further: ${formatReason(error)}`, error);
    });
  }

  return {
    location,
    rooms: () =>
      joinRules(
        cursor<LegacyRoom>('old_rooms', batchSizes.rooms, selectRooms(tables.rooms)),
        cursor<LegacyRule>('old_rules', batchSizes.rules, selectRules(tables.rules)),
      ),
    tallies: async (seen: ReadonlyMap<number, ImportedPosition>) => {
      const lasts = [...seen.values()].map(({ lastMessageId }) => lastMessageId);
      return (await rethrowAsImportError(client.query<Tally>(selectTallies(messages), [[...seen.keys()], lasts]))).rows;
    },
    messages: (wanted: readonly MessageRange[]) => {
      const declared = /\((\d+)\)$/.exec(messages.getType('content')!)?.[1];
      const size = Number(declared ?? Number.POSITIVE_INFINITY) <= maxShortContent ? batchSizes.short : batchSizes.any;
      const values = [wanted.map(({ room }) => room), wanted.map(({ after }) => after)];
      return cursor<LegacyMessage>('old_messages', size, selectMessages(messages), values, { rowMode: 'array' });
    },
    close: () => client.end().catch(() => {}),
  };
}

/** Both come in the order of the rooms' numbers. */
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
    const byNumber = new Map(combined.rooms.map((one) => [one.room.id, one]));
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

/** The columns of `OldMessage`. */
function selectMessages({ from, raw, read }: LegacyTables['messages']): string {
  const columns = (['id', 'room_id', 'emitter', 'content', 'createdAt', 'updatedAt'] as const).map((name) =>
    read(name, 'm'),
  );
  return `select ${columns.join(', ')}
    from ${from} m join unnest($1::float8[], $2::float8[]) as w(room, after)
      on ${raw('room_id', 'm')} = w.room and ${raw('id', 'm')} > w.after
    order by ${raw('room_id', 'm')}, ${raw('createdAt', 'm')} nulls first, ${raw('id', 'm')}`;
}
