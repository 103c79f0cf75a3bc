import { expect } from 'chai';
import { Counter, Gauge, Registry } from 'prom-client';
import { MetricsOfWorkers } from '../../../src/observability/metrics/of-workers.ts';

async function exportOf(sent: number, up: number): Promise<object[]> {
  const registry = new Registry();
  const registers = [registry];
  new Counter({ registers, name: 'sent_total', help: 'sent' }).inc(sent);
  new Gauge({ registers, name: 'up', help: 'up', aggregator: 'min' }).set(up);
  new Gauge({ registers, name: 'open', help: 'open' }).set(1);
  return registry.getMetricsAsJSON();
}

const linesOf = async (metrics: MetricsOfWorkers) =>
  (await metrics.text()).split('\n').filter((line) => /^(sent_total|up|open|nano_messaging_\w+) /.test(line));

describe('MetricsOfWorkers', () => {
  const counts = { wanted: 2, running: 1, restarts: 3 };

  it('adds up counters and gauges, or takes the smallest, as each metric says', async () => {
    const metrics = new MetricsOfWorkers(counts);
    metrics.update(1, await exportOf(5, 1));
    metrics.update(2, await exportOf(7, 0));
    expect(await linesOf(metrics)).to.have.members([
      ...['nano_messaging_workers 1', 'nano_messaging_workers_wanted 2', 'nano_messaging_worker_restarts_total 3'],
      ...['sent_total 12', 'up 0', 'open 2'],
    ]);
  });

  it('keeps the counters of a worker that has ended, but not its gauges', async () => {
    const metrics = new MetricsOfWorkers(counts);
    metrics.update(1, await exportOf(5, 1));
    metrics.update(2, await exportOf(7, 0));
    metrics.end(2);
    metrics.end(3);
    expect(await linesOf(metrics)).to.include.members(['sent_total 12', 'up 1', 'open 1']);
    metrics.update(4, await exportOf(1, 1));
    expect(await linesOf(metrics)).to.include.members(['sent_total 13', 'up 1', 'open 2']);
  });
});
