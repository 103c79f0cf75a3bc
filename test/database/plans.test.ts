import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type pg from 'pg';
import { createRoomLog } from '../../src/core/log/room-log.ts';
import { openPostgres } from '../../src/database/open-store.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { toQuery } from '../helpers/stores.ts';

const [me, other, organisation] = [randomUUID(), randomUUID(), randomUUID()];

/** Inserts rooms with this number of messages each, and returns the id of the first one. */
async function insertRooms(session: pg.Client, rooms: number, messages: number): Promise<number> {
  const { rows } = await session.query(
    `with made as (
      insert into rooms (uuid, name, type, level_admin, user_owner, max_entity_rules, last_seq, last_rev, last_change_at, created_at, updated_at)
      select gen_random_uuid(), 'a room', 'group', 0, $3, 10, $2::bigint, $2::bigint, now(), now(), now() from generate_series(1, $1::int)
      returning id
    ), filled as (
      insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
      select made.id, n, n, $3, 'hello', now(), now() from made, generate_series(1, $2::bigint) n
    )
    select min(id)::float8 as id from made`,
    [rooms, messages, other],
  );
  return rows[0].id;
}

/** How many rows of the table the query reads, and how often it searches an index of the table. */
async function countReads(session: pg.Client, table: string, sql: string, values: unknown[]) {
  await session.query('begin');
  const before = await readCounters(session, table);
  await session.query(sql, values);
  const after = await readCounters(session, table);
  await session.query('rollback');
  return { rows: after.rows - before.rows, searches: after.searches - before.searches };
}

/** Counts since PostgreSQL has last published the counters of the session, which it does not do within a transaction. */
async function readCounters(session: pg.Client, table: string) {
  const { rows } = await session.query<{ rows: number; searches: number }>(
    `select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::float8 as rows, coalesce(idx_scan, 0)::float8 as searches
     from pg_stat_xact_user_tables where relname = $1`,
    [table],
  );
  return rows[0]!;
}

const write = `select * from write_positions($1::bigint[], $2::uuid[], $3::uuid[], '{100}', '{0}', '{true}', '{true}', '{null}',
  '{null}', '{0}')`;
const readItems = `select o_room from inbox_items($1::bigint[], '{null}', '{null}', '{1}', array[cardinality($2::uuid[])],
  $2::uuid[], $2::uuid[], array_fill(null::bigint, array[cardinality($2::uuid[])]))`;
const append = `select ids from append_straight($1::bigint[], array_fill(1, array[cardinality($1::bigint[])]),
  array_fill(0::bigint, array[cardinality($1::bigint[])]), array(select generate_series(1, cardinality($1::bigint[]))),
  array_fill(1, array[cardinality($1::bigint[])]), array_fill($2::uuid, array[cardinality($1::bigint[])]),
  array_fill('hello'::text, array[cardinality($1::bigint[])]), array_fill(null::text, array[cardinality($1::bigint[])]))`;

describe('plans in a database without statistics of messages, and in one whose rooms are small except for one', () => {
  let session: pg.Client;
  let busy: number;
  before(async () => {
    session = await databaseSession(await freshDatabase());
    busy = await insertRooms(session, 1, 2_000);
    await session.query(
      `insert into mentions (room_id, grantee, seq) select $1, $2, n from generate_series(1, 2000, 500) n`,
      [busy, me],
    );
  });

  for (const [name, prepare] of [
    ['without statistics', () => {}],
    [
      'with small rooms',
      async () => {
        await insertRooms(session, 3_000, 2);
        await session.query('analyze');
      },
    ],
  ] as const) {
    it(`${name}, a mark reads no more messages than it counts`, async () => {
      await prepare();
      const values = [[busy], [me], [organisation]];
      expect((await countReads(session, 'messages', write, values)).rows).to.be.below(10);
      expect((await countReads(session, 'mentions', write, values)).searches).to.be.below(10);
    });

    it(`${name}, an inbox item with many readers reads the newest messages only`, async () => {
      const readers = [me, ...Array.from({ length: 20 }, () => randomUUID())];
      expect((await countReads(session, 'messages', readItems, [[busy], readers])).rows).to.be.below(600);
      expect((await countReads(session, 'mentions', readItems, [[busy], readers])).searches).to.be.below(50);
    });
  }
});

describe('append_straight', () => {
  it('locks its rooms in the order of the list, also if the statistics say that there is only one room', async () => {
    const session = await databaseSession(await freshDatabase());
    await insertRooms(session, 1, 0);
    await session.query('analyze rooms');
    await session.query(`create function note_room() returns trigger language plpgsql as $$
      begin
        perform set_config('test.noted', current_setting('test.noted') || ' ' || old.id, true);
        return new;
      end $$;
      create trigger note before update on rooms for each row execute function note_room()`);
    for (const count of [3, 50]) {
      const first = await insertRooms(session, count, 0);
      // This is not the order of an index.
      const rooms = Array.from({ length: count }, (_, n) => first + ((n * 7 + 1) % count));
      await session.query(`set test.noted = ''`);
      await session.query('begin');
      await session.query(append, [rooms, other]);
      const { rows } = await session.query(`select current_setting('test.noted') as noted`);
      await session.query('commit');
      expect(rows[0].noted.trim().split(' ').map(Number)).to.deep.equal(rooms);
      await session.query('analyze rooms');
    }
  });
});

describe('planOnce', () => {
  it('makes PostgreSQL plan frequent statements no more after five executions, whatever their parameters', async () => {
    const databaseUrl = await freshDatabase();
    const session = await databaseSession(databaseUrl);
    const rooms = [await insertRooms(session, 1, 5_000), await insertRooms(session, 300, 2)];
    await session.query('analyze');
    const store = await openPostgres({ databaseUrl, poolSize: 1, statementTimeoutMs: 10_000 });
    closeLater(() => store.close());
    const log = createRoomLog(store);
    const request = { user: me, split: 3_000, dateFrom: null, dateTo: null, thread: null, tombstones: true };
    for (const room_id of [...rooms, ...rooms, ...rooms, ...rooms]) {
      await log.history({ ...request, room_id, maxOlder: 50, maxNewer: 0, topLevel: false });
      await log.history({ ...request, room_id, maxOlder: 20, maxNewer: 20, topLevel: true });
      await log.history({ ...request, room_id, maxOlder: 20, maxNewer: 0, thread: 1, topLevel: false });
      await log.singleMessages(room_id, me, [1, 2]);
      await log.snapshots([room_id]);
    }
    const plans = toQuery(`select name, custom_plans::int, generic_plans::int from pg_prepared_statements
      where name = any($1::text[]) order by name`);
    const names = ['history_of_room', 'history_of_thread', 'history_short_older', 'rooms_by_id', 'single_messages'];
    expect(await store.query(plans, [names])).to.deep.equal(
      names.map((name) => ({ name, custom_plans: 5, generic_plans: 3 })),
    );
  });
});
