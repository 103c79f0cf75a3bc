import type { RoomId } from '../../core/ids.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import { runPeriodically } from '../../core/periodic.ts';
import type { WebhookEventName } from '../../core/webhook-events.ts';
import { type Lease, openLease } from '../../database/lease.ts';
import type { Store } from '../../database/store.ts';
import { Dispatcher, type DispatcherEvents } from './dispatcher.ts';
import { forgetEvents, registerEndpoint } from './positions.ts';
import type { Receiver } from './receiver.ts';
import type { WebhookTimeouts } from './timeouts.ts';

export interface EndpointOptions {
  store: Pick<Store, 'query' | 'transaction' | 'isExclusive'>;
  log: Pick<RoomLog, 'snapshot'>;
  name: string;
  /** Undefined means all. */
  events: readonly WebhookEventName[] | undefined;
  receiver: Receiver;
  nodeName: string;
  reports: DispatcherEvents;
  timeouts: WebhookTimeouts;
  /** Resolves when the journal is being read: every later change will be found. */
  startJournal(): Promise<void>;
}

export type EndpointStats = Dispatcher['stats'];

/** An endpoint on this node, which dispatches for it only while it has the lease. */
export interface Endpoint {
  readonly name: string;
  readonly hasLease: boolean;
  readonly isDispatching: boolean;
  readonly isBusy: boolean;
  readonly stats: EndpointStats;
  touch(rooms: Iterable<RoomId>, since: number): void;
  /** Compares all positions, because the journal may have missed something. */
  compare(): void;
  /** An administrator has changed positions, or the state of the endpoint. */
  reload(): void;
  close(): Promise<void>;
}

export const toLeaseName = (name: string) => `webhook:${name}`;

/** Registers the name if it is new, and competes for the lease. */
export async function openEndpoint(options: EndpointOptions): Promise<Endpoint> {
  const { store, log, name, receiver, timeouts, reports, startJournal } = options;
  const { id } = await registerEndpoint(store, name);
  const lease = toLeaseName(name);
  const events = options.events && new Set(options.events);
  const dispatcher = new Dispatcher({
    ...{ store, log, lease, receiver, timeouts },
    endpoint: { id, name, events },
    events: reports,
    onFenced: (token) => holder.giveUp(token),
  });
  let stopPeriodic: (() => void)[] = [];

  async function start(token: string): Promise<void> {
    try {
      await startJournal();
    } catch (error) {
      reports.database.failed(error);
      setTimeout(() => holder.token === token && void start(token), timeouts.idlePollMs).unref();
      return;
    }
    if (holder.token !== token) return;
    stopPeriodic = [
      runPeriodically(timeouts.compareMs, () => dispatcher.compare(), reports.database),
      runPeriodically(timeouts.forgetEventsMs, () => forgetEvents(store), reports.database),
    ];
    await dispatcher.start(token);
  }

  function stop(): void {
    for (const stopTask of stopPeriodic) stopTask();
    stopPeriodic = [];
    dispatcher.stop();
  }

  const holder: Lease = openLease({
    ...{ store, name: lease, holder: options.nodeName, timeouts },
    onAcquired: (token) => void start(token),
    onLost: stop,
    onError: reports.database.failed,
  });

  return {
    name,
    get hasLease() {
      return holder.token !== undefined;
    },
    get isDispatching() {
      return dispatcher.isRunning;
    },
    get isBusy() {
      return dispatcher.isBusy;
    },
    get stats() {
      return dispatcher.stats;
    },
    touch: (rooms, since) => dispatcher.touch(rooms, since),
    compare: () => void dispatcher.compare(),
    reload: () => void dispatcher.reload(),
    async close() {
      await waitAtMost(timeouts.finishMs, dispatcher.finish());
      stop();
      receiver.close();
      // If the database does not answer, the lease ends by itself.
      await waitAtMost(timeouts.finishMs, holder.close());
    },
  };
}

async function waitAtMost(ms: number, task: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([task, late]).finally(() => clearTimeout(timer));
}
