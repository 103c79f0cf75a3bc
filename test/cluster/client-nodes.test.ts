import { expect } from 'chai';
import { createClient, expectNoGaps, toContents } from '../helpers/client.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { startNodePair, waitForBus } from '../helpers/node-pair.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { startRedis } from '../helpers/redis.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, readRev, sendMessages } from '../helpers/rooms.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';

describe('the client with several nodes', function () {
  this.timeout(120_000);

  it('shows the own reaction of another device to a message that the node has missed', async () => {
    const { redis, here, there } = await startNodePair({ SWEEP_SECONDS: 1 });
    const { owner, room } = await createRoomWithOwner(here.url);
    const guest = await createMember(here.url, owner, room);
    const [mine, theirs] = [guest, owner].map((person) => createClient(there.url, person).room(room.id));
    await Promise.all([mine!.joined(), theirs!.joined()]);
    await redis.kill();
    await waitForBus('down', here, there);
    const before = await readRev(here.url, owner, room);
    await sendMessages(here.url, owner, room, 'during the outage');
    for (const person of [guest, owner])
      await rest(here.url, person.token).put(
        `/rooms/${room.id}/messages/1/reactions/${encodeURIComponent(person === guest ? '👍' : '🎉')}`,
      );
    await waitUntil('the node has caught up', () => [mine, theirs].every((one) => one!.rev === before + 3));
    expect(mine!.messages[0]!.reactions).to.deep.equal([
      { emoji: '👍', count: 1, mine: true },
      { emoji: '🎉', count: 1 },
    ]);
    expect(theirs!.messages[0]!.reactions).to.deep.equal([
      { emoji: '👍', count: 1 },
      { emoji: '🎉', count: 1, mine: true },
    ]);
  });

  it('moves to another node without a missing or duplicate message, also while Redis is down or the node drains', async () => {
    const redis = await startRedis();
    const settings = {
      DATABASE_URL: await freshDatabase(),
      REDIS_URL: redis.url,
      SWEEP_SECONDS: 1,
      DRAIN_TIMEOUT_SECONDS: 3,
    };
    const [here, there] = [await startNode(postgres, settings), await startNode(postgres, settings)];
    const { owner, room } = await createRoomWithOwner(here.url);
    const proxy = await nodeProxy(here.url);
    const client = createClient(proxy.url, owner, { transports: ['websocket'] });
    const moving = client.room(room.id);
    const staying = createClient(there.url, await createMember(there.url, owner, room)).room(room.id);
    await Promise.all([moving.joined(), staying.joined()]);

    let sentCount = 0;
    const sendTen = async () => {
      const sent = [moving, staying].flatMap((room) => Array.from({ length: 5 }, () => room.send(`${++sentCount}`)));
      await Promise.all(sent.map(({ confirmed }) => confirmed));
    };
    const moveTo = async ({ url }: { url: string }) => {
      proxy.redirectTo(Number(new URL(url).port));
      proxy.cut();
      await waitUntil('the connection is lost', () => moving.state === 'reconnecting');
      proxy.restore();
    };

    await sendTen();
    await Promise.all([sendTen(), moveTo(there)]);
    await redis.kill();
    await sendTen();
    await Promise.all([sendTen(), moveTo(here)]);
    await redis.start();
    await sendTen();

    const draining = new Promise<number>((resolve) => {
      client.on('frame', ({ name, payload }) => {
        const { reconnect_after_ms } = payload as { reconnect_after_ms: number };
        if (name === 'server:draining') resolve(Date.now() + reconnect_after_ms);
      });
    });
    proxy.redirectTo(Number(new URL(there.url).port));
    const [notBefore] = await Promise.all([draining, sendTen(), here.drain()]);
    await moving.joined();
    expect(Date.now()).to.be.at.least(notBefore);

    for (const clientRoom of [moving, staying]) {
      await waitUntil(
        'the room has all messages',
        () => clientRoom.messages.length === sentCount && clientRoom.outbox.length === 0,
      );
      expectNoGaps(clientRoom);
    }
    expect(toContents(moving)).to.deep.equal(toContents(staying));
    expect(new Set(toContents(moving))).to.have.property('size', sentCount);
  });
});
