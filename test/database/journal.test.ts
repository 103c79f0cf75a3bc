import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { createJournalCleanup, JournalReader, type Poll } from '../../src/core/log/journal.ts';
import { createRoomLog } from '../../src/core/log/room-log.ts';
import type { Store } from '../../src/database/store.ts';
import { writePositions } from '../../src/features/reads/write-positions.ts';
import { redeliver, resumeWebhook, skipBefore } from '../../src/features/webhooks/administration.ts';
import { registerEndpoint } from '../../src/features/webhooks/positions.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { describeEveryStore, insertRoom, openPgliteStore, openPostgresStore, toQuery } from '../helpers/stores.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const rename = `update rooms set name = 'renamed', updated_at = now() where id = $1`;
const roomsIn = ({ touches }: Poll) => touches.map(([, room]) => room);

describeEveryStore('The journal of the inboxes', (store) => {
  it('has each change once, in the poll after its commit', async () => {
    const journal = new JournalReader(store());
    expect(await journal.poll()).to.deep.include({ touches: [], hasGap: false });
    const room = await insertRoom(store());
    expect(await journal.poll()).to.deep.include({ touches: [[3, room, null]], hasGap: false });
    await store().query(toQuery(rename), [room]);
    await store().query(toQuery(rename), [room]);
    expect(await journal.poll()).to.deep.include({ touches: [[3, room, null]], hasGap: false });
    expect(await journal.poll()).to.deep.include({ touches: [], hasGap: false });
  });

  it('has one row for each rule, and one for a deleted room with all its rules', async () => {
    const room = await insertRoom(store());
    const journal = new JournalReader(store());
    await journal.poll();
    const insert = `insert into permission_rules (room_id, grantee, kind, permissions, level, created_at, updated_at)
      select $1, ('aaaaaaaa-0000-4000-8000-00000000000' || n)::uuid, 'user', 'rw', 0, now(), now() from generate_series(1, 3) n`;
    await store().query(toQuery(insert), [room]);
    const [, , grantee] = (await journal.poll()).touches.toSorted()[2]!;
    expect(grantee).to.equal('aaaaaaaa-0000-4000-8000-000000000003');
    await store().query(toQuery('update permission_rules set level = 7 where room_id = $1 and grantee = $2'), [
      room,
      grantee,
    ]);
    expect((await journal.poll()).touches).to.deep.equal([[5, room, grantee]]);
    await store().query(toQuery('delete from permission_rules where room_id = $1 and grantee = $2'), [room, grantee]);
    expect((await journal.poll()).touches).to.deep.equal([[5, room, grantee]]);
    await store().query(toQuery('delete from rooms where id = $1'), [room]);
    expect((await journal.poll()).touches).to.deep.equal([[4, room, null]]);
  });

  it('has nothing for updates of the counters alone', async () => {
    const room = await insertRoom(store());
    const journal = new JournalReader(store());
    await journal.poll();
    const count =
      'update rooms set last_seq = last_seq + 1, last_rev = last_rev + 1, last_change_at = now() where id = $1';
    await store().query(toQuery(count), [room]);
    expect((await journal.poll()).touches).to.deep.equal([]);
  });

  it('reports a gap if it was emptied, and then goes on', async () => {
    const room = await insertRoom(store());
    const journal = new JournalReader(store());
    await journal.poll();
    await store().query(toQuery(rename), [room]);
    await store().query(toQuery('truncate touches_epoch, touches'), []);
    expect(await journal.poll()).to.deep.include({ touches: [], hasGap: true });
    await store().query(toQuery(rename), [room]);
    expect(await journal.poll()).to.deep.include({ touches: [[3, room, null]], hasGap: false });
  });

  it('reports a gap to every reader if another reader has found it empty first', async () => {
    const [one, other] = [new JournalReader(store()), new JournalReader(store())];
    for (const journal of [one, other]) await journal.poll();
    await store().query(toQuery('truncate touches_epoch, touches'), []);
    for (const journal of [one, other]) expect((await journal.poll()).hasGap).to.equal(true);
    for (const journal of [one, other]) expect((await journal.poll()).hasGap).to.equal(false);
  });

  it('ignores and deletes rows of the future, which come from a restored copy', async () => {
    const journal = new JournalReader(store());
    await journal.poll();
    await store().query(toQuery(`insert into touches (xid, what, room_id) values ('99999999999', 1, 1)`), []);
    expect((await journal.poll()).touches).to.deep.equal([]);
    const cleanup = createJournalCleanup(store());
    for (let n = 0; n < 2; n++) await cleanup.run();
    expect(await store().query(toQuery(`select 1 from touches where xid = '99999999999'`), [])).to.deep.equal([]);
  });

  it('deletes only what was committed before the snapshot of the cleanup before', async () => {
    const cleanup = createJournalCleanup(store());
    const old = await insertRoom(store());
    // Snapshots also count the transactions of other databases of the server, such as those of autovacuum.
    const older = 'select xid < pg_snapshot_xmin(pg_current_snapshot()) as "isOldest" from touches where room_id = $1';
    await waitUntil('no older transaction is open', async () =>
      (await store().query<{ isOldest: boolean }>(toQuery(older), [old])).every(({ isOldest }) => isOldest),
    );
    await cleanup.run();
    const recent = await insertRoom(store());
    await cleanup.run();
    const rows = await store().query<{ room: number }>(
      toQuery('select room_id::float8 as room from touches where room_id = any($1::bigint[])'),
      [[old, recent]],
    );
    expect(rows).to.deep.equal([{ room: recent }]);
  });

  it('does not delete by a snapshot from before it was emptied', async () => {
    const cleanup = createJournalCleanup(store());
    await new JournalReader(store()).poll();
    await cleanup.run();
    await store().query(toQuery('truncate touches_epoch, touches'), []);
    await new JournalReader(store()).poll();
    await store().query(toQuery(`insert into touches (xid, what, room_id) values ('5', 1, 77)`), []);
    await cleanup.run();
    expect(await store().query(toQuery('select 1 from touches where room_id = 77'), [])).to.have.length(1);
  });
});

