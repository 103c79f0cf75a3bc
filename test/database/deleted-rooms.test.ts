import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { Store } from '../../src/database/store.ts';
import { describeEveryStore, insertRoom, toQuery } from '../helpers/stores.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const grantee = randomUUID();

const tables = [
  ...['permission_rules', 'messages', 'room_changes', 'log_entries', 'reactions', 'reaction_counts', 'threads'],
  ...['thread_messages', 'mentions', 'positions', 'room_custom', 'room_keys'],
];

/** Inserts a room with this many rows in each table that has rows of rooms; one in `room_custom` and in `room_keys`. */
async function fillRoom(store: Store, count: number): Promise<number> {
  const room = await insertRoom(store);
  const insert = (table: string, columns: string) =>
    store.query(toQuery(`insert into ${table} select ${columns} from generate_series(1, $2::int) n`), [room, count]);
  const uuid = "md5($1::text || '/' || n)::uuid";
  const at = 'now()';
  await insert(
    'permission_rules (room_id, grantee, kind, permissions, level, created_at, updated_at)',
    [...['$1::bigint', uuid, "'user'", "'r'", '0', at, at]].join(),
  );
  await insert(
    'messages (room_id, seq, rev, emitter, content, created_at, updated_at)',
    [...['$1::bigint', 'n', 'n', uuid, "'a secret'", at, at]].join(),
  );
  await insert('room_changes (room_id, rev, kind, body, at)', `$1::bigint, n + $2::int, 'member', '{}', ${at}`);
  await insert('log_entries (room_id, rev, kind, seq, actor, at)', `$1::bigint, n + 2 * $2::int, 1, n, ${uuid}, ${at}`);
  await insert('reactions (room_id, seq, emoji, user_uuid, rev)', `$1::bigint, 1, '👍', ${uuid}, 1`);
  await insert('reaction_counts (room_id, seq, emoji, count, first_rev, first_n)', "$1::bigint, n, '👍', 1, 1, 0");
  await insert('threads (room_id, root, count, last_seq)', '$1::bigint, n, 1, n');
  await insert('thread_messages (room_id, root, seq)', '$1::bigint, 1, n');
  await insert('mentions (room_id, grantee, seq)', `$1::bigint, '${grantee}', n`);
  await insert('positions (room_id, user_uuid, version, muted)', `$1::bigint, ${uuid}, 1, false`);
  await store.query(toQuery("insert into room_custom (room_id, custom) values ($1::bigint, '{}')"), [room]);
  await store.query(toQuery("insert into room_keys (room_id, key) values ($1::bigint, 'key-' || $1::bigint)"), [room]);
  await store.query(
    toQuery('update rooms set last_seq = $2::int, last_rev = 3 * $2::int, rights_rev = 1 where id = $1::bigint'),
    [room, count],
  );
  return room;
}

async function countRows(store: Store, room: number): Promise<Record<string, number>> {
  const columns = tables.map((table) => `(select count(*)::int from ${table} where room_id = $1::bigint) as ${table}`);
  const [row] = await store.query<Record<string, number>>({ name: 'test count', text: `select ${columns.join()}` }, [
    room,
  ]);
  return row!;
}

const sum = (counts: Record<string, number>) => Object.values(counts).reduce((total, count) => total + count, 0);

describeEveryStore('A deleted room', (store) => {
  /** The next room is deleted in a later millisecond: rooms of the same millisecond follow each other by their ids. */
  const deleteRoom = async (room: number) => {
    await store().query(toQuery('delete from rooms where id = $1::bigint'), [room]);
    await waitUntil('the clock of the database has advanced', async () => {
      const clock = "select clock_timestamp() > max(deleted_at) + interval '1 ms' as later from deleted_rooms";
      return (await store().query<{ later: boolean }>(toQuery(clock), []))[0]!.later;
    });
  };
  const remove = async (rows: number) => {
    const [part] = await store().query<{ room: number; rows: number; done: boolean }>(
      toQuery('select o_room::float8 as room, o_rows as rows, o_is_done as done from remove_deleted_rows($1::int)'),
      [rows],
    );
    return part;
  };
  const listWaiting = async () =>
    (await store().query<{ room: number }>(toQuery('select room_id::float8 as room from deleted_rooms'), [])).map(
      ({ room }) => room,
    );

  /** Rooms that a failed test has left. */
  beforeEach(() => store().query(toQuery('delete from deleted_rooms'), []));

  it('loses its key and its data of the app at once, and its rows in parts of the given size', async () => {
    const [room, other] = [await fillRoom(store(), 25), await fillRoom(store(), 25)];
    await deleteRoom(room);
    expect(await countRows(store(), room)).to.include({
      room_custom: 0,
      room_keys: 0,
      messages: 25,
      permission_rules: 25,
    });
    const parts: number[] = [];
    for (let left = 250; left > 0; left -= 7) {
      const before = sum(await countRows(store(), room));
      const part = (await remove(7))!;
      parts.push(part.rows);
      expect(part).to.deep.equal({ room, rows: Math.min(7, left), done: left < 7 });
      expect(before - sum(await countRows(store(), room))).to.equal(part.rows);
    }
    expect(parts.reduce((a, b) => a + b)).to.equal(250);
    expect(sum(await countRows(store(), room))).to.equal(0);
    expect(await listWaiting()).to.deep.equal([]);
    expect(sum(await countRows(store(), other))).to.equal(252);
    expect(await remove(7)).to.equal(undefined);
  });

  it('loses its rules first, and rooms follow each other in the order of their deletion', async () => {
    const rooms = [await fillRoom(store(), 3), await fillRoom(store(), 3), await insertRoom(store())];
    for (const room of [...rooms].reverse()) await deleteRoom(room);
    const [last, middle, empty] = rooms as [number, number, number];
    expect(await remove(100)).to.deep.equal({ room: empty, rows: 0, done: true });
    expect(await remove(3)).to.deep.equal({ room: middle, rows: 3, done: false });
    expect(await countRows(store(), middle)).to.include({ permission_rules: 0, messages: 3 });
    expect(await remove(100)).to.deep.equal({ room: middle, rows: 27, done: true });
    expect(await remove(100)).to.deep.equal({ room: last, rows: 30, done: true });
  });

  it('keeps its place if the transaction that deletes it is rolled back', async () => {
    const room = await fillRoom(store(), 1);
    const failed = await store()
      .transaction(async (em) => {
        await em.execute('delete from rooms where id = ?', [room]);
        throw new Error('on purpose');
      })
      .catch((error: Error) => error.message);
    expect(failed).to.equal('on purpose');
    expect(await listWaiting()).to.deep.equal([]);
    expect(sum(await countRows(store(), room))).to.equal(12);
  });
});
