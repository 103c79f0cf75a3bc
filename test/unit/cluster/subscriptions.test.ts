import { expect } from 'chai';
import { createClient } from 'redis';
import { describeRedis, ErrorReply } from '../../../src/cluster/redis-connection.ts';
import { RedisPubSub } from '../../../src/cluster/redis-pubsub.ts';
import { Subscriptions } from '../../../src/cluster/subscriptions.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { sharedRedis, startRedis } from '../../helpers/redis.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const ignoredEvents = {
  ...{ onUp() {}, onDown() {}, onMissed() {}, onLost() {}, onPublished() {}, onRejected() {}, onSubscribed() {} },
};

/** A Redis that answers on request, and records overlapping commands for one channel. */
function stage() {
  const waiting: { settle: (error?: Error) => void }[] = [];
  const there = new Set<string>();
  const onTheirWay = new Set<string>();
  const overlapping: string[] = [];
  const subscribed: string[] = [];
  const failures: unknown[] = [];
  let recoveries = 0;
  const subscriptions = new Subscriptions({
    onSubscribed: (channel) => void subscribed.push(channel),
    onFailed: (error) => void failures.push(error),
    onRecovered: () => void recoveries++,
  });
  closeLater(() => subscriptions.end());

  function command(channel: string, effect: () => void): Promise<void> {
    if (onTheirWay.has(channel)) overlapping.push(channel);
    onTheirWay.add(channel);
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => {
        onTheirWay.delete(channel);
        if (error) return reject(error);
        effect();
        resolve();
      };
      waiting.push({ settle });
    });
  }

  return {
    ...{ subscriptions, there, overlapping, subscribed, waiting, failures },
    recoveries: () => recoveries,
    want: (channel: string) =>
      subscriptions.add(channel, {
        subscribe: () => command(channel, () => there.add(channel)),
        unsubscribe: () => command(channel, () => there.delete(channel)),
      }),
    /** Answers the oldest command, and lets the commands that follow from it begin. */
    async answer(error?: Error): Promise<void> {
      waiting.shift()!.settle(error);
      for (let n = 0; n < 5; n++) await Promise.resolve();
    },
  };
}

