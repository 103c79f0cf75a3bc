import { expect } from 'chai';
import { databaseLine } from '../helpers/database-line.ts';
import { embedded, startNode } from '../helpers/node.ts';
import {
  figure,
  heardBy,
  itWithBoth,
  lines,
  redisPair,
  sayOn,
  socketIn,
  talkOver,
  upTo,
} from '../helpers/redis-pair.ts';
import { newRoom, say } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';

describe('The feeds of two nodes', () => {
  it('deliver messages that were sent between a join and its subscription, in 50 rooms', async () => {
    const { redis, here, settings } = await redisPair({ REDIS_ADAPTER: 'sharded' });
    const proxy = await databaseLine('127.0.0.1', redis.port);
    const there = await startNode(embedded, { ...settings, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    const { owner } = await talkOver(here, there);
    const rooms = await Promise.all(upTo(50).map(() => newRoom(here.url, owner)));
    const far = await socketClient(there.url, owner);
    proxy.hold();
    for (const room of rooms) expect(await far.request('room:join', { room_id: room.id })).to.include({ ok: true });
    await Promise.all(rooms.map((room) => say(here.url, owner, room, 'early')));
    expect(far.waiting, 'it is not subscribed yet').to.deep.equal([]);
    proxy.restore();
    expect(await heardBy(far, 50)).to.deep.equal(rooms.map(() => 1));
    await Promise.all(rooms.map((room) => say(here.url, owner, room, 'later')));
    expect(await heardBy(far, 50)).to.deep.equal(rooms.map(() => 2));
  });

  itWithBoth('show in their figures what was missed and repaired', async (adapter) => {
    const { redis, here, there } = await redisPair({ REDIS_ADAPTER: adapter });
    const { room, near, far } = await talkOver(here, there);
    const of = async (node: typeof here) => ({
      repaired: await figure(node, 'nano_messaging_feed_repaired_total'),
      swept: await figure(node, 'nano_messaging_feed_reconciled_total'),
      failures: await figure(node, 'nano_messaging_publish_failures_total'),
      up: await figure(node, 'nano_messaging_bus_up'),
    });
    await sayOn(near, room, 3);
    await heardBy(far, 3);
    const before = await of(there);
    expect(before.up).to.equal(1);
    expect(await of(here)).to.deep.equal({ repaired: 0, swept: 0, failures: 0, up: 1 });
    await redis.kill();
    await lines('down', here, there);
    await sayOn(near, room, 5);
    expect(await of(here)).to.deep.equal({ repaired: 0, swept: 0, failures: 5, up: 0 });
    await redis.start();
    expect(await heardBy(far, 5)).to.deep.equal(upTo(8, 4));
    await lines('up', here, there);
    const after = await of(there);
    expect(after.repaired - before.repaired).to.equal(5);
    expect(after.swept - before.swept).to.equal(1);
    expect(after.failures).to.equal(0);
  });

  it('count changes that arrive out of order', async () => {
    const { redis, here, settings } = await redisPair({ REDIS_ADAPTER: 'classic' });
    const proxy = await databaseLine('127.0.0.1', redis.port);
    const there = await startNode(embedded, { ...settings, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    const { owner, room, near, far } = await talkOver(here, there);
    const third = await startNode(embedded, settings);
    const other = await socketIn(third.url, owner, room);
    // What this node publishes waits at the proxy, while another one's goes its way.
    proxy.hold();
    await sayOn(far, room, 1);
    await sayOn(near, room, 1);
    proxy.restore();
    expect(await heardBy(other, 2)).to.deep.equal([1, 2]);
    expect(await figure(third, 'nano_messaging_feed_reordered_total')).to.equal(1);
  });
});
