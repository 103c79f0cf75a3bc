import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { RedisClientType } from 'redis';
import { createRedisConnection, type RedisConnection } from '../../../src/cluster/redis-connection.ts';
import { createConnectionLeases } from '../../../src/cluster/shared-limits.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { startRedis } from '../../helpers/redis.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

/** No lease expires during a test, and Redis answers in time, however busy the machine is. */
const longTimesMs = { leaseMs: 60_000, renewEveryMs: 20_000, tickMs: 20, answerMs: 10_000 };
/** For tests of renewals and of the end of a lease. */
const shortTimesMs = { ...longTimesMs, leaseMs: 1_000, renewEveryMs: 100 };

interface Stage {
  connection: RedisConnection;
  line: { isUp: boolean; connection: RedisConnection; handleWriteFailure(error: unknown): void };
  failures: unknown[];
  recoveries(): number;
  node(id: string): ReturnType<typeof createConnectionLeases>;
}

async function stage(timesMs = longTimesMs): Promise<Stage> {
  const { url } = await startRedis();
  const connection = createRedisConnection({ urls: [url], isCluster: false });
  connection.on('error', () => {});
  await connection.connect();
  closeLater(() => connection.destroy());
  const failures: unknown[] = [];
  let recoveries = 0;
  const report = { failed: (error: unknown) => void failures.push(error), recovered: () => void recoveries++ };
  const line = { isUp: true, connection, handleWriteFailure() {} };
  return {
    ...{ connection, line, failures },
    recoveries: () => recoveries,
    node(id) {
      const leases = createConnectionLeases(() => line, id, 'test', report, timesMs);
      closeLater(() => leases.stop());
      return leases;
    },
  };
}

describe('The connection leases of a user', () => {
  it('counts the connection leases of a user over all nodes, each holder once, until they are released', async () => {
    const { node } = await stage();
    const [one, other] = [node('one'), node('other')];
    const user = randomUUID();
    expect(await one.acquire(user, '1', 2)).to.equal('acquired');
    expect(await other.acquire(user, '1', 2)).to.equal('acquired');
    expect(await one.acquire(user, '1', 2), 'a holder that is counted already').to.equal('acquired');
    expect(await other.acquire(user, '2', 2)).to.equal('full');
    expect(await other.acquire(randomUUID(), '2', 2), 'another user').to.equal('acquired');
    one.release(user, '1');
    await waitUntil('a lease is free', async () => (await other.acquire(user, '2', 2)) === 'acquired');
    expect(await one.acquire(user, '3', 2)).to.equal('full');
  });

  it('renews connection leases while their node lives, and lets them expire after its death', async () => {
    const { node, connection } = await stage(shortTimesMs);
    const [living, dying] = [node('living'), node('dying')];
    const user = randomUUID();
    for (const leases of [living, dying]) expect(await leases.acquire(user, '1', 2)).to.equal('acquired');
    const ends = () => (connection as unknown as RedisClientType).zRangeWithScores(`test:connections:${user}`, 0, -1);
    const firstEnd = Math.max(...(await ends()).map(({ score }) => score));
    await waitUntil('the first leases would have ended', async () =>
      (await ends()).every(({ score }) => score > firstEnd + shortTimesMs.leaseMs),
    );
    expect(await living.acquire(user, '2', 2), 'both are renewed').to.equal('full');
    dying.stop();
    await waitUntil('the lease has expired', async () => (await living.acquire(user, '2', 2)) === 'acquired');
    expect(await living.acquire(user, '3', 2)).to.equal('full');
  });

  it('renews connection leases at once if Redis lost them', async () => {
    const { node, connection } = await stage();
    const [one, other] = [node('one'), node('other')];
    const user = randomUUID();
    await one.acquire(user, '1', 1);
    await (connection as unknown as RedisClientType).flushAll();
    one.renewAll();
    expect(await other.acquire(user, '1', 1)).to.equal('full');
  });

  it('finds the users who have a connection on any node, until the last one is released', async () => {
    const { node } = await stage();
    const [one, other] = [node('one'), node('other')];
    const [ana, ben, cleo] = [randomUUID(), randomUUID(), randomUUID()];
    await one.acquire(ana, '1', 0);
    await other.acquire(ana, '1', 0);
    await other.acquire(ben, '2', 2);
    expect(await one.findConnected([ana, ben, cleo])).to.deep.equal(new Set([ana, ben]));
    one.release(ana, '1');
    other.release(ben, '2');
    await waitUntil('ben has no lease', async () => !(await other.findConnected([ben]))?.has(ben));
    expect(await one.findConnected([ana, ben, cleo])).to.deep.equal(new Set([ana]));
  });

  it('does not know who is connected while Redis is down, and until all nodes can have renewed their leases', async () => {
    const { node, line } = await stage(shortTimesMs);
    const [one, other] = [node('one'), node('other')];
    const user = randomUUID();
    await other.acquire(user, '1', 0);
    one.renewAll();
    expect(await one.findConnected([user])).to.deep.equal(new Set([user]));
    line.isUp = false;
    expect(await one.findConnected([user])).to.equal(undefined);
    line.isUp = true;
    one.renewAll();
    expect(await one.findConnected([user])).to.equal(undefined);
    await waitUntil('the leases are complete', async () => (await one.findConnected([user]))?.has(user) ?? false);
  });

  it('reports each refusal of a lease by Redis, and the recovery', async () => {
    const { node, connection, failures, recoveries, line } = await stage(shortTimesMs);
    const noted: unknown[] = [];
    line.handleWriteFailure = (error) => void noted.push(error);
    const one = node('one');
    const client = connection as unknown as RedisClientType;
    await client.sendCommand(['REPLICAOF', '127.0.0.1', '1']);
    expect(await one.acquire(randomUUID(), '1', 1)).to.equal('unknown');
    await waitUntil('the renewal is refused, too', () => failures.length > 1);
    expect(String(failures[0])).to.contain('READONLY');
    expect(noted).to.deep.equal(failures);
    expect(recoveries()).to.equal(0);
    await client.sendCommand(['REPLICAOF', 'NO', 'ONE']);
    await waitUntil('it is counted', () => recoveries() > 0);
  });

  it('reports the number of leases as unknown while Redis is unavailable or silent, and counts them afterwards', async () => {
    const { node, line, connection } = await stage({ ...shortTimesMs, answerMs: 500 });
    const [one, other] = [node('one'), node('other')];
    const user = randomUUID();
    line.isUp = false;
    expect(await one.acquire(user, '1', 1)).to.equal('unknown');
    line.isUp = true;
    line.connection = { ...connection, lease: () => new Promise(() => {}) } as RedisConnection;
    expect(await one.acquire(user, '2', 1)).to.equal('unknown');
    line.connection = connection;
    const count = () => (connection as unknown as RedisClientType).zCard(`test:connections:${user}`);
    await waitUntil('they are counted', async () => (await count()) === 2);
    expect(await other.acquire(user, '1', 2)).to.equal('full');
    one.release(user, '1');
    await waitUntil('a lease is free', async () => (await other.acquire(user, '1', 2)) === 'acquired');
  });
});
