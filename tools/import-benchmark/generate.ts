import pg from 'pg';
import { legacySchema } from '../../test/helpers/legacy-fixture.ts';

export interface Amounts {
  rooms: number;
  messages: number;
}

/** Each room has four of these users in addition to its creator. They belong to ten organisations. */
const users = 500;

const uuid = (what: string, n: string) => `md5('${what} ' || (${n}))::uuid`;

const contents = [
  `'Fueled up and ready to go'`,
  `'¿Quién llega mañana? 👩‍🚀🚀'`,
  `'"quotes", \\backslashes\\ and ''more'' of them'`,
  `'<b>bold</b> & {"json": [1, 2, null]}'`,
  `E'two\\nlines\\tand a tab'`,
  `repeat('long ', 45)`,
];

/**
 * Creates a database of the legacy service. Half of the rooms get most of the messages. Messages are in the order of
 * their ids, except for a few late ones.
 */
export async function generateLegacyDatabase(url: string, { rooms, messages }: Amounts): Promise<void> {
  await inSession(url, async (client) => {
    await client.query(legacySchema);
    await client.query(
      `insert into "Rooms" (name, level_admin, type, entity_owner, "createdAt", "updatedAt")
       select 'room ' || n, 100, case when n % 5 = 0 then 'user2user' else 'group' end, ${uuid('organisation', 'n % 10')},
         t, t
       from generate_series(1, $1) n, lateral (select timestamptz '2021-06-01 12:00Z' + n * interval '1 second' as t) x`,
      [rooms],
    );
    await client.query(
      `insert into "Room_permissions" (room_id, "entity_UUID", permissions, level, "createdAt", "updatedAt")
       select r.id, ${uuid('user', `(r.id * 7 + k * 13) % ${users}`)}, case when k = 0 then 'rwa' else 'rw' end, 100,
         r."createdAt" + k * interval '1 second', r."createdAt"
       from "Rooms" r, generate_series(0, case when r.type = 'group' then 4 else 1 end) k
       on conflict do nothing`,
    );
    await client.query(
      `insert into "Room_permissions" (room_id, "entity_UUID", permissions, level, "createdAt", "updatedAt")
       select id, entity_owner, 'rw', 100, "createdAt", "createdAt" from "Rooms"`,
    );
    await insertMessages(client, rooms, messages);
    await client.query('analyze');
  });
}

/** Adds messages, as if the legacy service had continued to run. */
export function addMessages(url: string, { rooms, messages }: Amounts): Promise<void> {
  return inSession(url, (client) => insertMessages(client, rooms, messages));
}

async function insertMessages(client: pg.Client, rooms: number, messages: number): Promise<void> {
  await client.query(
    `insert into "Messages" (room_id, emitter, content, "createdAt", "updatedAt")
     select 1 + (hashint4(n) & 2147483647) % case when n % 10 < 8 then greatest($1::int / 2, 1) else $1::int end,
       ${uuid('user', `n * 31 % ${users}`)}, (array[${contents.join(', ')}])[1 + n % ${contents.length}] || ' ' || n, t, t
     from (select coalesce(max(id), 0) as done from "Messages") m,
       lateral generate_series(m.done + 1, m.done + $2::int) n,
       lateral (select timestamptz '2021-07-01 12:00Z' + (m.done > 0)::int * interval '1 hour' + n * interval '0.7 second' - (n % 97 = 0)::int * interval '5 second' as t) x`,
    [rooms, messages],
  );
}

async function inSession(url: string, task: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await task(client).finally(() => client.end());
}
