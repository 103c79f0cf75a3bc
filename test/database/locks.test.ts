import { expect } from 'chai';
import type pg from 'pg';
import { databaseSession, lockRoom } from '../helpers/database-session.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Resolves when this many sessions of the node wait for a lock. */
async function untilWaiting(other: pg.Client, count: number): Promise<void> {
  const waiting = `select count(*)::int as n from pg_stat_activity where application_name = 'nano-messaging'
    and datname = current_database() and wait_event_type = 'Lock'`;
  for (;;) {
    const { rows } = await other.query(waiting);
    if (rows[0].n >= count) return;
  }
}

describe('On PostgreSQL', () => {
  it('delays only the messages of a locked room, and stores them once it is unlocked', async () => {
    const DATABASE_URL = await freshDatabase();
    const { url } = await startNode(postgres, { DATABASE_URL });
    const { owner, room } = await createRoomWithOwner(url);
    const free = await createRoom(url, owner);
    const other = await databaseSession(DATABASE_URL);
    await lockRoom(other, room);
    const held = sendMessages(url, owner, room, 'later');
    for (let n = 0; n < 5; n++) await sendMessages(url, owner, free, `at once ${n}`);
    await other.query('commit');
    expect((await held)[0].seq).to.equal(1);
  });

  it('keeps a connection for the messages of other rooms while transactions wait for a locked room', async () => {
    const DATABASE_URL = await freshDatabase();
    const { url } = await startNode(postgres, { DATABASE_URL, DATABASE_POOL_SIZE: 3 });
    const { owner, room } = await createRoomWithOwner(url);
    const free = await createRoom(url, owner);
    const [other, watcher] = [await databaseSession(DATABASE_URL), await databaseSession(DATABASE_URL)];
    await lockRoom(other, room);
    const renames = ['a', 'b', 'c', 'd'].map((name) => rest(url, owner.token).patch(`/rooms/${room.id}`, { name }));
    await untilWaiting(watcher, 2);
    await sendMessages(url, owner, free, 'at once');
    await other.query('commit');
    expect((await Promise.all(renames)).map(({ status }) => status)).to.deep.equal([200, 200, 200, 200]);
  });

  it('refuses a forbidden message without waiting for the lock of its room', async () => {
    const DATABASE_URL = await freshDatabase();
    const { url } = await startNode(postgres, { DATABASE_URL });
    const { room } = await createRoomWithOwner(url);
    const other = await databaseSession(DATABASE_URL);
    await lockRoom(other, room);
    const refused = await rest(url, createUser().token).post(`/rooms/${room.id}/messages`, { content: 'let me in' });
    expect(refused.status).to.equal(404);
    await other.query('commit');
  });

  it('replaces connections that break during transactions, even the last', async () => {
    const DATABASE_URL = await freshDatabase();
    const { url } = await startNode(postgres, { DATABASE_URL, DATABASE_POOL_SIZE: 3 });
    const { owner, room } = await createRoomWithOwner(url);
    const [other, watcher] = [await databaseSession(DATABASE_URL), await databaseSession(DATABASE_URL)];
    await lockRoom(other, room);
    const renames = ['a', 'b'].map((name) => rest(url, owner.token).patch(`/rooms/${room.id}`, { name }));
    await untilWaiting(watcher, 2);
    const { rows: ended } = await watcher.query(`select pid, pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'nano-messaging' and datname = current_database()`);
    // A session ends a moment after the signal. A statement that it receives in between fails.
    const pids = ended.map(({ pid }) => pid);
    const left = () => watcher.query('select 1 from pg_stat_activity where pid = any($1)', [pids]);
    await waitUntil('the sessions have ended', async () => (await left()).rowCount === 0);
    expect((await Promise.all(renames)).map(({ status }) => status)).to.deep.equal([503, 503]);
    await other.query('rollback');
    expect((await rest(url, owner.token).get('/rooms')).status).to.equal(200);
    expect((await rest(url, owner.token).patch(`/rooms/${room.id}`, { name: 'c' })).status).to.equal(200);
    await sendMessages(url, owner, room, 'all is well');
  });
});
