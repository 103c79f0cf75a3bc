import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { Store } from '../../src/database/store.ts';
import { type PositionWrite, type WrittenPosition, writePositions } from '../../src/features/reads/write-positions.ts';
import { describeEveryStore } from '../helpers/stores.ts';

const ask = (text: string) => ({ name: `test ${text}`.slice(0, 60), text });
const nobody = '00000000-0000-0000-0000-000000000000';

interface Stored {
  emitter?: string;
  flags?: number;
  thread?: number;
  isDeleted?: boolean;
  mentions?: string;
  /** In seconds. */
  ago?: number;
}

describeEveryStore('read positions', (opened) => {
  let store: Store;
  before(() => {
    store = opened();
  });

  const ana = randomUUID();
  const ben = randomUUID();

  async function newRoom(type = 'group'): Promise<number> {
    const [row] = await store.query<{ id: number }>(
      ask(`insert into rooms (uuid, name, type, level_admin, user_owner, max_entity_rules, last_change_at, created_at, updated_at)
          select $1::uuid, 'a room', $2, 0, $1::uuid, 10, now(), now(), now() returning id::float8 as id`),
      [randomUUID(), type],
    );
    return row!.id;
  }

  /** Stores messages, the oldest first. */
  async function addMessages(room: number, ...messages: Stored[]): Promise<void> {
    for (const { emitter = ana, flags, thread, isDeleted = false, mentions, ago = 0 } of messages) {
      await store.query(
        ask(`with moved as (
              update rooms set last_seq = last_seq + 1, last_rev = last_rev + 1 where id = $1::bigint returning last_seq
            ), mentioned as (
              insert into mentions (room_id, grantee, seq) select $1::bigint, $7::uuid, last_seq from moved where $7::uuid is not null
            )
            insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at, flags, thread, deleted_at)
            select $1::bigint, last_seq, last_seq, $2::uuid, 'hello', at, at, $3::smallint, $4::bigint,
              case when $5::boolean then at end
            from moved, (select now() - make_interval(secs => $6::float8) as at) x`),
        [room, emitter, flags ?? null, thread ?? null, isDeleted, ago, mentions ?? null],
      );
    }
  }

  async function addRule(room: number, grantee: string, from_seq: number | null, kind = 'user', ago = 0) {
    await store.query(
      ask(`insert into permission_rules (room_id, grantee, kind, permissions, level, created_at, updated_at, from_seq)
          select $1::bigint, $2::uuid, $3, 'rw', 0, at, at, $4::bigint
          from (select now() - make_interval(secs => $5::float8) as at) x`),
      [room, grantee, kind, from_seq, ago],
    );
  }

  const see = (user: string, ago: number) =>
    store.query(
      ask(`insert into users_seen (user_uuid, at) select $1::uuid, now() - make_interval(secs => $2::float8)`),
      [user, ago],
    );

  const toWrite = (room_id: number, more: Partial<PositionWrite>): PositionWrite => ({
    ...{ room_id, user: ben, entity: null, level: 0, seq: null, force: false, isQuiet: false },
    ...{ muted: null, hidden: null },
    ...more,
  });

  async function write(room: number, more: Partial<PositionWrite>): Promise<WrittenPosition> {
    const results = await writePositions(store, [toWrite(room, more)]);
    return results![0]!;
  }

  const mark = (room: number, seq: number, more: Partial<PositionWrite> = {}) => write(room, { seq, ...more });

  it('moves a position forward only, and raises its version with every change', async () => {
    const room = await newRoom();
    await addRule(room, ben, 0);
    await addMessages(room, {}, {}, {}, {});
    expect(await mark(room, 2)).to.include({ read_seq: 2, version: 1, unread: 2, hasChanged: true });
    expect(await mark(room, 1)).to.include({ read_seq: 2, version: 1, unread: 2, hasChanged: false });
    expect(await mark(room, 2)).to.include({ read_seq: 2, version: 1, hasChanged: false });
    expect(await mark(room, 3)).to.include({ read_seq: 3, version: 2, unread: 1, hasChanged: true });
    expect(await mark(room, 99)).to.include({ read_seq: 4, version: 3, unread: 0 });
  });

  it('moves a position back if the mark is forced, down to 0, without a change of what others see', async () => {
    const room = await newRoom();
    await addRule(room, ben, 0);
    await addMessages(room, {}, {}, {});
    expect(await mark(room, 3)).to.include({ receipt_seq: 3 });
    expect(await mark(room, 0, { force: true })).to.include({ read_seq: 0, receipt_seq: 3, version: 2, unread: 3 });
    expect(await mark(room, 2)).to.include({ read_seq: 2, receipt_seq: 3, version: 3, unread: 1 });
    expect(await mark(room, 3, { force: true })).to.include({ read_seq: 3, receipt_seq: 3, version: 4 });
  });

  it('does not show quiet marks to others', async () => {
    const room = await newRoom();
    await addRule(room, ben, 0);
    await addMessages(room, {}, {}, {});
    expect(await mark(room, 1, { isQuiet: true })).to.include({ read_seq: 1, receipt_seq: null });
    expect(await mark(room, 2)).to.include({ read_seq: 2, receipt_seq: 2 });
    expect(await mark(room, 3, { isQuiet: true })).to.include({ read_seq: 3, receipt_seq: 2 });
  });

  it('counts neither own, silent and deleted messages nor replies in threads', async () => {
    const room = await newRoom();
    await addRule(room, ben, 0);
    await addMessages(room, {}, { emitter: ben }, { flags: 1 }, { isDeleted: true }, { thread: 1 }, { flags: 2 });
    expect(await mark(room, 0)).to.include({ unread: 2 });
  });

  it('counts mentions of the user, their organisation and the room once each, in threads, too', async () => {
    const [room, entity] = [await newRoom(), randomUUID()];
    await addRule(room, ben, 0);
    await addMessages(
      room,
      { mentions: ben },
      { mentions: entity },
      { mentions: nobody },
      { mentions: ben, thread: 1 },
    );
    await addMessages(
      room,
      { mentions: randomUUID() },
      { mentions: ben, emitter: ben },
      { mentions: ben, isDeleted: true },
    );
    expect(await mark(room, 0, { entity })).to.include({ unread_mentions: 4 });
    expect(await mark(room, 0)).to.include({ unread_mentions: 3 });
    expect(await mark(room, 2, { entity })).to.include({ unread_mentions: 2 });
  });

  it('moves past own and deleted messages', async () => {
    const room = await newRoom();
    await addRule(room, ben, 0);
    await addMessages(room, {}, { emitter: ben }, { isDeleted: true }, { flags: 1 }, { emitter: ben });
    expect(await mark(room, 1)).to.include({ read_seq: 3, unread: 0 });
    expect(await mark(room, 4)).to.include({ read_seq: 5, unread: 0 });
    expect(await mark(room, 1, { force: true })).to.include({ read_seq: 1 });
  });

  it('counts exactly to 99 while at most 500 messages lie after the position, and otherwise says 100', async () => {
    const room = await newRoom();
    await addRule(room, ben, 0);
    await store.query(
      ask(`with moved as (update rooms set last_seq = 501, last_rev = 501 where id = $1::bigint)
          insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
          select $1::bigint, n, n, case when n % 5 = 0 then $2::uuid else $3::uuid end, 'hello', now(), now()
          from generate_series(1, 501) n`),
      [room, ana, ben],
    );
    expect(await mark(room, 0, { force: true })).to.include({ unread: 100 });
    expect(await mark(room, 3, { force: true })).to.include({ unread: 100 });
    expect(await mark(room, 5, { force: true })).to.include({ unread: 99 });
    expect(await mark(room, 400)).to.include({ unread: 20 });
  });

  it('counts from the own rule without a position', async () => {
    const room = await newRoom();
    await addMessages(room, {}, {});
    await addRule(room, ben, 2);
    await addMessages(room, {});
    expect(await write(room, {})).to.include({ read_seq: 2, version: 0, unread: 1, hasChanged: false });
    expect(await mark(room, 1)).to.include({ read_seq: 2, version: 0, unread: 1, hasChanged: false });
  });

  it('counts from the first request of the user if an earlier version made the rule', async () => {
    const [room, user] = [await newRoom(), randomUUID()];
    await addRule(room, user, null, 'user', 1_000);
    await addMessages(room, { ago: 900 }, { ago: 500 }, { ago: 100 });
    expect(await write(room, { user })).to.include({ read_seq: 3, unread: 0 });
    await see(user, 600);
    expect(await write(room, { user })).to.include({ read_seq: 1, unread: 2 });
  });

  it('counts from the first request of the user if access comes from their organisation, and not before its rule', async () => {
    const [user, entity] = [randomUUID(), randomUUID()];
    const [open, late] = [await newRoom(), await newRoom()];
    await addRule(open, entity, 0, 'entity', 1_000);
    await addRule(late, entity, 2, 'entity', 50);
    for (const room of [open, late]) await addMessages(room, { ago: 900 }, { ago: 500 }, { ago: 10 });
    expect(await write(open, { user, entity })).to.include({ read_seq: 3, unread: 0 });
    await see(user, 600);
    expect(await write(open, { user, entity })).to.include({ read_seq: 1, unread: 2 });
    expect(await write(late, { user, entity })).to.include({ read_seq: 2, unread: 1 });
  });

  it('keeps the first position if only settings are written', async () => {
    const room = await newRoom();
    await addMessages(room, {});
    await addRule(room, ben, 1);
    await addMessages(room, {}, {});
    expect(await write(room, { muted: true })).to.include({ read_seq: 1, version: 1, muted: true, unread: 2 });
    expect(await mark(room, 2)).to.include({ read_seq: 2, version: 2, muted: true, unread: 1 });
    expect(await write(room, { muted: true })).to.include({ version: 2, hasChanged: false });
    expect(await write(room, { muted: false })).to.include({ version: 3, muted: false });
  });

  it('hides a room until somebody else sends a message that counts', async () => {
    const room = await newRoom();
    await addRule(room, ben, 0);
    await addMessages(room, {});
    expect(await write(room, { hidden: true })).to.include({ version: 1, hidden: true });
    expect(await write(room, { hidden: true })).to.include({ version: 1, hasChanged: false });
    await addMessages(room, { emitter: ben }, { flags: 1 });
    expect(await write(room, {})).to.include({ hidden: true });
    await addMessages(room, {});
    expect(await write(room, {})).to.include({ hidden: false });
    expect(await write(room, { hidden: true })).to.include({ version: 2, hidden: true });
    expect(await write(room, { hidden: false })).to.include({ version: 3, hidden: false });
    expect(await write(room, { hidden: false })).to.include({ version: 3, hasChanged: false });
  });

  it('says whether a room has receipts: a pair unless it is turned off, and never with more than 100 positions', async () => {
    const [pair, group] = [await newRoom('user2user'), await newRoom()];
    expect(await write(pair, {})).to.include({ hasReceipts: true });
    expect(await write(group, {})).to.include({ hasReceipts: false });
    await store.query(ask('update rooms set receipts = $2 where id = $1::bigint'), [pair, false]);
    await store.query(ask('update rooms set receipts = $2 where id = $1::bigint'), [group, true]);
    expect(await write(pair, {})).to.include({ hasReceipts: false });
    const addPositions = (count: number) =>
      store.query(
        ask(`insert into positions (room_id, user_uuid, read_seq, version, muted)
            select $1::bigint, gen_random_uuid(), 0, 1, false from generate_series(1, $2::int)`),
        [group, count],
      );
    await addPositions(100);
    expect(await write(group, {})).to.include({ hasReceipts: true });
    await addPositions(1);
    expect(await write(group, {})).to.include({ hasReceipts: false });
  });

  it('writes a batch for many users and rooms, and skips rooms that do not exist', async () => {
    const rooms = [await newRoom(), await newRoom()];
    for (const room of rooms) await addMessages(room, {}, {});
    const users = [randomUUID(), randomUUID(), randomUUID()];
    for (const room of rooms) for (const user of users) await addRule(room, user, 0);
    const writes = rooms.flatMap((room) => users.map((user, n) => toWrite(room, { user, seq: n % 3 })));
    const results = await writePositions(store, [...writes, toWrite(2 ** 40, { seq: 1 })]);
    expect(results!.map((result) => result && [result.read_seq, result.version])).to.deep.equal([
      ...rooms.flatMap(() => [
        [0, 0],
        [1, 1],
        [2, 1],
      ]),
      undefined,
    ]);
  });

  it('writes nothing if the rights of a room have changed, or if the room no longer exists', async () => {
    const rooms = [await newRoom(), await newRoom()] as const;
    for (const room of rooms) await addMessages(room, {});
    await store.query(ask('update rooms set rights_rev = 7 where id = $1::bigint'), [rooms[1]]);
    const writes = rooms.map((room) => toWrite(room, { seq: 1, force: true }));
    expect(await writePositions(store, writes, [0, 6])).to.equal(undefined);
    expect(await writePositions(store, [writes[0]!, toWrite(2 ** 40, { seq: 1 })], [0, 0])).to.equal(undefined);
    expect(await store.query(ask('select 1 from positions where room_id = any($1::bigint[])'), [rooms])).to.deep.equal(
      [],
    );
    expect(await writePositions(store, writes, [0, 7])).to.have.length(2);
  });

  it('stores overlapping batches of several nodes without a deadlock, in whatever order they name the rows', async () => {
    const rooms = [await newRoom(), await newRoom(), await newRoom()];
    for (const room of rooms) await addMessages(room, ...Array.from({ length: 10 }, () => ({})));
    const users = Array.from({ length: 20 }, () => randomUUID());
    for (const room of rooms) for (const user of users) await addRule(room, user, 0);
    const writesOf = (seq: number) => rooms.flatMap((room) => users.map((user) => toWrite(room, { user, seq })));
    const shuffled = (seq: number) => writesOf(seq).sort(() => Math.random() - 0.5);
    await Promise.all(Array.from({ length: 30 }, (_, n) => writePositions(store, shuffled(1 + (n % 10)))));
    const results = await writePositions(store, writesOf(0));
    for (const result of results!) expect(result).to.include({ read_seq: 10, unread: 0 });
  });

  it('leaves one row in the journal for each changed position', async () => {
    const room = await newRoom();
    await addRule(room, ben, 0);
    await addMessages(room, {}, {});
    await mark(room, 1);
    await mark(room, 1);
    await mark(room, 2);
    const rows = await store.query(
      ask('select grantee::text as grantee from touches where what = 6 and room_id = $1::bigint'),
      [room],
    );
    expect(rows).to.deep.equal([{ grantee: ben }, { grantee: ben }]);
  });
});
