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
 * Default metrics of prom-client that are removed. Each request for the metrics would list every socket of the process.
 * Besides, the gauges among them end in `_total`, a suffix that is reserved for counters.
 */
const expensiveMetrics = ['active_handles', 'active_requests', 'active_resources'].flatMap((what) => [
  `nodejs_${what}`,
  `nodejs_${what}_total`,
]);

export function registerProcessMetrics(registry: Registry, { version, name, database }: NodeInfo): void {
  collectDefaultMetrics({ register: registry });
  for (const name of expensiveMetrics) registry.removeSingleMetric(name);
  const registers = [registry];
  new Gauge({
    name: 'nano_messaging_node_info',
    help: 'Always 1: what the node is.',
    labelNames: ['version', 'name', 'database'],
    registers,
  }).set({ version, name, database }, 1);
  registerCounter({
    name: 'nano_messaging_event_loop_busy_seconds_total',
    help: 'Time in which the event loop did not wait for something to do: all of it, and the node is at its limit.',
    registers,
    read: () => toSingleValue(performance.eventLoopUtilization().active / 1_000),
  });
}
