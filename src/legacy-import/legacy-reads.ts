import type pg from 'pg';
import { ImportError, reasonOf } from './import-error.ts';
import type { OldMessage, OldRoom, OldRooms, OldRule, Original, Seen, Tally, Wanted } from './legacy-rows.ts';
import type { OriginalTables } from './legacy-tables.ts';

/** Contents that are declared to be no longer than this are read many at once. */
const shortContent = 1_024;
const batchSizes = { short: 4_000, any: 250, rooms: 500, rules: 4_000 };

/** Reads the original's tables within the transaction that the session is in. */
export function originalOver(client: pg.Client, place: string, tables: OriginalTables): Original {
  const { messages } = tables;

  /** What there is next is fetched while the batch before it is used. */
  async function* cursor<Row>(
    name: string,
    size: number,
    text: string,
    values: unknown[] = [],
    shape: { rowMode?: 'array' } = {},
  ): AsyncGenerator<Row[]> {
    await reading(client.query(`declare ${name} no scroll cursor for ${text}`, values));
    const fetch = () => {
      const batch: Promise<{ rows: unknown[] }> = client.query({
        text: `fetch ${size} from ${name}`,
        ...shape,
      } as pg.QueryConfig);
      batch.catch(() => {}); // it is awaited in its turn
      return batch;
    };
    for (let next = fetch(); ; ) {
      const { rows } = await reading(next);
      if (rows.length === 0) break;
      next = fetch();
      yield rows as Row[];
    }
    await reading(client.query(`close ${name}`));
  }

  async function reading<T>(answer: Promise<T>): Promise<T> {
    return answer.catch((error: unknown) => {
      throw new ImportError(`The original at ${place} cannot be read any further: ${reasonOf(error)}`, error);
    });
  }

  return {
    place,
    rooms: () =>
      withRules(
        cursor<OldRoom>('old_rooms', batchSizes.rooms, roomsOf(tables.rooms)),
        cursor<OldRule>('old_rules', batchSizes.rules, rulesOf(tables.rules)),
      ),
    tallies: async (seen: ReadonlyMap<number, Seen>) => {
      const lasts = [...seen.values()].map(({ lastMessageId }) => lastMessageId);
      return (await reading(client.query<Tally>(talliesOf(messages), [[...seen.keys()], lasts]))).rows;
    },
    messages: (wanted: readonly Wanted[]) => {
      const declared = /\((\d+)\)$/.exec(messages.typeOf('content')!)?.[1];
      const size = Number(declared ?? Number.POSITIVE_INFINITY) <= shortContent ? batchSizes.short : batchSizes.any;
      const values = [wanted.map(({ room }) => room), wanted.map(({ after }) => after)];
      return cursor<OldMessage>('old_messages', size, messagesOf(messages), values, { rowMode: 'array' });
    },
    close: () => client.end().catch(() => {}),
  };
}

/** Both come in the order of the rooms' numbers. */
async function* withRules(
  rooms: AsyncGenerator<OldRoom[]>,
  rules: AsyncGenerator<OldRule[]>,
): AsyncGenerator<OldRooms> {
  let ahead: OldRule[] = [];
  let areAllRead = false;
  async function* rulesUpTo(last: number): AsyncGenerator<OldRule[]> {
    for (;;) {
      const beyond = ahead.findIndex(({ room_id }) => (room_id ?? Number.POSITIVE_INFINITY) > last);
      yield ahead.splice(0, beyond < 0 ? ahead.length : beyond);
      if (beyond >= 0 || areAllRead) return;
      const next = await rules.next();
      if (next.done) areAllRead = true;
      else ahead = next.value;
    }
  }
  for await (const some of rooms) {
    const together: OldRooms = { rooms: some.map((room) => ({ room, rules: [] })), strayRules: [] };
    const byNumber = new Map(together.rooms.map((one) => [one.room.id, one]));
    for await (const batch of rulesUpTo(some.at(-1)!.id ?? Number.POSITIVE_INFINITY)) {
      for (const rule of batch) (byNumber.get(rule.room_id)?.rules ?? together.strayRules).push(rule);
    }
    yield together;
  }
  for await (const strayRules of rulesUpTo(Number.POSITIVE_INFINITY)) {
    if (strayRules.length > 0) yield { rooms: [], strayRules };
  }
}

const roomsOf = ({ from, read }: OriginalTables['rooms']) =>
  `select ${read('id', 'r')} as id, ${read('uuid', 'r')} as uuid, ${read('name', 'r')} as name,
     ${read('type', 'r')} as type, ${read('level_admin', 'r')} as level_admin, ${read('user_owner', 'r')} as user_owner,
     ${read('entity_owner', 'r')} as entity_owner, ${read('max_entity_rules', 'r')} as max_entity_rules,
     ${read('createdAt', 'r')} as created, ${read('updatedAt', 'r')} as updated
   from ${from} r order by 1`;

const rulesOf = ({ from, read }: OriginalTables['rules']) =>
  `select ${read('room_id', 'p')} as room_id, ${read('entity_UUID', 'p')} as grantee,
     ${read('permissions', 'p')} as permissions, ${read('level', 'p')} as level, ${read('accepted', 'p')} as accepted,
     ${read('createdAt', 'p')} as created, ${read('updatedAt', 'p')} as updated
   from ${from} p order by 1, created nulls first, 2`;

const talliesOf = ({ from, raw, read, readMax }: OriginalTables['messages']) =>
  `select ${read('room_id', 'm')} as room_id, count(*)::float8 as count,
     count(*) filter (where ${raw('id', 'm')} <= s.last)::float8 as known,
     ${readMax('id', 'm')} as last, ${readMax('createdAt', 'm')} as newest
   from ${from} m left join unnest($1::float8[], $2::float8[]) as s(room, last) on s.room = ${raw('room_id', 'm')}
   group by ${raw('room_id', 'm')} order by 1`;

/** The columns of `OldMessage`. */
function messagesOf({ from, raw, read }: OriginalTables['messages']): string {
  const columns = (['id', 'room_id', 'emitter', 'content', 'createdAt', 'updatedAt'] as const).map((name) =>
    read(name, 'm'),
  );
  return `select ${columns.join(', ')}
    from ${from} m join unnest($1::float8[], $2::float8[]) as w(room, after)
      on ${raw('room_id', 'm')} = w.room and ${raw('id', 'm')} > w.after
    order by ${raw('room_id', 'm')}, ${raw('createdAt', 'm')} nulls first, ${raw('id', 'm')}`;
}
