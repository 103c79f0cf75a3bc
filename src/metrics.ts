import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { OrderEvents } from './rooms/change-order.ts';
import type { LiveMetrics } from './transports/live.ts';

export interface Metrics extends LiveMetrics {
  registry: Registry;
  batch(messages: number, seconds: number): void;
  feeds: Omit<OrderEvents, 'failed'>;
  nodes: { lost(): void; rejected(): void };
  refusedByRest(code: string): void;
  /** Read whenever the metrics are. */
  watch(sizes: { waitingMessages: () => number; servedRooms: () => number; nodesUp: () => number }): void;
}

export function metrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const open = new Gauge({
    name: 'nano_connections',
    help: 'Live connections with a token, or on /chat still without one.',
    labelNames: ['transport'],
    registers,
  });
  const refusals = new Counter({
    name: 'nano_refusals_total',
    help: 'Requests that were refused.',
    labelNames: ['transport', 'code'],
    registers,
  });
  const batchMessages = new Histogram({
    name: 'nano_batch_messages',
    help: 'Messages of one commit.',
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000],
    registers,
  });
  const batchSeconds = new Histogram({
    name: 'nano_batch_seconds',
    help: 'Time of one commit.',
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5],
    registers,
  });
  const repaired = new Counter({ name: 'nano_feed_repaired_total', help: 'Changes read from the log.', registers });
  const reordered = new Counter({ name: 'nano_feed_reordered_total', help: 'Changes that came early.', registers });
  const swept = new Counter({
    name: 'nano_feed_swept_total',
    help: 'Rooms that a sweep found behind their log.',
    registers,
  });
  const lost = new Counter({
    name: 'nano_publish_failures_total',
    help: 'Changes that did not get to the other nodes.',
    registers,
  });
  const rejected = new Counter({
    name: 'nano_nodes_rejected_total',
    help: 'What came over Redis and was no change.',
    registers,
  });
  return {
    registry,
    connected: (transport) => open.inc({ transport }),
    disconnected: (transport) => open.dec({ transport }),
    refused: (transport, code) => refusals.inc({ transport, code }),
    refusedByRest: (code) => refusals.inc({ transport: 'rest', code }),
    batch(messages, seconds) {
      batchMessages.observe(messages);
      batchSeconds.observe(seconds);
    },
    feeds: { repaired: (changes) => repaired.inc(changes), reordered: () => reordered.inc(), swept: () => swept.inc() },
    nodes: { lost: () => lost.inc(), rejected: () => rejected.inc() },
    watch({ waitingMessages, servedRooms, nodesUp }) {
      const gauges = [
        { name: 'nano_waiting_messages', help: 'Messages that wait for their commit.', read: waitingMessages },
        { name: 'nano_served_rooms', help: 'Rooms with members on this node.', read: servedRooms },
        { name: 'nano_nodes_up', help: '1 while the line to the other nodes works, or there is none.', read: nodesUp },
      ];
      for (const { name, help, read } of gauges) {
        new Gauge({
          ...{ name, help, registers },
          collect() {
            this.set(read());
          },
        });
      }
    },
  };
}
