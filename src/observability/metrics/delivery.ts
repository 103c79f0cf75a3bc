import { Counter, Histogram, type Registry } from 'prom-client';
import type { FeedEvents } from '../../core/feed/change-sequencer.ts';
import type { InboxEvents } from '../../features/inbox/inbox.ts';
import type { SendEvents } from '../../features/messages/send-request.ts';
import { FastHistogram, registerCounter, toSingleValue } from './fast-metrics.ts';

export interface DeliveryMetrics {
  sends: SendEvents;
  feeds: Omit<FeedEvents, 'failed' | 'unknownKind'>;
  inbox: Pick<InboxEvents, 'delivered' | 'polled'>;
  bus: { lost(): void; rejected(): void; leaseFailed(): void };
}

/**
 * Creates the metrics that follow a message from its sender to the subscribers. `clockOffsetMs` returns how far the clock
 * of the database is ahead of this node's clock.
 */
export function createDeliveryMetrics(registers: Registry[], clockOffsetMs: () => number): DeliveryMetrics {
  return {
    sends: createSendMetrics(registers),
    feeds: createFeedMetrics(registers, clockOffsetMs),
    inbox: createInboxMetrics(registers),
    bus: createBusMetrics(registers),
  };
}

function createSendMetrics(registers: Registry[]): SendEvents {
  const batchMessages = new Histogram({
    name: 'nano_messaging_commit_messages',
    help: 'Messages in one commit.',
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000],
    registers,
  });
  const batchSeconds = new Histogram({
    name: 'nano_messaging_commit_duration_seconds',
    help: 'Duration of one commit.',
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5],
    registers,
  });
  const sendSeconds = new FastHistogram({
    name: 'nano_messaging_send_duration_seconds',
    help: "Time of a stored message on its sender's node: from its place in the queue until it is stored, delivered to the subscribers on this node and acknowledged.",
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  }).withLabels();
  let stored = 0;
  let deduplicated = 0;
  registerCounter({
    name: 'nano_messaging_messages_stored_total',
    help: 'Messages that this node has stored.',
    registers,
    read: () => toSingleValue(stored),
  });
  registerCounter({
    name: 'nano_messaging_messages_deduplicated_total',
    help: 'Sends that the room log already had, by their client_msg_id.',
    registers,
    read: () => toSingleValue(deduplicated),
  });
  return {
    committed(messages, seconds) {
      batchMessages.observe(messages);
      batchSeconds.observe(seconds);
    },
    stored(seconds) {
      stored += 1;
      sendSeconds.observe(seconds);
    },
    deduplicated() {
      deduplicated += 1;
    },
  };
}

function createFeedMetrics(
  registers: Registry[],
  clockOffsetMs: () => number,
): Omit<FeedEvents, 'failed' | 'unknownKind'> {
  const repaired = new Counter({
    name: 'nano_messaging_feed_repaired_total',
    help: 'Changes that were read from the log because they did not arrive over Redis.',
    registers,
  });
  const reordered = new Counter({
    name: 'nano_messaging_feed_reordered_total',
    help: 'Changes that arrived ahead of an earlier change.',
    registers,
  });
  const reconciled = new Counter({
    name: 'nano_messaging_feed_reconciled_total',
    help: 'Rooms that a reconciliation found behind their log.',
    registers,
  });
  const latency = new FastHistogram({
    name: 'nano_messaging_delivery_latency_seconds',
    help: 'Time from when a change got its number in the database until it is delivered to the subscribers on this node. The origin is remote if another node sent the change, or log if it was read from the log.',
    buckets: [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  });
  const seconds = { remote: latency.withLabels({ origin: 'remote' }), log: latency.withLabels({ origin: 'log' }) };
  return {
    repaired: (changes) => repaired.inc(changes),
    reordered: () => reordered.inc(),
    reconciled: () => reconciled.inc(),
    delivered(at, origin) {
      // Changes of this node are measured by `nano_messaging_send_duration_seconds`, which is more precise, because it
      // needs only the clock of the node.
      if (origin === 'here') return;
      seconds[origin].observe(Math.max(0, Date.now() + clockOffsetMs() - at) / 1_000);
    },
  };
}

function createInboxMetrics(registers: Registry[]): DeliveryMetrics['inbox'] {
  const lag = new FastHistogram({
    name: 'nano_messaging_inbox_lag_seconds',
    help: 'Time from the poll before the one that found a change until an inbox receives it: at most this long after the commit.',
    buckets: [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30],
    registers,
  }).withLabels();
  let items = 0;
  let rows = 0;
  registerCounter({
    name: 'nano_messaging_inbox_items_total',
    help: 'Items that were sent to open inboxes because something changed.',
    registers,
    read: () => toSingleValue(items),
  });
  registerCounter({
    name: 'nano_messaging_inbox_polled_rows_total',
    help: 'Changes that the polls of this node found in the journal.',
    registers,
    read: () => toSingleValue(rows),
  });
  return {
    delivered(seconds) {
      items += 1;
      lag.observe(seconds);
    },
    polled(found) {
      rows += found;
    },
  };
}

function createBusMetrics(registers: Registry[]): DeliveryMetrics['bus'] {
  const lost = new Counter({
    name: 'nano_messaging_publish_failures_total',
    help: 'Changes that did not reach the other nodes.',
    registers,
  });
  const rejected = new Counter({
    name: 'nano_messaging_bus_invalid_messages_total',
    help: 'Messages from Redis that are not changes.',
    registers,
  });
  const leaseFailed = new Counter({
    name: 'nano_messaging_connection_lease_failures_total',
    help: 'Connections of users that Redis refused to count.',
    registers,
  });
  return { lost: () => lost.inc(), rejected: () => rejected.inc(), leaseFailed: () => leaseFailed.inc() };
}