describe('The journal of the inboxes with concurrent transactions', () => {
  it('has a transaction that was held open across ten polls, once, and nothing else again', async () => {
    const url = await freshDatabase();
    const store = await openPostgresStore(url);
    const [slow, other] = [await insertRoom(store), await insertRoom(store)];
    const session = await databaseSession(url);
    const journal = new JournalReader(store);
    await journal.poll();
    await session.query('begin');
    await session.query(rename, [slow]);
    for (let n = 0; n < 10; n++) {
      await store.query(toQuery(rename), [other]);
      expect(roomsIn(await journal.poll())).to.deep.equal([other]);
    }
    await session.query('commit');
    expect(roomsIn(await journal.poll())).to.deep.equal([slow]);
    expect(roomsIn(await journal.poll())).to.deep.equal([]);
  });

  it('has a transaction that began before the first poll', async () => {
    const url = await freshDatabase();
    const store = await openPostgresStore(url);
    const room = await insertRoom(store);
    const session = await databaseSession(url);
    await session.query('begin');
    await session.query(rename, [room]);
    const journal = new JournalReader(store);
    await journal.poll();
    await session.query('commit');
    expect(roomsIn(await journal.poll())).to.deep.equal([room]);
  });

  it('keeps a row whose transaction is still open when the cleanup takes its snapshot', async () => {
    const url = await freshDatabase();
    const store = await openPostgresStore(url);
    const room = await insertRoom(store);
    const session = await databaseSession(url);
    const journal = new JournalReader(store);
    await journal.poll();
    await session.query('begin');
    await session.query(rename, [room]);
    const cleanup = createJournalCleanup(store);
    await cleanup.run();
    await session.query('commit');
    await cleanup.run();
    expect(roomsIn(await journal.poll())).to.include(room);
  });

  it('has no row of a transaction that was rolled back', async () => {
    const url = await freshDatabase();
    const store = await openPostgresStore(url);
    const room = await insertRoom(store);
    const session = await databaseSession(url);
    const journal = new JournalReader(store);
    await journal.poll();
    await session.query('begin');
    await session.query(rename, [room]);
    await session.query('rollback');
    expect(roomsIn(await journal.poll())).to.deep.equal([]);
  });
});

