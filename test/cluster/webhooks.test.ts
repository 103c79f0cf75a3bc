import { expect } from 'chai';
import pg from 'pg';
import { openLease } from '../../src/database/lease.ts';
import { movePositions, readRooms, registerEndpoint } from '../../src/features/webhooks/positions.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { startKillableNode } from '../helpers/killable-node.ts';
import { embedded, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { admin } from '../helpers/revocations.ts';
import { createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { describeEveryStore, insertRoom, openPostgresStore, toQuery } from '../helpers/stores.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { answerWith, listChanges, startReceiver, toSetting } from '../helpers/webhook-receiver.ts';
import { withWebhookTimeouts } from '../helpers/webhook-timeouts.ts';

const timeouts = { leaseMs: 60_000, renewMs: 20 };

/** Takes the lease, as another node would after its end. */
const stealSql = `update leases set token = token + 1, holder = 'another node',
  until = clock_timestamp() + make_interval(secs => $1::float8 / 1000)`;

describeEveryStore('The positions of a webhook', (store) => {
  const readPosition = async (webhook: number, room: number) =>
    (await readRooms(store(), webhook, [room]))[0]!.position;

  it('have one row for each existing room when the name is first seen, and none again', async () => {
    const room = await insertRoom(store());
    await store().query(toQuery('update rooms set last_rev = 7 where id = $1'), [room]);
    const { id } = await registerEndpoint(store(), 'first');
    expect(await readPosition(id, room)).to.equal(7);
    const later = await insertRoom(store());
    expect(await registerEndpoint(store(), 'first')).to.deep.equal({ id, name: 'first', suspended: false });
    expect(await readPosition(id, later)).to.equal(null);
  });

  it('are inserted page by page, once, although two nodes register the name at the same time', async () => {
    const rooms: number[] = [];
    for (let n = 0; n < 5; n++) rooms.push(await insertRoom(store()));
    const [one, other] = await Promise.all([
      registerEndpoint(store(), 'paged', 2),
      registerEndpoint(store(), 'paged', 2),
    ]);
    expect(one).to.deep.equal(other);
    for (const room of rooms) expect(await readPosition(one.id, room)).to.equal(0);
  });

  it('are written only by the holder of the lease, and only if they are as the holder has read them', async () => {
    const { id } = await registerEndpoint(store(), 'fenced');
    const [room, other] = [await insertRoom(store()), await insertRoom(store())];
    const tokens: string[] = [];
    let lost = 0;
    const lease = openLease({
      ...{ store: store(), name: 'webhook:fenced', holder: 'this node', timeouts },
      onAcquired: (token) => tokens.push(token),
      onLost: () => (lost += 1),
      onError: (error) => expect.fail(String(error)),
    });
    await waitUntil('the lease', () => tokens.length === 1);
    const [token] = tokens;
    const move = (of: string, before: number | null, after: number, moved = room) =>
      movePositions(store(), { lease: 'webhook:fenced', token: of }, id, [{ room_id: moved, before, after }]);
    expect(await move(token!, null, 0)).to.deep.equal(new Set([room]));
    expect(await move(token!, 0, 5)).to.deep.equal(new Set([room]));
    expect(await move(token!, 3, 9), 'an administrator has moved it').to.deep.equal(new Set());
    expect(await readPosition(id, room)).to.equal(5);
    await store().query(toQuery(`${stealSql} where name = 'webhook:fenced'`), [0]);
    expect(await move(token!, 5, 8), 'another node has the lease').to.equal(undefined);
    expect(await move(token!, null, 0, other), 'another node has the lease').to.equal(undefined);
    expect(await readPosition(id, room)).to.equal(5);
    expect(await readPosition(id, other)).to.equal(null);
    await waitUntil('it is noticed', () => lost === 1);
    await waitUntil('the lease is acquired again', () => tokens.length === 2);
    expect(Number(tokens[1])).to.equal(Number(token) + 2);
    await lease.close();
  });
});

describe('A lease', () => {
  it('is held by one node at a time, and passes to the next one when it is released', async () => {
    const url = await freshDatabase();
    const stores = [await openPostgresStore(url), await openPostgresStore(url)];
    const holders: number[] = [];
    const [first, second] = stores.map((store, n) =>
      openLease({
        ...{ store, name: 'one', holder: `node ${n}`, timeouts: { leaseMs: 60_000, renewMs: 50 } },
        onAcquired: () => holders.push(n),
        onLost: () => holders.push(-1),
        onError: (error) => expect.fail(String(error)),
      }),
    );
    await waitUntil('one of them has it', () => holders.length === 1);
    const [holder, other] = holders[0] === 0 ? [first!, second!] : [second!, first!];
    expect(other.token).to.equal(undefined);
    await holder.close();
    await waitUntil('the other one has it', () => other.token !== undefined);
    expect(holders).to.have.members([0, 1]);
    await other.close();
  });
});

const settingsFor = async (url: string) => ({
  DATABASE_URL: await freshDatabase(),
  WEBHOOKS: toSetting({ name: 'app', url }),
});

const readWebhook = async (url: string) => (await admin(url).get('/admin/webhooks?name=app')).body.content[0];

describe('Webhooks of several nodes', () => {
  it('reach the endpoint after the dispatching node was killed, from the other node', async function () {
    this.timeout(60_000);
    const receiver = await startReceiver();
    const settings = await settingsFor(receiver.url);
    const doomed = await startKillableNode({ ...settings, NODE_NAME: 'doomed' });
    await waitUntil('it dispatches', async () => (await readWebhook(doomed.url)).dispatching_node === 'doomed', 10_000);
    const other = await startNode(embedded, { ...settings, NODE_NAME: 'other' }, withWebhookTimeouts());
    const { owner, room } = await createRoomWithOwner(other.url);
    await sendMessages(other.url, owner, room, 'one');
    await waitUntil('the first message', () => receiver.changesOf(room).length === 2);
    receiver.answer = () => {};
    await sendMessages(other.url, owner, room, 'two');
    const isTwo = ({ payload }: (typeof receiver.requests)[number]) =>
      listChanges(payload).some(({ content }) => content === 'two');
    await waitUntil('the request that is never answered', () => receiver.requests.some(isTwo));
    await doomed.kill();
    receiver.answer = answerWith(204);
    await sendMessages(other.url, owner, room, 'three');
    await waitUntil('the other node takes over', () => receiver.changesOf(room).length === 4, 10_000);
    expect(receiver.changesOf(room).map(({ rev }) => rev)).to.deep.equal([0, 1, 2, 3]);
    expect((await readWebhook(other.url)).dispatching_node).to.equal('other');
  });

  it('find changes that the journal has lost in a crash of the database', async () => {
    const receiver = await startReceiver();
    const settings = await settingsFor(receiver.url);
    const node = await startNode(embedded, settings, withWebhookTimeouts());
    const session = await databaseSession(settings.DATABASE_URL);
    const { owner, room } = await createRoomWithOwner(node.url);
    const fence = await createRoomWithOwner(node.url);
    await waitUntil(
      'the creations',
      () => receiver.changesOf(room).length + receiver.changesOf(fence.room).length === 2,
    );
    // Neither statement adds a row to the journal.
    await session.query(`with moved as (update rooms set last_seq = 1, last_rev = 1 where id = ${room.id})
      insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
      values (${room.id}, 1, 1, '${owner.user}', 'lost', now(), now())`);
    await sendMessages(node.url, fence.owner, fence.room, 'fence');
    await waitUntil('the fence', () => receiver.changesOf(fence.room).length === 2);
    expect(receiver.changesOf(room).map(({ name }) => name)).to.deep.equal(['room.created']);
    // In the order in which a poll locks them.
    await session.query('truncate touches_epoch, touches');
    await waitUntil('the lost message', () => receiver.changesOf(room).some(({ content }) => content === 'lost'));
  });

  it('deliver every change of every room at least once and in order, whatever the endpoint answers and whichever node dispatches', async function () {
    this.timeout(60_000);
    const receiver = await startReceiver();
    const settings = await settingsFor(receiver.url);
    const nodes = [
      await startNode(embedded, settings, withWebhookTimeouts({ leaseMs: 400, renewMs: 60 })),
      await startNode(embedded, settings, withWebhookTimeouts({ leaseMs: 400, renewMs: 60 })),
    ];
    const session = await databaseSession(settings.DATABASE_URL);
    let n = 0;
    receiver.answer = (response) => {
      n += 1;
      if (n % 7 === 0) return response.destroy();
      const status = [204, 204, 500, 204, 422, 204, 503][n % 7]!;
      return setTimeout(() => response.writeHead(status).end(), n % 5 === 0 ? 40 : 2);
    };
    const rooms = await Promise.all(nodes.flatMap(({ url }) => [1, 2, 3].map(() => createRoomWithOwner(url))));
    for (let round = 0; round < 6; round++) {
      await Promise.all(
        rooms.map(async ({ owner, room }, index) => {
          const { url } = nodes[(index + round) % 2]!;
          const [message] = await sendMessages(url, owner, room, `${round} a`, `${round} b`);
          await rest(url, owner.token).patch(`/rooms/${room.id}/messages/${message!.seq}`, {
            content: `${round} edited`,
          });
        }),
      );
      if (round % 2 === 1) await session.query(stealSql, [100]);
    }
    receiver.answer = answerWith(204);
    await waitUntil(
      'everything is delivered',
      async () => (await readWebhook(nodes[0]!.url)).rooms_behind === 0,
      20_000,
    );
    const { rows } = await session.query<{ id: string; last_rev: string }>('select id, last_rev from rooms');
    expect(rows).to.have.length(rooms.length);
    for (const { id, last_rev } of rows) {
      const revs = receiver.changesOf({ id: Number(id) }).map(({ rev }) => rev);
      expect(revs, `room ${id}`).to.deep.equal(Array.from({ length: Number(last_rev) + 1 }, (_, rev) => rev));
    }
  });

  it('deliver every change at least once and in order, although the session that writes the positions is terminated and the lease passes on', async function () {
    this.timeout(60_000);
    const receiver = await startReceiver();
    const settings = await settingsFor(receiver.url);
    // So long that the lease ends only when the test takes it.
    const node = await startNode(embedded, settings, withWebhookTimeouts({ leaseMs: 60_000 }));
    const [locker, session] = [
      await databaseSession(settings.DATABASE_URL),
      await databaseSession(settings.DATABASE_URL),
    ];
    const rooms = await Promise.all([1, 2, 3].map(() => createRoomWithOwner(node.url)));
    const readToken = async () =>
      Number((await session.query("select token from leases where name = 'webhook:app'")).rows[0].token);
    const allDelivered = () =>
      waitUntil('everything is delivered', async () => (await readWebhook(node.url)).rooms_behind === 0, 20_000);
    await allDelivered();
    const firstToken = await readToken();
    for (const passesOn of [false, true]) {
      await locker.query('begin; lock table webhook_positions in share row exclusive mode');
      await Promise.all(rooms.map(({ owner, room }) => sendMessages(node.url, owner, room, 'one', 'two')));
      let pids: number[] = [];
      await waitUntil('the endpoint has the messages, and their positions are being written', async () => {
        const { rows } = await session.query(`select pid from pg_stat_activity where datname = current_database()
          and wait_event_type = 'Lock' and query like '%move_webhook_positions%'`);
        pids = rows.map(({ pid }) => pid);
        return pids.length > 0;
      });
      await session.query('select pg_terminate_backend(pid) from unnest($1::int[]) as pid', [pids]);
      if (passesOn) await session.query(stealSql, [0]);
      await locker.query('commit');
      await allDelivered();
    }
    expect(await readToken()).to.equal(firstToken + 2);
    for (const { room } of rooms)
      expect(
        receiver.changesOf(room).map(({ rev }) => rev),
        `room ${room.id}`,
      ).to.deep.equal([0, 1, 2, 3, 4]);
    const all = (list: 'changesOf' | 'arrivalsOf') => rooms.flatMap(({ room }) => receiver[list](room)).length;
    expect(all('arrivalsOf'), 'what the sessions could not record comes again').to.be.above(all('changesOf'));
  });
});

describe('A node without webhooks', () => {
  it('runs no statement and writes no row for them, while messages are sent and rooms created and deleted', async () => {
    const database = await freshDatabase();
    const node = await startNode(embedded, { DATABASE_URL: database }, withWebhookTimeouts());
    const texts: string[] = [];
    const { query } = pg.Client.prototype;
    pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
      const [statement] = args as [string | { text?: string }];
      // The nodes that the tests share may be in this process, too.
      if (database.endsWith(`/${this.database}`))
        texts.push(typeof statement === 'string' ? statement : (statement.text ?? ''));
      return (query as (...args: unknown[]) => unknown).apply(this, args);
    } as typeof query;
    try {
      const { owner, room } = await createRoomWithOwner(node.url);
      texts.length = 0;
      for (let n = 0; n < 5; n++) await sendMessages(node.url, owner, room, 'hello');
      expect(
        texts.filter((text) => text.includes('append')),
        'one statement for each message',
      ).to.have.length(5);
      await rest(node.url, owner.token).delete(`/rooms/${room.id}`);
      expect(texts.filter((text) => /webhook|\bevents\b|touches_since/.test(text))).to.deep.equal([]);
    } finally {
      pg.Client.prototype.query = query;
    }
    const session = await databaseSession(database);
    for (const rows of ['webhooks', 'webhook_positions', 'events', "leases where name like 'webhook:%'"])
      expect((await session.query(`select 1 from ${rows}`)).rows, rows).to.deep.equal([]);
  });
});
