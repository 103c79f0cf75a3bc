import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { Registry } from 'prom-client';
import type { Config } from '../config/config.ts';
import type { Contract } from '../core/feature.ts';
import type { LimitEvents } from '../core/limits/request-limits.ts';
import type { HttpMetrics } from '../transports/http/request-metrics.ts';
import type { LiveMetrics } from '../transports/live-context.ts';
import { createDeliveryMetrics, type DeliveryMetrics } from './metrics/delivery.ts';
import { createEphemeralMetrics, type EphemeralMetrics } from './metrics/ephemeral.ts';
import { type GaugeSources, registerGauges } from './metrics/gauges.ts';
import { registerProcessMetrics } from './metrics/process.ts';
import { createReadMetrics, type ReadMetrics } from './metrics/reads.ts';
import { createTrafficMetrics } from './metrics/traffic.ts';
import { createWebhookMetrics, type WebhookMetrics } from './metrics/webhooks.ts';

export interface Metrics extends DeliveryMetrics, EphemeralMetrics, ReadMetrics, WebhookMetrics {
  live: LiveMetrics;
  http: HttpMetrics;
  limits: LimitEvents;
  /** Registers the gauges, which read their values from these sources. */
  watch(sources: GaugeSources): void;
  /** The media type of `text`. */
  contentType: string;
  /** Returns all metrics in the text format of Prometheus. Those of a worker include the other workers. */
  text(): Promise<string>;
  /** Returns the metrics of this process, for the primary process, which adds up those of all workers. */
  read(): Promise<object[]>;
}

export function createMetrics(
  { nodeName = '', database, worker }: Pick<Config, 'nodeName' | 'database'> & { worker?: number | undefined },
  contracts: readonly Contract[],
): Metrics {
  const registry = new Registry();
  const registers = [registry];
  registerProcessMetrics(registry, { version: readOwnVersion(), name: nodeName, database: database.mode, worker });
  let clockOffsetMs = () => 0;
  return {
    ...createTrafficMetrics(registers, contracts),
    ...createDeliveryMetrics(registers, () => clockOffsetMs()),
    ...createEphemeralMetrics(registers),
    ...createReadMetrics(registers),
    ...createWebhookMetrics(registers),
    watch(sources) {
      clockOffsetMs = sources.clockOffsetMs;
      registerGauges(registers, sources);
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
    read: () => registry.getMetricsAsJSON(),
  };
}

function readOwnVersion(): string {
  return (JSON.parse(readFileSync(findPackageJSON(import.meta.url)!, 'utf8')) as { version: string }).version;
}
