import { expect } from 'chai';
import { clientOf, contentsOf, expectWhole, lineTo } from '../helpers/client.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { startRedis } from '../helpers/redis.ts';
import { member, ownRoom } from '../helpers/rooms.ts';
import { until } from '../helpers/until.ts';

describe('the client of several nodes', function () {
  this.timeout(120_000);

  it('goes on at another node, also while Redis is away or the node drains, and lacks and doubles nothing', async () => {
    const redis = await startRedis();
    const settings = {
      DATABASE_URL: await freshDatabase(),
      REDIS_URL: redis.url,
      SWEEP_SECONDS: 1,
      DRAIN_TIMEOUT_SECONDS: 3,
    };
    const [here, there] = [await startNode(postgres, settings), await startNode(postgres, settings)];
    const { owner, room } = await ownRoom(here.url);
    const line = await lineTo(here.url);
    const client = clientOf(line.url, owner, { transports: ['websocket'] });
    const moving = client.room(room.id);
    const staying = clientOf(there.url, await member(there.url, owner, room)).room(room.id);
    await Promise.all([moving.joined(), staying.joined()]);

    let said = 0;
    const talk = async () => {
      const sent = [moving, staying].flatMap((one) => Array.from({ length: 5 }, () => one.send(`${++said}`)));
      await Promise.all(sent.map(({ confirmed }) => confirmed));
    };
    const moveTo = async ({ url }: { url: string }) => {
      line.leadTo(Number(new URL(url).port));
      line.cut();
      await until('the line is gone', () => moving.state === 'reconnecting');
      line.restore();
    };

    await talk();
    await Promise.all([talk(), moveTo(there)]);
    await redis.kill();
    await talk();
    await Promise.all([talk(), moveTo(here)]);
    await redis.start();
    await talk();

    const draining = new Promise<number>((resolve) => {
      client.on('frame', ({ name, payload }) => {
        const { reconnect_after_ms } = payload as { reconnect_after_ms: number };
        if (name === 'server:draining') resolve(Date.now() + reconnect_after_ms);
      });
    });
    line.leadTo(Number(new URL(there.url).port));
    const [notBefore] = await Promise.all([draining, talk(), here.drain()]);
    await moving.joined();
    expect(Date.now()).to.be.at.least(notBefore);

    for (const one of [moving, staying]) {
      await until('it has all', () => one.messages.length === said && one.outbox.length === 0, 10_000);
      expectWhole(one);
    }
    expect(contentsOf(moving)).to.deep.equal(contentsOf(staying));
    expect(new Set(contentsOf(moving))).to.have.property('size', said);
  });
});