describe('Subscriptions', () => {
  it('never overlaps the commands for a channel, and reaches the wanted subscription in any order of calls and answers', async () => {
    for (let run = 0; run < 200; run++) {
      const { subscriptions, want, answer, waiting, there, overlapping } = stage();
      // The bits of `run` and of its hash choose each step. In this way the runs cover many orders of calls and answers.
      let bits = (run * 2_654_435_761) >>> 0;
      const wanted = new Set<string>();
      for (let step = 0; step < 16; step++, bits = ((bits >>> 2) | (bits << 30)) >>> 0) {
        const channel = step % 3 === 0 ? 'b' : 'a';
        if (bits & 1) {
          want(channel);
          wanted.add(channel);
        } else {
          subscriptions.remove(channel);
          wanted.delete(channel);
        }
        if (bits & 2 && waiting.length > 0) await answer();
      }
      while (waiting.length > 0) await answer();
      expect([...there].sort(), `run ${run}`).to.deep.equal([...wanted].sort());
      expect(overlapping).to.deep.equal([]);
    }
  });

  it('retries failed subscribe commands', async () => {
    const { subscriptions, want, answer, waiting, subscribed, there, failures, recoveries } = stage();
    want('a');
    const refusal = new Error('Redis is loading');
    await answer(refusal);
    expect(subscribed).to.deep.equal([]);
    expect(failures).to.deep.equal([refusal]);
    expect(subscriptions.isFailing).to.equal(true);
    await waitUntil('it is asked for again', () => waiting.length === 1);
    expect(recoveries()).to.equal(0);
    await answer();
    expect([subscriptions.isFailing, recoveries()]).to.deep.equal([false, 1]);
    expect(subscribed).to.deep.equal(['a']);
    expect([...there]).to.deep.equal(['a']);
  });

  it('no longer counts a failed channel once it is unwanted', async () => {
    const { subscriptions, want, answer, recoveries } = stage();
    want('a');
    await answer(new Error('NOPERM'));
    subscriptions.remove('a');
    await waitUntil('it is given up', () => recoveries() === 1);
    expect(subscriptions.isFailing).to.equal(false);
  });

  it('subscribes again on a new connection, even if the old connection answers late', async () => {
    const { subscriptions, want, answer, subscribed, waiting } = stage();
    want('there');
    await answer();
    want('on its way');
    subscriptions.resubscribeAll();
    expect(waiting, 'the new one of the first, and the old one of the second').to.have.lengthOf(2);
    await answer();
    expect(waiting, 'and its new one').to.have.lengthOf(2);
    await answer();
    await answer();
    expect(subscribed).to.have.members(['there', 'there', 'on its way']);
    expect(waiting).to.deep.equal([]);
  });

  it('sends no subscribe commands after the end', async () => {
    const { subscriptions, want, answer, waiting } = stage();
    want('a');
    subscriptions.end();
    await answer(new Error('closed'));
    want('b');
    expect(waiting).to.deep.equal([]);
  });

  it('still receives messages after 100 quick changes between unsubscribe and subscribe, on a real Redis', async () => {
    const kind = await describeRedis([await sharedRedis()]);
    const name = `flips-${process.pid}`;
    const line = new RedisPubSub(kind, `${name}:beat`, ignoredEvents);
    closeLater(() => line.close());
    await waitUntil('the link is up', () => line.isUp);
    let heard = 0;
    for (let flip = 1; flip <= 100; flip++) {
      await line.sUnsubscribe(name);
      // The command arrives within one round trip, or a little later.
      if (flip % 3 === 0) await new Promise(setImmediate);
      await line.sSubscribe(name, () => void heard++);
      const before = heard;
      await waitUntil(`it hears after flip ${flip}`, async () => {
        await line.sPublish(name, 'x');
        return heard > before;
      });
    }
  });
});

describe('RedisPubSub', () => {
  it('reconnects to Redis if a replica refuses a write, and reports the loss of messages', async () => {
    const kind = await describeRedis([await sharedRedis()]);
    const said: string[] = [];
    const line = new RedisPubSub(kind, `replica-${process.pid}:beat`, {
      ...ignoredEvents,
      onUp: () => void said.push('up'),
      onDown: (reason) => void said.push(`down: ${(reason as Error).name}`),
      onLost: (reason) => void said.push(`lost: ${(reason as Error).name}`),
    });
    closeLater(() => line.close());
    await waitUntil('the link is up', () => line.isUp);
    const before = line.connection;
    line.handleWriteFailure(new ErrorReply('OOM command not allowed'));
    expect(line.isUp).to.equal(true);
    line.handleWriteFailure(new ErrorReply("READONLY You can't write against a read only replica."));
    expect([line.isUp, line.connection === before]).to.deep.equal([false, false]);
    await waitUntil('the link is up', () => line.isUp);
    expect(said).to.deep.equal(['up', 'lost: ReplicaError', 'down: ReplicaError', 'up']);
  });

  it('leaves no Redis connection open if it is closed while it connects', async () => {
    const redis = await startRedis();
    const kind = await describeRedis([redis.url]);
    const client = createClient({ url: redis.url });
    client.on('error', () => {});
    await client.connect();
    closeLater(() => client.destroy());
    const others = async () => (await client.sendCommand<string>(['CLIENT', 'LIST'])).trim().split('\n').length - 1;
    await waitUntil('none is there', async () => (await others()) === 0);
    await new RedisPubSub(kind, 'closing:beat', ignoredEvents).close();
    await waitUntil('both have come', async () =>
      /total_connections_received:[4-9]/.test(String(await client.info('stats'))),
    );
    await waitUntil('none is left', async () => (await others()) === 0);
  });
});
