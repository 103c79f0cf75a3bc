import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { Registry } from 'prom-client';
import type { Config } from '../config/config.ts';
import type { LimitEvents } from '../core/limits/request-limits.ts';
import type { RestMetrics } from '../transports/http/request-metrics.ts';
import type { LiveMetrics } from '../transports/live-context.ts';
import { type DeliveryMetrics, deliveryMetrics } from './metrics/delivery.ts';
import { type Sizes, sizeMetrics } from './metrics/gauges.ts';
import { processMetrics } from './metrics/process.ts';
import { trafficMetrics } from './metrics/traffic.ts';

export interface Metrics extends DeliveryMetrics {
  live: LiveMetrics;
  rest: RestMetrics;
  limits: LimitEvents;
  /** From now on these are shown, too. */
  watch(sizes: Sizes): void;
  /** All of them, as Prometheus reads them. */
  contentType: string;
  text(): Promise<string>;
}

export function metrics({ nodeName = '', database }: Pick<Config, 'nodeName' | 'database'>): Metrics {
  const registry = new Registry();
  const registers = [registry];
  processMetrics(registry, { version: ownVersion(), name: nodeName, database: database.mode });
  let clockOffsetMs = () => 0;
  return {
    ...trafficMetrics(registers),
    ...deliveryMetrics(registers, () => clockOffsetMs()),
    watch(sizes) {
      clockOffsetMs = sizes.clockOffsetMs;
      sizeMetrics(registers, sizes);
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}

function ownVersion(): string {
  return (JSON.parse(readFileSync(findPackageJSON(import.meta.url)!, 'utf8')) as { version: string }).version;
}
