import { expect } from 'chai';
import { createClient } from 'redis';
import { closeLater } from '../helpers/cleanup.ts';
import { embedded, startNode } from '../helpers/node.ts';
import {
  createSharedRoom,
  itWithBothAdapters,
  readMetric,
  receiveSeqs,
  sendNumbered,
  socketInRoom,
  startNodePair,
  upTo,
  waitForBus,
} from '../helpers/node-pair.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, putRule, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';

describe('The feeds of two nodes', () => {
  it('delivers messages that are sent between a join and its subscription, in 50 rooms', async () => {
    const { redis, here, settings } = await startNodePair({ REDIS_ADAPTER: 'sharded' });
    const proxy = await tcpProxy('127.0.0.1', redis.port);
    const there = await startNode(embedded, { ...settings, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    const { owner } = await createSharedRoom(here, there);
    const rooms = await Promise.all(upTo(50).map(() => createRoom(here.url, owner)));
    const far = await socketClient(there.url, owner);
    proxy.holdRequests();
    for (const room of rooms) expect(await far.request('room:join', { room_id: room.id })).to.include({ ok: true });
    await Promise.all(rooms.map((room) => sendMessages(here.url, owner, room, 'early')));
    expect(far.unread, 'it is not subscribed yet').to.deep.equal([]);
    proxy.restore();
    expect(await receiveSeqs(far, 50)).to.deep.equal(rooms.map(() => 1));
    await Promise.all(rooms.map((room) => sendMessages(here.url, owner, room, 'later')));
    expect(await receiveSeqs(far, 50)).to.deep.equal(rooms.map(() => 2));
  });

  it('shows a join no position of a user whose ban the feed of the node has not reached', async () => {
    const { redis, here, there } = await startNodePair();
    const { owner, room } = await createSharedRoom(here, there);
    await rest(here.url, owner.token).patch(`/rooms/${room.id}`, { receipts: true });
    const ben = await createMember(here.url, owner, room);
    await sendMessages(here.url, owner, room, 'one');
    await rest(here.url, ben.token).put(`/rooms/${room.id}/read`, { seq: 1 });
    const join = async () => {
      const socket = await socketClient(there.url, owner);
      const { reads } = await socket.request('room:join', { room_id: room.id, reads: true });
      return reads.map(({ user }: { user: string }) => user);
    };
    expect(await join()).to.include(ben.user);
    await redis.kill();
    await waitForBus('down', here, there);
    await putRule(here.url, owner, room, { userUUID: ben.user, permissions: 'b' });
    expect(await join()).to.deep.equal([owner.user]);
  });

  itWithBothAdapters('counts missed and repaired changes in the metrics', async (adapter) => {
    const { redis, here, there } = await startNodePair({ REDIS_ADAPTER: adapter });
    const { room, near, far } = await createSharedRoom(here, there);
    const of = async (node: typeof here) => ({
      repaired: await readMetric(node, 'nano_messaging_feed_repaired_total'),
      swept: await readMetric(node, 'nano_messaging_feed_reconciled_total'),
      failures: await readMetric(node, 'nano_messaging_publish_failures_total'),
      up: await readMetric(node, 'nano_messaging_bus_up'),
    });
    await sendNumbered(near, room, 3);
    await receiveSeqs(far, 3);
    const before = await of(there);
    expect(before.up).to.equal(1);
    expect(await of(here)).to.deep.equal({ repaired: 0, swept: 0, failures: 0, up: 1 });
    await redis.kill();
    await waitForBus('down', here, there);
    await sendNumbered(near, room, 5);
    expect(await of(here)).to.deep.equal({ repaired: 0, swept: 0, failures: 5, up: 0 });
    await redis.start();
    expect(await receiveSeqs(far, 5)).to.deep.equal(upTo(8, 4));
    await waitForBus('up', here, there);
    const after = await of(there);
    expect(after.repaired - before.repaired).to.equal(5);
    expect(after.swept - before.swept).to.equal(1);
    expect(after.failures).to.equal(0);
  });

  it('counts changes that arrive out of order', async () => {
    const { redis, here, settings } = await startNodePair({ REDIS_ADAPTER: 'classic' });
    const behindProxy = async () => {
      const proxy = await tcpProxy('127.0.0.1', redis.port);
      const node = await startNode(embedded, { ...settings, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
      return { proxy, node };
    };
    const [there, third] = [await behindProxy(), await behindProxy()];
    const { owner, room, near, far } = await createSharedRoom(here, there.node);
    const other = await socketInRoom(third.node.url, owner, room);
    const listener = createClient({ url: redis.url });
    await listener.connect();
    closeLater(() => listener.destroy());
    let published = 0;
    await listener.pSubscribe(`*#room:${room.id}#`, (packet) => {
      if (packet.includes('"kind":"message"')) published += 1;
    });
    // Held until the later message has been published, so that it is published first.
    there.proxy.holdRequests();
    // Held until both have been published: a node waits for the earlier one only for a moment, and then reads it.
    third.proxy.holdResponses();
    await sendNumbered(far, room, 1);
    await sendNumbered(near, room, 1);
    await waitUntil('the later message is published', () => published === 1);
    there.proxy.restore();
    await waitUntil('both messages are published', () => published === 2);
    third.proxy.restore();
    expect(await receiveSeqs(other, 2)).to.deep.equal([1, 2]);
    expect(await readMetric(third.node, 'nano_messaging_feed_reordered_total')).to.equal(1);
  });
});
