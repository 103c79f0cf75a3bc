import { expect } from 'chai';
import { databaseLine } from '../helpers/database-line.ts';
import { embedded, startNode } from '../helpers/node.ts';
import { startRedis } from '../helpers/redis.ts';
import {
  heardBy,
  itWithBoth,
  lines,
  redisPair,
  sayOn,
  serviceSettings,
  socketIn,
  talkOver,
  timeOf,
  upTo,
} from '../helpers/redis-pair.ts';
import { rest } from '../helpers/rest-client.ts';
import { member, newRoom, putRule } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { until } from '../helpers/until.ts';

/** No wait for Redis, on a machine that is busy with other things. */
const promptMs = 1_500;

describe('when Redis goes away', () => {
  itWithBoth(
    'killed: the own node hears and is acknowledged at once, the other by the sweep, once and in order',
    async (adapter) => {
      const { redis, here, there } = await redisPair({ REDIS_ADAPTER: adapter, SWEEP_SECONDS: 1 });
      const { room, near, far } = await talkOver(here, there);
      await redis.kill();
      const took = await timeOf(async () => {
        await sayOn(near, room, 20);
        expect(await heardBy(near, 20)).to.deep.equal(upTo(20));
      });
      expect(took).to.be.below(promptMs);
      expect(await heardBy(far, 20)).to.deep.equal(upTo(20));
      await sayOn(far, room, 1);
      for (const socket of [near, far]) expect(await heardBy(socket, 1)).to.deep.equal([21]);
    },
  );

  itWithBoth(
    'killed and started again: what was missed arrives at once, and what follows over the bus',
    async (adapter) => {
      const { redis, here, there } = await redisPair({ REDIS_ADAPTER: adapter });
      const { room, near, far } = await talkOver(here, there);
      await redis.kill();
      await lines('down', here, there);
      await sayOn(near, room, 5);
      await redis.start();
      expect(await heardBy(far, 5)).to.deep.equal(upTo(5));
      await lines('up', here, there);
      await sayOn(near, room, 5);
      expect(await heardBy(far, 5)).to.deep.equal(upTo(10, 6));
      await sayOn(far, room, 5);
      expect(await heardBy(near, 15)).to.deep.equal(upTo(15));
    },
  );

  itWithBoth('frozen and thawed: everything asked for is answered, and nothing is heard twice', async (adapter) => {
    const { redis, here, there } = await redisPair({ REDIS_ADAPTER: adapter, MAX_CONNECTIONS_PER_USER: 20 });
    const { owner, room, near, far } = await talkOver(here, there);
    const other = await newRoom(here.url, owner);
    redis.freeze();
    await sayOn(near, room, 10);
    expect(await heardBy(near, 10)).to.deep.equal(upTo(10));
    const asked: Record<string, () => Promise<unknown>> = {
      'a join': () => near.request('room:join', { room_id: other.id }),
      'a leave': () => near.request('room:leave', { room_id: other.id }),
      'a REST call': () => rest(here.url, owner.token).get('/rooms'),
      'a connect': () => socketClient(here.url, owner),
    };
    for (const [what, ask] of Object.entries(asked)) expect(await timeOf(ask), what).to.be.below(promptMs);
    redis.thaw();
    await sayOn(near, room, 1);
    expect(await heardBy(far, 11)).to.deep.equal(upTo(11));
    await sayOn(far, room, 1);
    expect(await heardBy(far, 1)).to.deep.equal([12]);
    expect(await heardBy(near, 2)).to.deep.equal([11, 12]);
  });

  for (const away of [true, false]) {
    const when = away ? 'hold within one sweep without Redis' : 'hold at once with Redis, also without a sweep';
    itWithBoth(`a ban and the deletion of a room ${when}`, async (adapter) => {
      const pair = await redisPair({ REDIS_ADAPTER: adapter, ...(away && { SWEEP_SECONDS: 1 }) });
      const { redis, here, there } = pair;
      const { owner, room, near, far } = await talkOver(here, there);
      const guest = await member(here.url, owner, room);
      const guestThere = await socketIn(there.url, guest, room);
      if (away) await redis.kill();
      const took = await timeOf(async () => {
        await putRule(here.url, owner, room, { userUUID: guest.user, permissions: 'b' });
        expect(await guestThere.next('room:removed')).to.include({ code: 'BANNED' });
        await rest(here.url, owner.token).delete(`/rooms/${room.id}`);
        expect(await far.next('room:removed')).to.include({ code: 'ROOM_DELETED' });
      });
      expect(took).to.be.below(away ? 4_000 : promptMs);
      expect(await near.next('room:removed')).to.include({ code: 'ROOM_DELETED' });
    });
  }

  itWithBoth('a node that starts meanwhile serves within seconds, and hears the others at last', async (adapter) => {
    const redis = await startRedis();
    const settings = { ...(await serviceSettings(redis.url)), REDIS_ADAPTER: adapter };
    const here = await startNode(embedded, settings);
    await redis.kill();
    let there = here;
    const took = await timeOf(async () => {
      there = await startNode(embedded, settings);
    });
    expect(took).to.be.below(4_500);
    const { room, near, far } = await talkOver(here, there);
    await sayOn(far, room, 1);
    expect(await heardBy(far, 1)).to.deep.equal([1]);
    await sayOn(near, room, 1);
    await redis.start();
    expect(await heardBy(far, 1)).to.deep.equal([2]);
    await lines('up', here, there);
    await sayOn(near, room, 1);
    expect(await heardBy(far, 1)).to.deep.equal([3]);
    expect(await heardBy(near, 3)).to.deep.equal([1, 2, 3]);
  });

  itWithBoth('what a node said while only its own line was cut is heard once that is back', async (adapter) => {
    const { redis, there, settings } = await redisPair({ REDIS_ADAPTER: adapter });
    const proxy = await databaseLine('127.0.0.1', redis.port);
    const here = await startNode(embedded, { ...settings, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    const { room, near, far } = await talkOver(here, there);
    await sayOn(near, room, 1);
    expect(await heardBy(far, 1)).to.deep.equal([1]);
    proxy.cut();
    await lines('down', here);
    await sayOn(near, room, 3);
    proxy.restore();
    expect(await heardBy(far, 3)).to.deep.equal([2, 3, 4]);
    expect(await heardBy(near, 4)).to.deep.equal(upTo(4));
  });

  itWithBoth('a line that swallows everything is noticed and replaced', async (adapter) => {
    const { redis, here, settings } = await redisPair({ REDIS_ADAPTER: adapter });
    const proxy = await databaseLine('127.0.0.1', redis.port);
    const there = await startNode(embedded, { ...settings, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    const { room, near, far } = await talkOver(here, there);
    proxy.swallow();
    await sayOn(near, room, 3);
    await until('the other node has heard all', () => far.waiting.length === 3, 10_000);
    await sayOn(near, room, 3);
    expect(await heardBy(far, 6)).to.deep.equal(upTo(6));
    await sayOn(far, room, 3);
    expect(await heardBy(near, 9)).to.deep.equal(upTo(9));
  });
});
