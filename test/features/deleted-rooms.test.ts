import { expect } from 'chai';
import { openPglite } from '../../src/database/open-store.ts';
import { putKeyedRoom } from '../helpers/admin-rooms.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { startKillableNode } from '../helpers/killable-node.ts';
import { readMetrics } from '../helpers/metrics.ts';
import { type Alter, embedded, postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { toQuery } from '../helpers/stores.ts';
import { adminToken, createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Shorter than the time between two looks of a node with the default timeouts. */
const timeoutMs = 20_000;

const withShortTimeouts: Alter = (config) => ({
  ...config,
  timeouts: { rowRemoval: { lookMs: 100, leaseMs: 1_000, renewMs: 100 } },
});

/** Until the test ends the lease, no node removes rows, as if another node was working on a large room. */
async function startBusyDatabase() {
  const DATABASE_URL = await freshDatabase();
  const first = await startNode(postgres, { DATABASE_URL }, withShortTimeouts);
  const session = await databaseSession(DATABASE_URL);
  await session.query("insert into leases values ('deleted rooms', 'another node', 1, now() + interval '1 hour')");
  return {
    url: first.url,
    node: first,
    start: () => startNode(postgres, { DATABASE_URL }, withShortTimeouts),
    count: async (rows: string) => (await session.query(`select count(*)::int as n from ${rows}`)).rows[0].n as number,
    endLease: () => session.query('update leases set until = now()'),
  };
}

describe('A deleted room whose rows still exist [PostgreSQL]', function () {
  this.timeout(60_000);
  let database: Awaited<ReturnType<typeof startBusyDatabase>>;
  before(async () => {
    database = await startBusyDatabase();
  });

  it('is gone for its members, for their lists and inboxes, and for the backend', async () => {
    const { url, count } = database;
    const owner = createUser({ level: 100 });
    const rules = [{ userUUID: owner.user, permissions: 'rwa' }];
    const room = await putKeyedRoom(url, { rules });
    const others = [await putKeyedRoom(url, { rules }), await putKeyedRoom(url, { rules })];
    const person = rest(url, owner.token);
    const backend = rest(url, adminToken);
    const invited = await createMember(url, owner, room);
    const sent = { content: 'a secret', client_msg_id: 'known' };
    await person.post(`/rooms/${room.id}/messages`, sent);
    await person.put(`/rooms/${room.id}/messages/1/reactions/👍`);
    await person.put(`/rooms/${room.id}/read`, { seq: 1 });
    const socket = await socketClient(url, owner);
    await socket.request('room:join', { room_id: room.id });
    const inbox = await socketClient(url, owner);
    expect((await inbox.request('inbox:open', {})).rooms).to.have.length(3);

    expect((await person.delete(`/rooms/${room.id}`)).status).to.equal(200);
    expect(await count(`messages where room_id = ${room.id}`)).to.equal(1);
    expect(await count(`permission_rules where room_id = ${room.id}`)).to.equal(2);

    expect(await socket.next('room:removed')).to.deep.equal({ room_id: room.id, code: 'ROOM_DELETED' });
    expect(await inbox.next('inbox:removed')).to.deep.equal({ room_id: room.id, code: 'ROOM_DELETED' });
    for (const ref of [room.id, room.uuid, `key:${room.key}`]) {
      const path = `/rooms/${ref}`;
      for (const read of ['', '/messages', '/messages?seqs=1', '/messages/1/reactions', '/members', '/presence'])
        expectRefusal(await person.get(path + read), 'NOT_FOUND');
      expectRefusal(await person.post(`${path}/messages`, sent), 'NOT_FOUND');
      expectRefusal(await person.patch(`${path}/messages/1`, { content: 'x' }), 'NOT_FOUND');
      expectRefusal(await person.delete(`${path}/messages/1`), 'NOT_FOUND');
      expectRefusal(await person.put(`${path}/messages/1/reactions/👍`), 'NOT_FOUND');
      expectRefusal(await person.put(`${path}/read`, { seq: 1 }), 'NOT_FOUND');
      expectRefusal(await person.put(`${path}/members`, { userUUID: invited.user, permissions: 'r' }), 'NOT_FOUND');
      expectRefusal(await person.delete(path), 'NOT_FOUND');
      expectRefusal(await backend.get(`/admin${path}`), 'NOT_FOUND');
      expectRefusal(await backend.post(`/admin${path}/messages/1/recipients`, {}), 'NOT_FOUND');
      expectRefusal(await backend.delete(`/admin${path}/messages?emitter=${owner.user}&after_seq=0`), 'NOT_FOUND');
      expect((await socket.request('room:join', { room_id: ref })).error).to.include({ code: 'NOT_FOUND' });
    }
    const guest = await socketClient(url, invited);
    expect((await guest.request('room:join', { room_id: room.id })).error).to.include({ code: 'NOT_FOUND' });
    const ids = async (path: string) => (await person.get(path)).body.content.map(({ id }: { id: number }) => id);
    const left = others.map(({ id }) => id);
    expect(await ids('/rooms')).to.have.members(left);
    expect(await ids('/rooms?inbox=true')).to.have.members(left);
    expect((await inbox.request('inbox:open', {})).rooms).to.have.length(2);
    const page = await backend.get(`/admin/rooms?user=${owner.user}&limit=1`);
    expect(page.body.meta.next).to.equal(left[0]);
    expect(page.body.content.map(({ id }: { id: number }) => id)).to.deep.equal([left[0]]);
  });

  it('leaves its key and its pair to another room, in which none of its messages is', async () => {
    const { url, count } = database;
    const ana = createUser({ level: 100 });
    const ben = createUser();
    const key = `pair-${ana.user}`;
    const pair = { type: 'user2user', user_owner: ana.user, with: ben.user };
    const former = await putKeyedRoom(url, pair, key);
    await sendMessages(url, ben, former, 'a secret');
    const again = await rest(url, ana.token).post('/rooms', { name: 'us', type: 'user2user', with: ben.user });
    expect(again.body.content.room.id).to.equal(former.id);
    await rest(url, adminToken).delete(`/admin/rooms/key:${key}`);
    expect(await count(`messages where room_id = ${former.id}`)).to.equal(1);
    const { id } = await putKeyedRoom(url, pair, key);
    expect(id).to.be.above(former.id);
    expect((await rest(url, ben.token).get(`/rooms/key:${key}/messages`)).body.content).to.deep.equal([]);
  });

  it('is counted in the metrics of each node until another node removes its rows', async () => {
    const { url, start, count, endLease, node } = database;
    const { owner, room } = await createRoomWithOwner(url);
    await sendMessages(url, owner, room, 'one', 'two');
    const before = await count('deleted_rooms');
    await rest(url, owner.token).delete(`/rooms/${room.id}`);
    const read = async (at: string, name: string) => (await readMetrics(at)).get(`nano_messaging_${name}`)!;
    const other = await start();
    for (const at of [url, other.url]) {
      await waitUntil('it is counted', async () => (await read(at, 'deleted_rooms')) === before + 1, timeoutMs);
      expect(await read(at, 'deleted_rooms_messages')).to.be.above(1);
      expect(await read(at, 'deleted_rooms_oldest_seconds')).to.be.above(0);
    }
    await node.close();
    await endLease();
    await waitUntil('the rows are removed', async () => (await count('deleted_rooms')) === 0, timeoutMs);
    for (const table of ['messages', 'permission_rules', 'positions'])
      expect(await count(`${table} t where not exists (select 1 from rooms r where r.id = t.room_id)`)).to.equal(0);
    await waitUntil('nothing is counted', async () => (await read(other.url, 'deleted_rooms')) === 0, timeoutMs);
    expect(await read(other.url, 'removed_rows_total')).to.be.above(5);
    await waitUntil(
      'the lease is released',
      async () => (await count("leases where name = 'deleted rooms' and until > now()")) === 0,
      timeoutMs,
    );
  });
});

const messages = 20_000;

describe('A deleted room whose node is killed while it removes the rows [PostgreSQL]', () => {
  it('stays deleted while other rooms are served, and the restarted node removes the remaining rows', async function () {
    this.timeout(90_000);
    const DATABASE_URL = await freshDatabase();
    const session = await databaseSession(DATABASE_URL);
    const doomed = await startKillableNode({ DATABASE_URL });
    const { owner, room } = await createRoomWithOwner(doomed.url);
    const other = await createRoom(doomed.url, owner);
    await sendMessages(doomed.url, owner, room, 'one');
    await session.query(`with moved as (
        update rooms set last_seq = ${messages}, last_rev = ${messages} where id = ${room.id}
      )
      insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
      select ${room.id}, n, n, '${owner.user}', 'a secret', now(), now() from generate_series(2, ${messages}) n`);
    const tables = await session.query<{ name: string }>(`select table_name as name from information_schema.columns
      where table_schema = 'public' and column_name = 'room_id' and table_name <> 'touches'`);
    const listRows = async () => {
      const counts = tables.rows.map(
        ({ name }) => `(select count(*)::int from ${name} where room_id = ${room.id}) as ${name}`,
      );
      const { rows } = await session.query<Record<string, number>>(`select ${counts.join()}`);
      return Object.entries(rows[0]!).filter(([, count]) => count > 0);
    };
    const countMessages = async () => Object.fromEntries(await listRows()).messages ?? 0;
    const expectGone = async (url: string) => {
      const person = rest(url, owner.token);
      for (const path of ['', '/messages', '/messages?seqs=20000', '/members'])
        expectRefusal(await person.get(`/rooms/${room.id}${path}`), 'NOT_FOUND');
      expectRefusal(await person.post(`/rooms/${room.id}/messages`, { content: 'too late' }), 'NOT_FOUND');
      expect((await person.get('/rooms')).body.content.map(({ id }: { id: number }) => id)).to.deep.equal([other.id]);
      await sendMessages(url, owner, other, 'this room exists');
    };

    expect((await rest(doomed.url, owner.token).delete(`/rooms/${room.id}`)).status).to.equal(200);
    const served = expectGone(doomed.url);
    await waitUntil('some messages are removed', async () => (await countMessages()) < messages - 1_000, timeoutMs);
    // From now on, the node removes no more rows, so that it cannot finish first on a busy machine.
    await session.query('begin');
    await session.query('select 1 from deleted_rooms for update');
    await served;
    await doomed.kill();
    // Until its lease expires, the killed node counts as alive.
    await session.query("update leases set until = now() + interval '1 hour'");
    const left = await countMessages();
    expect(left).to.be.within(1, messages - 1_000);
    await session.query('commit');

    const restarted = await startKillableNode({ DATABASE_URL });
    await expectGone(restarted.url);
    expect(await countMessages()).to.be.above(0);
    await session.query('update leases set until = now()');
    await waitUntil('nothing of the room is left', async () => (await listRows()).length === 0, timeoutMs);
    await expectGone(restarted.url);
    const removed = (await readMetrics(restarted.url)).get('nano_messaging_removed_rows_total')!;
    expect(removed, 'it has continued where the killed node was').to.be.within(left - 100, left + 100);
  });
});

describe('A deleted room [embedded (PGlite)]', () => {
  it('loses its rows after the start of a node, although it was deleted by an earlier version or with SQL', async function () {
    this.timeout(60_000);
    const DATA_DIR = await migratedDirectory();
    const first = await startNode(embedded, { DATA_DIR });
    const { owner, room } = await createRoomWithOwner(first.url);
    const other = await createRoom(first.url, owner);
    await sendMessages(first.url, owner, room, 'one');
    await first.close();
    const store = await openPglite(DATA_DIR);
    await store.query(toQuery('delete from rooms where id = $1::bigint'), [room.id]);
    await store.close();
    const second = await startNode(embedded, { DATA_DIR });
    const read = async (name: string) => (await readMetrics(second.url)).get(`nano_messaging_${name}`)!;
    await waitUntil('the rows are removed', async () => (await read('removed_rows_total')) > 1, timeoutMs);
    await waitUntil('nothing waits', async () => (await read('deleted_rooms')) === 0, timeoutMs);
    expectRefusal(await rest(second.url, owner.token).get(`/rooms/${room.id}`), 'NOT_FOUND');
    expect((await rest(second.url, owner.token).get(`/rooms/${other.id}`)).status).to.equal(200);
  });
});
