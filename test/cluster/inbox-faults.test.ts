import { expect } from 'chai';
import { databaseSession } from '../helpers/database-session.ts';
import type { Json } from '../helpers/json.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { measureMs, startNodePair } from '../helpers/node-pair.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { runServer } from '../helpers/process.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { adminToken, createUser, type TestUser, testSecret } from '../helpers/users.ts';

async function openInbox(url: string, person: TestUser): Promise<SocketClient> {
  const socket = await socketClient(url, person);
  expect(await socket.request('inbox:open', {})).to.include({ ok: true });
  return socket;
}

async function nextItem(socket: SocketClient, room: { id: number }, until: (item: Json) => boolean): Promise<Json> {
  for (;;) {
    const { items } = await socket.next('inbox:changed');
    const item = items.find((one: Json) => one.id === room.id && until(one));
    if (item) return item;
  }
}

/** The promise is a second; the rest is for a busy machine. */
const promisedMs = 6_000;

describe('An inbox on another node', function () {
  this.timeout(60_000);

  it('learns of messages and bans while Redis is dead', async () => {
    const { redis, here, there } = await startNodePair();
    const { owner, room } = await createRoomWithOwner(here.url);
    const guest = await createMember(here.url, owner, room);
    const inbox = await openInbox(there.url, guest);
    await redis.kill();
    await sendMessages(here.url, owner, room, 'without Redis');
    const ms = await measureMs(() => nextItem(inbox, room, ({ last_seq }) => last_seq === 1));
    expect(ms).to.be.below(promisedMs);
    await rest(here.url, owner.token).put(`/rooms/${room.id}/members`, { userUUID: guest.user, permissions: 'b' });
    expect(await inbox.next('inbox:removed')).to.deep.equal({ room_id: room.id, code: 'BANNED' });
  });

  it('learns of a message whose node was killed as soon as it had acknowledged it', async () => {
    const { there, settings } = await startNodePair();
    const env = { ...settings, JWT_SECRET: testSecret, ADMIN_TOKEN: adminToken, LOG_LEVEL: 'info' };
    const dying = await runServer(env);
    const { owner, room } = await createRoomWithOwner(there.url);
    const guest = await createMember(there.url, owner, room);
    const inbox = await openInbox(there.url, guest);
    await sendMessages(dying.url, owner, room, 'the last words');
    dying.kill('SIGKILL');
    const ms = await measureMs(() => nextItem(inbox, room, ({ last_seq }) => last_seq === 1));
    expect(ms).to.be.below(promisedMs);
  });

  it('learns of a transaction that was held open for five seconds', async () => {
    const { here, settings } = await startNodePair();
    const { owner, room } = await createRoomWithOwner(here.url);
    const busy = await createRoom(here.url, owner);
    const inbox = await openInbox(here.url, owner);
    const session = await databaseSession(String(settings.DATABASE_URL));
    await session.query('begin');
    await session.query(`update rooms set name = 'at last', updated_at = now() where id = $1`, [room.id]);
    for (let n = 1; n <= 5; n++) {
      await sendMessages(here.url, owner, busy, `${n}`);
      await nextItem(inbox, busy, ({ last_seq }) => last_seq === n);
    }
    await session.query('commit');
    expect(await nextItem(inbox, room, ({ name }) => name === 'at last')).to.include({ name: 'at last' });
  });
});

describe('An inbox after a loss of the journal', function () {
  this.timeout(120_000);

  it('learns of what was committed before the journal was emptied', async () => {
    const { here, there, settings } = await startNodePair();
    const { owner, room } = await createRoomWithOwner(here.url);
    const guest = await createMember(here.url, owner, room);
    const gone = await createMember(here.url, owner, room);
    const inboxes = [await openInbox(here.url, guest), await openInbox(there.url, guest)];
    const banned = await openInbox(there.url, gone);
    const session = await databaseSession(String(settings.DATABASE_URL));
    await session.query('begin');
    await session.query(`update rooms set name = 'unnoticed', updated_at = now() where id = $1`, [room.id]);
    await session.query(`update permission_rules set permissions = 'b' where room_id = $1 and grantee = $2`, [
      room.id,
      gone.user,
    ]);
    // In the order in which a poll locks them.
    await session.query('truncate touches_epoch, touches');
    await session.query('commit');
    for (const inbox of inboxes) {
      expect(await nextItem(inbox, room, ({ name }) => name === 'unnoticed')).to.include({ name: 'unnoticed' });
    }
    expect(await banned.next('inbox:removed')).to.deep.equal({ room_id: room.id, code: 'BANNED' });
    await sendMessages(here.url, owner, room, 'and on it goes');
    for (const inbox of inboxes) await nextItem(inbox, room, ({ last_seq }) => last_seq === 1);
  });

  it('goes on after a crash of PostgreSQL', async () => {
    const server = await startPostgres();
    const node = await startNode(postgres, { DATABASE_URL: server.url });
    const { owner, room } = await createRoomWithOwner(node.url);
    const guest = await createMember(node.url, owner, room);
    const inbox = await openInbox(node.url, guest);
    await sendMessages(node.url, owner, room, 'before');
    await nextItem(inbox, room, ({ last_seq }) => last_seq === 1);
    await server.stop('SIGQUIT');
    await server.start();
    const outsider = await databaseSession(server.url);
    const { rows } = await outsider.query('select count(*)::int as count from touches_epoch');
    expect(rows[0].count).to.be.at.most(1);
    const send = async () =>
      (await rest(node.url, owner.token).post(`/rooms/${room.id}/messages`, { content: 'after' })).status;
    while ((await send()) !== 201);
    expect(await nextItem(inbox, room, ({ last_seq }) => last_seq >= 2)).to.include({ id: room.id });
  });
});

describe('An inbox of a user whose connection ends', function () {
  this.timeout(30_000);

  it('is counted until then, and the poll stops with the last one', async () => {
    const { here } = await startNodePair();
    const person = createUser();
    const inbox = await openInbox(here.url, person);
    const count = async () =>
      /^nano_messaging_open_inboxes (\d+)$/m.exec(String((await rest(here.url).get('/metrics')).body))?.[1];
    expect(await count()).to.equal('1');
    inbox.close();
    while ((await count()) !== '0');
  });
});
