import { performance } from 'node:perf_hooks';
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import { registerCounter, toSingleValue } from './fast-metrics.ts';

export interface NodeInfo {
  version: string;
  /** The setting `NODE_NAME`; empty if it is not set. */
  name: string;
  database: 'embedded' | 'postgres';
}

/**
 * Default metrics of prom-client that are removed, because they list every socket of the process at every scrape.
 * Besides, some of them are gauges with names in `_total`, and that suffix is reserved for counters.
 */
const expensiveMetrics = ['active_handles', 'active_requests', 'active_resources'].flatMap((name) => [
  `nodejs_${name}`,
  `nodejs_${name}_total`,
]);

export function registerProcessMetrics(registry: Registry, { version, name, database }: NodeInfo): void {
  collectDefaultMetrics({ register: registry });
  for (const name of expensiveMetrics) registry.removeSingleMetric(name);
  const registers = [registry];
  new Gauge({
    name: 'nano_messaging_node_info',
    help: 'Always 1. The labels describe the node.',
    labelNames: ['version', 'name', 'database'],
    registers,
  }).set({ version, name, database }, 1);
  registerCounter({
    name: 'nano_messaging_event_loop_busy_seconds_total',
    help: 'Time in which the event loop was busy. A node at its limit is busy all the time.',
    registers,
    read: () => toSingleValue(performance.eventLoopUtilization().active / 1_000),
  });
}
