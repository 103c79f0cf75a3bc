import { mock } from 'node:test';
import { expect } from 'chai';
import { Histogram, Registry } from 'prom-client';
import { createDatabaseClock } from '../../../src/database/clock.ts';
import { createDeliveryMetrics } from '../../../src/observability/metrics/delivery.ts';
import { FastHistogram } from '../../../src/observability/metrics/fast-metrics.ts';
import { onFakeClock } from '../../helpers/fake-clock.ts';

const linesOf = async (registry: Registry, name: string) =>
  (await registry.metrics()).split('\n').filter((line) => line.startsWith(name));

describe('A fast histogram', () => {
  it('shows a histogram as prom-client does for the same observations', async () => {
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

  it('shows a histogram of zeros before the first observation', async () => {
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

/** prom-client may write `le` before or after the other labels. */
function labelsInOrder(line: string): string {
  return line.replace(/\{(.*)\}/, (_all, labels: string) => `{${labels.split(',').sort().join()}}`);
}

describe('The delivery delay of a change', () => {
  const told = async (clockOffsetMs: number, agoMs: number, origin: 'here' | 'remote' | 'log') => {
    const registry = new Registry();
    mock.timers.enable({ apis: ['Date'], now: 1_800_000_000_000 });
    createDeliveryMetrics([registry], () => clockOffsetMs).feeds.delivered(Date.now() - agoMs, origin);
    mock.timers.reset();
    const [sum] = await linesOf(
      registry,
      `nano_messaging_delivery_latency_seconds_sum{origin="${origin === 'here' ? 'remote' : origin}"}`,
    );
    return Number(sum!.split(' ')[1]);
  };

  it('measures the delivery delay from the time at which the database numbered the change', async () => {
    expect(await told(0, 2_000, 'remote')).to.equal(2);
    expect(await told(0, 2_000, 'log')).to.equal(2);
  });

  it('measures the delivery delay by the clock of the database, even if the clock of the node differs', async () => {
    expect(await told(3_600_000, -3_598_000, 'remote')).to.equal(2);
    expect(await told(-3_600_000, 3_602_000, 'remote')).to.equal(2);
  });

  it('never measures a negative delivery delay', async () => {
    expect(await told(0, -5_000, 'remote')).to.equal(0);
  });

  it('does not measure the delivery delay of changes that this node stored', async () => {
    expect(await told(0, 2_000, 'here')).to.equal(0);
  });
});

describe('The clock of the database', () => {
  /** A database whose clock is ahead, with these latencies for requests and answers. */
  const compared = async (aheadMs: number, ...ways: [thereMs: number, backMs: number][]) => {
    const rest = [...ways];
    const query = async <Row>() => {
      const [there, back] = rest.shift()!;
      await pause(there);
      const now = Date.now() + aheadMs;
      await pause(back);
      return [{ now }] as Row[];
    };
    let offsetMs = Number.NaN;
    await onFakeClock(async () => {
      const clock = createDatabaseClock({ query }, { failed() {}, recovered() {} });
      await clock.compare();
      clock.close();
      offsetMs = clock.offsetMs;
    });
    return offsetMs;
  };

  it('measures the offset between the clocks of the database and the node', async () => {
    for (const aheadMs of [0, 60_000, -60_000]) {
      expect(await compared(aheadMs, [1, 1], [1, 1], [1, 1])).to.equal(aheadMs);
    }
  });

  it('uses the fastest answer for the clock offset, because a slow answer may be slow in one direction only', async () => {
    expect(await compared(0, [1, 300], [1, 1], [300, 1])).to.equal(0);
  });
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
