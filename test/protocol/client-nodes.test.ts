import { expect } from 'chai';
import { clientOf, contentsOf, expectWhole, lineTo } from '../support/client.ts';
import { postgres, startNode } from '../support/node.ts';
import { freshDatabase } from '../support/postgres.ts';
import { startRedis } from '../support/redis.ts';
import { member, ownRoom } from '../support/rooms.ts';
import { until } from '../support/until.ts';

describe('the client of several nodes', function () {
  this.timeout(120_000);

  it('goes on at another node, also while Redis is away, and lacks and doubles nothing', async () => {
    const redis = await startRedis();
    const settings = { DATABASE_URL: await freshDatabase(), REDIS_URL: redis.url, SWEEP_SECONDS: 1 };
    const [here, there] = [await startNode(postgres, settings), await startNode(postgres, settings)];
    const { owner, room } = await ownRoom(here.url);
    const line = await lineTo(here.url);
    const moving = clientOf(line.url, owner, { transports: ['websocket'] }).room(room.id);
    const staying = clientOf(there.url, await member(there.url, owner, room)).room(room.id);
    await Promise.all([moving.joined(), staying.joined()]);

    let said = 0;
    const talk = async () => {
      const sent = [moving, staying].flatMap((one) => Array.from({ length: 5 }, () => one.send(`${++said}`)));
      await Promise.all(sent.map(({ done }) => done));
    };
    const moveTo = async ({ url }: { url: string }) => {
      line.leadTo(Number(new URL(url).port));
      line.cut();
      await until('the line is gone', () => moving.state === 'away');
      line.restore();
    };

    await talk();
    await Promise.all([talk(), moveTo(there)]);
    await redis.kill();
    await talk();
    await Promise.all([talk(), moveTo(here)]);
    await redis.start();
    await Promise.all([talk(), moveTo(there)]);

    for (const one of [moving, staying]) {
      await until('it has all', () => one.messages.length === said && one.outbox.length === 0, 10_000);
      expectWhole(one);
    }
    expect(contentsOf(moving)).to.deep.equal(contentsOf(staying));
    expect(new Set(contentsOf(moving))).to.have.property('size', said);
  });
});
