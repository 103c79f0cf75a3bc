import { Histogram, type Registry } from 'prom-client';
import { type Cell, registerCounter, registerGauge } from './fast-metrics.ts';

type Outcome = 'delivered' | 'failed' | 'suspended' | 'refused';

interface EndpointGauges {
  isSuspended: boolean;
  oldestMs: number;
  roomsBehind: number;
  roomsParked: number;
}

export interface WebhookMetrics {
  webhooks: {
    requested(webhook: string, outcome: Outcome, seconds: number): void;
    delivered(webhook: string, changes: number, seconds: number): void;
    /** Registers the gauges. `read` returns the endpoints for which this node dispatches. */
    watch(read: () => ReadonlyMap<string, EndpointGauges>): void;
  };
}

/** Creates the metrics of webhooks and consumers. Only the node that dispatches for an endpoint has its gauges. */
export function createWebhookMetrics(registers: Registry[]): WebhookMetrics {
  const requests = new Map<string, { webhook: string; result: Outcome; count: number }>();
  const changes = new Map<string, number>();
  const labelNames = ['webhook'] as const;
  registerCounter({
    registers,
    name: 'nano_messaging_webhook_requests_total',
    help: 'Requests to webhooks, by what became of them.',
    labelNames: ['webhook', 'result'],
    read: () => [...requests.values()].map(({ count, ...labels }): Cell => [labels, count]),
  });
  registerCounter({
    registers,
    name: 'nano_messaging_webhook_changes_total',
    help: 'Changes that webhooks have acknowledged.',
    labelNames,
    read: () => [...changes].map(([webhook, count]): Cell => [{ webhook }, count]),
  });
  const requestSeconds = new Histogram({
    name: 'nano_messaging_webhook_request_duration_seconds',
    help: 'Time until a webhook answered, or the request failed.',
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60],
    registers,
  });
  const delaySeconds = new Histogram({
    name: 'nano_messaging_webhook_delay_seconds',
    help: 'Time from the oldest change of a request to its acknowledgement; it is overestimated by up to the poll interval.',
    buckets: [0.1, 0.2, 0.4, 0.8, 1.5, 3, 10, 60, 600, 3_600],
    registers,
  });
  return {
    webhooks: {
      requested(webhook, result, seconds) {
        const key = `${webhook} ${result}`;
        const counter = requests.get(key) ?? { webhook, result, count: 0 };
        counter.count += 1;
        requests.set(key, counter);
        requestSeconds.observe(seconds);
      },
      delivered(webhook, count, seconds) {
        changes.set(webhook, (changes.get(webhook) ?? 0) + count);
        delaySeconds.observe(seconds);
      },
      watch(read) {
        const gauges: [string, string, (gauges: EndpointGauges) => number][] = [
          [
            'oldest_undelivered_seconds',
            'Age of the oldest change that the webhook has not acknowledged; parked rooms do not count. Only on the node that dispatches.',
            ({ oldestMs }) => oldestMs / 1_000,
          ],
          [
            'rooms_behind',
            'Rooms with changes that the webhook has not acknowledged.',
            ({ roomsBehind }) => roomsBehind,
          ],
          [
            'rooms_parked',
            'Rooms that the webhook has refused for WEBHOOK_RETRY_HOURS.',
            ({ roomsParked }) => roomsParked,
          ],
          [
            'suspended',
            '1 after the webhook has answered 410, until it is resumed.',
            ({ isSuspended }) => Number(isSuspended),
          ],
        ];
        for (const [name, help, toValue] of gauges) {
          registerGauge({
            ...{ registers, name: `nano_messaging_webhook_${name}`, help, labelNames },
            read: () => [...read()].map(([webhook, stats]): Cell => [{ webhook }, toValue(stats)]),
          });
        }
      },
    },
  };
}
