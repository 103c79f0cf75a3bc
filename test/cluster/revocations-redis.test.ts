import { expect } from 'chai';
import { authenticatedChat } from '../helpers/chat-client.ts';
import { sharded, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { nowSeconds, revoke } from '../helpers/revocations.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

/** More than the promise, for a busy machine. */
const slackMs = 5_000;

/** Two nodes with a separate Redis. */
async function twoNodes(SWEEP_SECONDS: number): Promise<{ one: string; other: string; redis: RedisServer }> {
  const redis = await startRedis();
  const settings = { DATABASE_URL: await freshDatabase(), REDIS_URL: redis.url, SWEEP_SECONDS };
  const [one, other] = [await startNode(sharded, settings), await startNode(sharded, settings)];
  return { one: one.url, other: other.url, redis };
}

/** The time until the other node has closed the connections of both transports. */
async function closedAfterMs(one: string, other: string): Promise<number> {
  const person = createUser();
  const [socket, chat] = [await socketClient(other, person), await authenticatedChat(other, person)];
  const begun = Date.now();
  await revoke(one, { userUUID: person.user, issued_before: nowSeconds() });
  expect(await socket.closed).to.equal('io server disconnect');
  expect(await chat.closed).to.equal(4403);
  return Date.now() - begun;
}

describe('Revocations between nodes with Redis', () => {
  it('closes the connections of a revoked token on the other node within a second, without reconciliation', async () => {
    const { one, other } = await twoNodes(3_600);
    expect(await closedAfterMs(one, other)).to.be.below(1_000 + slackMs);
  });

  it('closes the connections of a revoked token on the other node within one reconciliation while Redis is unavailable', async () => {
    const { one, other, redis } = await twoNodes(1);
    await redis.kill();
    expect(await closedAfterMs(one, other)).to.be.below(1_250 + slackMs);
  });

  it('closes the connections of a revoked token on the other node when Redis is available again, without reconciliation', async () => {
    const { one, other, redis } = await twoNodes(3_600);
    const person = createUser();
    const chat = await authenticatedChat(other, person);
    await redis.kill();
    await revoke(one, { userUUID: person.user, issued_before: nowSeconds() });
    chat.send({ type: 'fence' });
    expect(await chat.next()).to.include({ data: 'COMMAND?' });
    await redis.start();
    expect(await chat.closed).to.equal(4403);
  });
});
