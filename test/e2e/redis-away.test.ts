import { expect } from 'chai';
import { embedded, startNode } from '../helpers/node.ts';
import {
  createSharedRoom,
  itWithBothAdapters,
  measureMs,
  receiveSeqs,
  sendNumbered,
  serviceSettings,
  socketInRoom,
  startNodePair,
  upTo,
  waitForBus,
} from '../helpers/node-pair.ts';
import { startRedis } from '../helpers/redis.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, putRule } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Without a wait for Redis, on a busy machine. A node needs at least 4 s to notice that Redis is frozen. */
const promptMs = 3_000;

describe('an outage of Redis', () => {
  itWithBothAdapters(
    'delivers on the same node at once and on the other node by reconciliation, once and in order, while Redis is dead',
    async (adapter) => {
      const { redis, here, there } = await startNodePair({ REDIS_ADAPTER: adapter, SWEEP_SECONDS: 1 });
      const { room, near, far } = await createSharedRoom(here, there);
      await redis.kill();
      const took = await measureMs(async () => {
        for (const seq of upTo(20)) {
          await sendNumbered(near, room, 1);
          expect(await receiveSeqs(near, 1)).to.deep.equal([seq]);
        }
      });
      // Twenty reconciliations would take at least 14 s.
      expect(took).to.be.below(10_000);
      expect(await receiveSeqs(far, 20)).to.deep.equal(upTo(20));
      await sendNumbered(far, room, 1);
      for (const socket of [near, far]) expect(await receiveSeqs(socket, 1)).to.deep.equal([21]);
    },
  );

  itWithBothAdapters(
    'delivers missed messages at once after a restart of Redis, and later ones over the bus',
    async (adapter) => {
      const { redis, here, there } = await startNodePair({ REDIS_ADAPTER: adapter });
      const { room, near, far } = await createSharedRoom(here, there);
      await redis.kill();
      await waitForBus('down', here, there);
      await sendNumbered(near, room, 5);
      await redis.start();
      expect(await receiveSeqs(far, 5)).to.deep.equal(upTo(5));
      await waitForBus('up', here, there);
      await sendNumbered(near, room, 5);
      expect(await receiveSeqs(far, 5)).to.deep.equal(upTo(10, 6));
      await sendNumbered(far, room, 5);
      expect(await receiveSeqs(near, 15)).to.deep.equal(upTo(15));
    },
  );

  itWithBothAdapters(
    'answers every request while Redis is frozen, and delivers nothing twice after it thaws',
    async (adapter) => {
      const { redis, here, there } = await startNodePair({ REDIS_ADAPTER: adapter, MAX_CONNECTIONS_PER_USER: 20 });
      const { owner, room, near, far } = await createSharedRoom(here, there);
      const other = await createRoom(here.url, owner);
      redis.freeze();
      await sendNumbered(near, room, 10);
      expect(await receiveSeqs(near, 10)).to.deep.equal(upTo(10));
      const asked: Record<string, () => Promise<unknown>> = {
        'a join': () => near.request('room:join', { room_id: other.id }),
        'a leave': () => near.request('room:leave', { room_id: other.id }),
        'a REST call': () => rest(here.url, owner.token).get('/rooms'),
        'a connect': () => socketClient(here.url, owner),
      };
      for (const [what, ask] of Object.entries(asked)) expect(await measureMs(ask), what).to.be.below(promptMs);
      redis.thaw();
      await sendNumbered(near, room, 1);
      expect(await receiveSeqs(far, 11)).to.deep.equal(upTo(11));
      await sendNumbered(far, room, 1);
      expect(await receiveSeqs(far, 1)).to.deep.equal([12]);
      expect(await receiveSeqs(near, 2)).to.deep.equal([11, 12]);
    },
  );

  for (const isDown of [true, false]) {
    const when = isDown
      ? 'within one reconciliation without Redis'
      : 'at once with Redis, also without a reconciliation';
    itWithBothAdapters(`applies a ban and the deletion of a room ${when}`, async (adapter) => {
      const pair = await startNodePair({ REDIS_ADAPTER: adapter, ...(isDown && { SWEEP_SECONDS: 1 }) });
      const { redis, here, there } = pair;
      const { owner, room, near, far } = await createSharedRoom(here, there);
      const guest = await createMember(here.url, owner, room);
      const guestThere = await socketInRoom(there.url, guest, room);
      if (isDown) await redis.kill();
      const took = await measureMs(async () => {
        await putRule(here.url, owner, room, { userUUID: guest.user, permissions: 'b' });
        expect(await guestThere.next('room:removed')).to.include({ code: 'BANNED' });
        await rest(here.url, owner.token).delete(`/rooms/${room.id}`);
        expect(await far.next('room:removed')).to.include({ code: 'ROOM_DELETED' });
      });
      // For a busy machine. Without the signal, Redis would be of no use: the next reconciliation comes after an hour.
      expect(took).to.be.below(8_000);
      expect(await near.next('room:removed')).to.include({ code: 'ROOM_DELETED' });
    });
  }

  itWithBothAdapters(
    'starts a node that serves within seconds while Redis is down, and receives from others afterwards',
    async (adapter) => {
      const redis = await startRedis();
      const settings = { ...(await serviceSettings(redis.url)), REDIS_ADAPTER: adapter };
      const here = await startNode(embedded, settings);
      await redis.kill();
      let there = here;
      const took = await measureMs(async () => {
        there = await startNode(embedded, settings);
      });
      expect(took).to.be.below(15_000);
      const { room, near, far } = await createSharedRoom(here, there);
      await sendNumbered(far, room, 1);
      expect(await receiveSeqs(far, 1)).to.deep.equal([1]);
      await sendNumbered(near, room, 1);
      await redis.start();
      expect(await receiveSeqs(far, 1)).to.deep.equal([2]);
      await waitForBus('up', here, there);
      await sendNumbered(near, room, 1);
      expect(await receiveSeqs(far, 1)).to.deep.equal([3]);
      expect(await receiveSeqs(near, 3)).to.deep.equal([1, 2, 3]);
    },
  );

  itWithBothAdapters(
    'delivers messages of a node whose Redis connection was cut after it is restored',
    async (adapter) => {
      const { redis, there, settings } = await startNodePair({ REDIS_ADAPTER: adapter });
      const proxy = await tcpProxy('127.0.0.1', redis.port);
      const here = await startNode(embedded, { ...settings, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
      const { room, near, far } = await createSharedRoom(here, there);
      await sendNumbered(near, room, 1);
      expect(await receiveSeqs(far, 1)).to.deep.equal([1]);
      proxy.cut();
      await waitForBus('down', here);
      await sendNumbered(near, room, 3);
      proxy.restore();
      expect(await receiveSeqs(far, 3)).to.deep.equal([2, 3, 4]);
      expect(await receiveSeqs(near, 4)).to.deep.equal(upTo(4));
    },
  );

  itWithBothAdapters('notices and replaces a Redis connection that drops all traffic', async (adapter) => {
    const { redis, here, settings } = await startNodePair({ REDIS_ADAPTER: adapter });
    const proxy = await tcpProxy('127.0.0.1', redis.port);
    const there = await startNode(embedded, { ...settings, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    const { room, near, far } = await createSharedRoom(here, there);
    proxy.dropTrafficOfOpenConnections();
    await sendNumbered(near, room, 3);
    await waitUntil('the other node has received all messages', () => far.unread.length === 3);
    await sendNumbered(near, room, 3);
    expect(await receiveSeqs(far, 6)).to.deep.equal(upTo(6));
    await sendNumbered(far, room, 3);
    expect(await receiveSeqs(near, 9)).to.deep.equal(upTo(9));
  });
});