const ana = randomUUID();
const guest = randomUUID();
const draft = (room_id: number, client_msg_id: string | null = null) => ({
  ...{ room_id, emitter: ana, content: 'hello', client_msg_id, isAllowed: true, rightsRev: 0 },
});
const plain = { client_msg_id: null, reply_to: null, thread: null, mentions: [], custom: null, flags: 0 };
const may = { can_read: true, can_write: true, can_delete_all: false, can_edit_all: false, rights_rev: 0 };
const mute = {
  user: guest,
  entity: null,
  level: 0,
  seq: null,
  force: false,
  isQuiet: false,
  muted: true,
  hidden: null,
};

const toName = (room: number) => `app-${room}`;

/** What adds rows to the journal without a transaction of the ORM. */
const writes: Record<string, (store: Store, room: number) => Promise<unknown>> = {
  'a sent message': (store, room) => createRoomLog(store).append([draft(room)]),
  'a batch with a duplicate': (store, room) => createRoomLog(store).append([draft(room, 'known'), draft(room, 'new')]),
  'a message of the backend': (store, room) =>
    createRoomLog(store).appendAll(room, [{ ...plain, emitter: ana, content: 'hello', created_at: null }]),
  'a reaction': (store, room) =>
    createRoomLog(store).apply([
      { ...may, room_id: room, actor: ana, kind: 'react', seq: 1, emoji: '👍', added: true },
    ]),
  'an accepted invitation': (store, room) =>
    createRoomLog(store).accept([{ room_id: room, grantee: guest, entity: null, rightsRev: 0 }]),
  'a position in a room': (store, room) => writePositions(store, [{ ...mute, room_id: room }]),
  'a webhook that is resumed': (store, room) => resumeWebhook(store, toName(room)),
  'a webhook that skips changes': (store, room) => skipBefore(store, toName(room), new Date()),
  'a webhook that delivers again': (store, room) => redeliver(store, toName(room), room, 1),
};

describe('The journal of an embedded database', () => {
  let store: Store;
  let calls = 0;

  before(async function () {
    this.timeout(60_000);
    store = await openPgliteStore();
    store.onJournalWrite(() => (calls += 1));
  });

  async function newRoom(): Promise<number> {
    const room = await insertRoom(store);
    await createRoomLog(store).append([draft(room, 'known')]);
    const invite = `insert into permission_rules (room_id, grantee, kind, permissions, level, created_at, updated_at)
      values ($1::bigint, $2::uuid, 'user', 'rw', 0, now(), now())`;
    await store.query(toQuery(invite), [room, guest]);
    await registerEndpoint(store, toName(room));
    return room;
  }

  for (const [what, write] of Object.entries(writes)) {
    it(`tells its listeners of ${what}`, async () => {
      const room = await newRoom();
      const journal = new JournalReader(store);
      await journal.poll();
      calls = 0;
      await write(store, room);
      expect(calls).to.be.at.least(1);
      expect((await journal.poll()).touches).to.not.deep.equal([]);
    });
  }

  it('tells its listeners nothing if a room, its messages or its journal are read', async () => {
    const room = await newRoom();
    calls = 0;
    await createRoomLog(store).snapshot(room);
    await createRoomLog(store).changes(room, 1, 9, 9);
    await createRoomLog(store).heads([room]);
    await new JournalReader(store).poll();
    expect(calls).to.equal(0);
  });
});
