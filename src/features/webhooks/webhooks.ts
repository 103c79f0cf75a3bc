import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import { type Poll, touchKinds } from '../../core/log/journal.ts';
import { createJournalPoller } from '../../core/log/journal-poller.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import type { TaskReport } from '../../core/periodic.ts';
import { type WebhookEventName, webhookNameError, webhookNameShape } from '../../core/webhook-events.ts';
import type { Store } from '../../database/store.ts';
import type { ChangesListener, Consumer, ConsumerOptions } from './consumer.ts';
import { createConsumerReceiver } from './consumer-receiver.ts';
import type { DispatcherEvents } from './dispatcher.ts';
import { type Endpoint, type EndpointStats, openEndpoint } from './endpoint.ts';
import { createHttpReceiver } from './http-receiver.ts';
import type { Receiver } from './receiver.ts';
import { defaultTimeouts, type WebhookTimeouts } from './timeouts.ts';

export interface HttpEndpoint {
  name: string;
  url: string;
  secrets: readonly Uint8Array[];
  events: readonly WebhookEventName[] | undefined;
  timeoutMs: number;
}

export interface Webhooks {
  /** Registers new names, and begins to dispatch. */
  open(): Promise<void>;
  consume(options: ConsumerOptions, listener: ChangesListener): Promise<Consumer>;
  /** The URL of a configured endpoint; null for a consumer, and undefined for a name that is neither. */
  findUrl(name: string): string | null | undefined;
  /** How long a room is retried that an endpoint refuses. */
  readonly parkAfterMs: number;
  /** The endpoints for which this node dispatches. */
  readonly stats: ReadonlyMap<string, EndpointStats>;
  /** Begins no further requests, and lets other nodes dispatch. */
  close(): Promise<void>;
}

interface Collaborators {
  store: Pick<Store, 'query' | 'transaction' | 'onJournalWrite' | 'isExclusive'>;
  log: Pick<RoomLog, 'snapshot'>;
  endpoints: readonly HttpEndpoint[];
  nodeName: string;
  retryHours: number;
  createReports(name: string): DispatcherEvents;
  journalReport: TaskReport;
  timeouts?: Partial<WebhookTimeouts> | undefined;
}

export function createWebhooks(collaborators: Collaborators): Webhooks {
  const { store, log, endpoints, nodeName, retryHours, createReports } = collaborators;
  const timeouts = { ...defaultTimeouts, parkAfterMs: retryHours * 3_600_000, ...collaborators.timeouts };
  const running = new Map<string, Endpoint>();
  /** Names that are being registered, or that run. */
  const consumers = new Set<string>();
  let isClosed = false;
  let hasTouches = false;

  const journal = createJournalPoller({
    store,
    // From the lease on, because dispatching begins after the first poll.
    isNeeded: () => [...running.values()].some(({ hasLease }) => hasLease),
    chooseIntervalMs() {
      const isBusy = hasTouches || listDispatching().some((endpoint) => endpoint.isBusy);
      return (isBusy ? timeouts.busyPollMs : timeouts.idlePollMs) * (0.9 + Math.random() / 10);
    },
    onPoll,
    events: collaborators.journalReport,
  });

  const listDispatching = () => [...running.values()].filter(({ isDispatching }) => isDispatching);

  function onPoll({ touches, hasGap, since }: Poll): void {
    const rooms = new Set<RoomId>();
    let isChanged = false;
    for (const [what, room] of touches) {
      if (what <= touchKinds.rule) rooms.add(room);
      else if (what === touchKinds.webhooks) isChanged = true;
    }
    hasTouches = rooms.size > 0;
    for (const endpoint of running.values()) {
      endpoint.touch(rooms, since);
      if (isChanged) endpoint.reload();
      else if (hasGap) endpoint.compare();
    }
  }

  async function openOne(name: string, receiver: Receiver, events: readonly WebhookEventName[] | undefined) {
    const endpoint = await openEndpoint({
      ...{ store, log, name, receiver, events, nodeName, timeouts },
      reports: createReports(name),
      startJournal: () => journal.start(),
    });
    if (isClosed) await endpoint.close();
    else running.set(name, endpoint);
    return endpoint;
  }

  let closing: Promise<void> | undefined;
  async function closeAll(): Promise<void> {
    isClosed = true;
    journal.close();
    await Promise.all([...running.values()].map((endpoint) => endpoint.close()));
  }

  const findConfigured = (name: string) => endpoints.find((endpoint) => endpoint.name === name);

  return {
    async open() {
      for (const { name, url, secrets, events, timeoutMs } of endpoints)
        await openOne(name, createHttpReceiver({ url, secrets, timeoutMs }), events);
    },
    async consume({ name, events }, listener) {
      if (!webhookNameShape.test(name)) throw new TypeError(`name ${webhookNameError}`);
      if (findConfigured(name) || consumers.has(name))
        throw new TypeError(`name: ${name} is already the name of a webhook or a consumer of this server`);
      if (isClosed) throw new ChatError('UNAVAILABLE');
      consumers.add(name);
      try {
        const endpoint = await openOne(name, createConsumerReceiver(listener), events);
        return {
          async close() {
            if (running.get(name) !== endpoint) return;
            running.delete(name);
            await endpoint.close();
            consumers.delete(name);
          },
        };
      } catch (error) {
        consumers.delete(name);
        throw error;
      }
    },
    findUrl(name) {
      if (consumers.has(name)) return null;
      return findConfigured(name)?.url;
    },
    parkAfterMs: timeouts.parkAfterMs,
    get stats() {
      return new Map(listDispatching().map(({ name, stats }) => [name, stats]));
    },
    close() {
      closing ??= closeAll();
      return closing;
    },
  };
}
