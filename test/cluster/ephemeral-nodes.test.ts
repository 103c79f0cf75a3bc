import { expect } from 'chai';
import type { Json } from '../helpers/json.ts';
import { embedded, type Settings, startNode } from '../helpers/node.ts';
import { itWithBothAdapters, serviceSettings, socketInRoom, waitForBus } from '../helpers/node-pair.ts';
import { runServer } from '../helpers/process.ts';
import { startRedis } from '../helpers/redis.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { type TestUser, testSecret } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const presence = { graceMs: 200, eventMs: 50, aliveMs: 200, deadMs: 1_000, byeMs: 300, retryMs: 100 };
const startFastNode = (settings: Settings, more: { typing?: object; presence?: object } = {}) =>
  startNode(embedded, settings, (config) => ({
    ...config,
    timeouts: {
      presence: { ...presence, ...more.presence },
      typing: { eventMs: 20, repeatMs: 0, ...more.typing },
    },
  }));

async function observe(url: string, person: TestUser, room: { id: number }): Promise<SocketClient> {
  const socket = await socketClient(url, person);
  expect(await socket.request('room:join', { room_id: room.id, presence: true })).to.include({ ok: true });
  return socket;
}

/** The next set with these users that is, or is not, partial. */
async function expectUsers(socket: SocketClient, people: TestUser[], partial: true | undefined): Promise<void> {
  const wanted = people.map(({ user }) => user).sort();
  let event: Json;
  do event = await socket.next('presence:changed');
  while (JSON.stringify(event.users) !== JSON.stringify(wanted) || event.partial !== partial);
}

async function expectTyping(socket: SocketClient, count: number): Promise<void> {
  while ((await socket.next('typing:changed')).count !== count);
}

/** Both nodes receive what the other one publishes in the room. */
async function waitUntilConnected(room: { id: number }, near: SocketClient, far: SocketClient): Promise<void> {
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    const { message } = await from.request('message:send', { room_id: room.id, content: 'fence' });
    // Each of them also receives its own messages.
    while ((await to.next('message:new')).seq !== message.seq);
  }
}

describe('Typing and presence on two nodes', () => {
  itWithBothAdapters(
    'forgets the users of a node that can no longer be reached, and knows them again after that',
    async (adapter) => {
      const redis = await startRedis();
      const settings = { ...(await serviceSettings(redis.url)), REDIS_ADAPTER: adapter };
      const proxy = await tcpProxy('127.0.0.1', redis.port);
      const here = await startFastNode(settings);
      const there = await startFastNode({ ...settings, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
      const { owner, room } = await createRoomWithOwner(here.url);
      const person = await createMember(here.url, owner, room);
      const far = await socketInRoom(there.url, person, room);
      const near = await observe(here.url, owner, room);
      await expectUsers(near, [owner, person], undefined);
      proxy.cut();
      await expectUsers(near, [owner], undefined);
      proxy.restore();
      await waitForBus('up', there);
      await expectUsers(near, [owner, person], undefined);
      expect(far.raw.connected).to.equal(true);
    },
  );

  itWithBothAdapters('knows only the users of this node while Redis is down, and says so', async (adapter) => {
    const redis = await startRedis();
    const settings = { ...(await serviceSettings(redis.url)), REDIS_ADAPTER: adapter };
    const [here, there] = [await startFastNode(settings), await startFastNode(settings)];
    const { owner, room } = await createRoomWithOwner(here.url);
    const person = await createMember(here.url, owner, room);
    const far = await observe(there.url, person, room);
    const near = await observe(here.url, owner, room);
    // Until the owner joined, the set of `far` was the one that it has again while Redis is down.
    for (const socket of [near, far]) await expectUsers(socket, [owner, person], undefined);
    await redis.kill();
    await expectUsers(near, [owner], true);
    await expectUsers(far, [person], true);
    const { body } = await rest(there.url, person.token).get(`/rooms/${room.id}/presence`);
    expect(body.content).to.deep.equal({ count: 1, users: [person.user], partial: true });
    expect(await near.request('typing:set', { room_id: room.id, typing: true })).to.deep.equal({ ok: true });
    await expectTyping(near, 1);
    await near.request('typing:set', { room_id: room.id, typing: false });
    await expectTyping(near, 0);
    await redis.start();
    await waitForBus('up', here, there);
    for (const socket of [near, far]) await expectUsers(socket, [owner, person], undefined);
    await waitUntilConnected(room, near, far);
    expect(await near.request('typing:set', { room_id: room.id, typing: true })).to.deep.equal({ ok: true });
    await expectTyping(far, 1);
    expect(
      far.unread.filter(({ name }) => name === 'typing:changed'),
      'nothing of the outage',
    ).to.deep.equal([]);
  });

  it('forgets the users of a node that shuts down as soon as they had time to reconnect', async () => {
    const redis = await startRedis();
    const settings = await serviceSettings(redis.url);
    // A node on a busy machine is not taken for dead.
    const calm = { presence: { deadMs: 60_000 } };
    const [here, there] = [await startFastNode(settings, calm), await startFastNode(settings, calm)];
    const { owner, room } = await createRoomWithOwner(here.url);
    const person = await createMember(here.url, owner, room);
    await socketInRoom(there.url, person, room);
    const near = await observe(here.url, owner, room);
    await expectUsers(near, [owner, person], undefined);
    const startedAt = performance.now();
    await there.close();
    await expectUsers(near, [owner], undefined);
    expect(performance.now() - startedAt).to.be.at.least(presence.byeMs);
  });

  it('forgets who typed on a node that is killed when their typing times out', async function () {
    this.timeout(60_000);
    const redis = await startRedis();
    const settings = await serviceSettings(redis.url);
    const endMs = 1_500;
    const here = await startFastNode(settings, { typing: { endMs } });
    const there = await runServer({ ...settings, JWT_SECRET: testSecret, LOG_FORMAT: 'json' });
    const { owner, room } = await createRoomWithOwner(here.url);
    const person = await createMember(here.url, owner, room);
    const near = await socketInRoom(here.url, owner, room);
    const far = await socketInRoom(there.url, person, room);
    await waitUntilConnected(room, near, far);
    await far.request('typing:set', { room_id: room.id, typing: true });
    await expectTyping(near, 1);
    there.kill('SIGKILL');
    await there.exited;
    const killedAt = performance.now();
    await waitUntil('the set is empty', () =>
      near.unread.some(({ name, payload }) => name === 'typing:changed' && payload.count === 0),
    );
    // 5 s more for a busy machine.
    expect(performance.now() - killedAt).to.be.below(endMs + 5_000);
  });
});
