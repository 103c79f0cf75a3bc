import { expect } from 'chai';
import { Histogram, Registry } from 'prom-client';
import { createDatabaseClock } from '../../../src/database/clock.ts';
import { createDeliveryMetrics } from '../../../src/observability/metrics/delivery.ts';
import { FastHistogram } from '../../../src/observability/metrics/fast-metrics.ts';

const linesOf = async (registry: Registry, name: string) =>
  (await registry.metrics()).split('\n').filter((line) => line.startsWith(name));

describe('a histogram of plain numbers', () => {
  it('is what prom-client would show of the same observations', async () => {
    const [ours, theirs] = [new Registry(), new Registry()];
    const named = { name: 'some_seconds', help: 'Some.', buckets: [0.1, 1, 10] };
    const plain = new FastHistogram({ ...named, registers: [ours] });
    const usual = new Histogram({ ...named, labelNames: ['kind'], registers: [theirs] });
    for (const kind of ['a', 'b']) {
      const observed = plain.withLabels({ kind });
      for (const value of [0, 0.1, 0.11, 1, 9.5, 10, 11, 1_000]) {
        observed.observe(value);
        usual.observe({ kind }, value);
      }
    }
    const inOrder = async (registry: Registry) => (await registry.metrics()).split('\n').map(labelsInOrder);
    expect(await inOrder(ours)).to.deep.equal(await inOrder(theirs));
  });

  it('shows zeros before anything was observed', async () => {
    const registry = new Registry();
    new FastHistogram({ name: 'some_seconds', help: 'Some.', buckets: [1], registers: [registry] }).withLabels();
    expect(await linesOf(registry, 'some_seconds')).to.deep.equal([
      'some_seconds_bucket{le="1"} 0',
      'some_seconds_bucket{le="+Inf"} 0',
      'some_seconds_sum 0',
      'some_seconds_count 0',
    ]);
  });
});

/** prom-client writes `le` before the other labels or after them. */
function labelsInOrder(line: string): string {
  return line.replace(/\{(.*)\}/, (_all, labels: string) => `{${labels.split(',').sort().join()}}`);
}

describe('how late a change is told', () => {
  const told = async (clockOffsetMs: number, agoMs: number, origin: 'here' | 'remote' | 'log') => {
    const registry = new Registry();
    createDeliveryMetrics([registry], () => clockOffsetMs).feeds.delivered(Date.now() - agoMs, origin);
    const [sum] = await linesOf(
      registry,
      `nano_messaging_delivery_latency_seconds_sum{origin="${origin === 'here' ? 'remote' : origin}"}`,
    );
    return Number(sum!.split(' ')[1]);
  };

  it('is measured from when the database numbered it', async () => {
    expect(await told(0, 2_000, 'remote')).to.be.within(2, 2.5);
    expect(await told(0, 2_000, 'log')).to.be.within(2, 2.5);
  });

  it('is measured by the clock of the database, also where the node is in another time', async () => {
    expect(await told(3_600_000, -3_598_000, 'remote')).to.be.within(2, 2.5);
    expect(await told(-3_600_000, 3_602_000, 'remote')).to.be.within(2, 2.5);
  });

  it('is never less than nothing', async () => {
    expect(await told(0, -5_000, 'remote')).to.equal(0);
  });

  it('is not measured for what this node has stored itself', async () => {
    expect(await told(0, 2_000, 'here')).to.equal(0);
  });
});

describe('the clock of the database', () => {
  /** A database whose clock is ahead, and whose answers take so long, on the way there or on the way back. */
  const compared = async (aheadMs: number, ...ways: [thereMs: number, backMs: number][]) => {
    const rest = [...ways];
    const query = async <Row>() => {
      const [there, back] = rest.shift()!;
      await pause(there);
      const now = Date.now() + aheadMs;
      await pause(back);
      return [{ now }] as Row[];
    };
    const clock = createDatabaseClock({ query }, { failed() {}, recovered() {} });
    await clock.compare();
    clock.close();
    return clock.offsetMs;
  };

  it('is compared with that of the node', async () => {
    for (const aheadMs of [0, 60_000, -60_000]) {
      expect(await compared(aheadMs, [1, 1], [1, 1], [1, 1])).to.be.closeTo(aheadMs, 40);
    }
  });

  it('is taken from the quickest answer: a slow one may have been slow on one of its ways', async () => {
    expect(await compared(0, [0, 300], [0, 0], [300, 0])).to.be.closeTo(0, 100);
  });
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
