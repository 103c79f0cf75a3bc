import { performance } from 'node:perf_hooks';
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import { registerCounter } from './fast-metrics.ts';

export interface NodeInfo {
  version: string;
  /** The setting `NODE_NAME`; empty if it is not set. */
  name: string;
  database: 'embedded' | 'postgres';
  /** The slot of the worker; undefined if the node has only this process. */
  worker: number | undefined;
}

/**
 * Default metrics of prom-client that are removed, because they list every socket of the process at every scrape.
 * Besides, some of them are gauges with names in `_total`, and that suffix is reserved for counters.
 */
const expensiveMetrics = ['active_handles', 'active_requests', 'active_resources'].flatMap((name) => [
  `nodejs_${name}`,
  `nodejs_${name}_total`,
]);

export function registerDefaultMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of expensiveMetrics) registry.removeSingleMetric(name);
}

export function registerProcessMetrics(registry: Registry, { version, name, database, worker }: NodeInfo): void {
  registerDefaultMetrics(registry);
  const registers = [registry];
  const labels: Record<string, string> = worker === undefined ? {} : { worker: String(worker) };
  new Gauge({
    name: 'nano_messaging_node_info',
    help: 'Always 1. The labels describe the node.',
    labelNames: ['version', 'name', 'database'],
    aggregator: 'first',
    registers,
  }).set({ version, name, database }, 1);
  registerCounter({
    name: 'nano_messaging_event_loop_busy_seconds_total',
    help: 'Time in which the event loop was busy. A process at its limit is busy all the time. With WORKERS, one series for each worker.',
    labelNames: Object.keys(labels),
    registers,
    read: () => [[labels, performance.eventLoopUtilization().active / 1_000]],
  });
}
