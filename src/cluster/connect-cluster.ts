import { randomBytes } from 'node:crypto';
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import type { Logger } from 'pino';
import { createLocalRoomBus } from '../core/bus.ts';
import { type EphemeralBus, noEphemeralBus } from '../core/ephemeral.ts';
import { noSignals } from '../core/signals.ts';
import { createFailureLog } from '../observability/failure-log.ts';
import { connectWorkers } from './connect-workers.ts';
import { createNodeList } from './node-list.ts';
import { describeRedis, findHint, type RedisKind } from './redis-connection.ts';
import { ReplicaError } from './redis-health.ts';
import { RedisPubSub } from './redis-pubsub.ts';
import {
  type ConnectionLeases,
  createConnectionLeases,
  createSharedSpending,
  type SharedSpending,
} from './shared-limits.ts';
import { type BusEvents, createSocketioRoomBus, type NodesAdapter, type SocketioRoomBus } from './socketio-room-bus.ts';
import type { WorkerLink } from './worker-link.ts';

export type AdapterChoice = 'auto' | 'sharded' | 'classic';

export interface RedisSettings {
  /** The address of one server, or the addresses of several nodes of a Redis Cluster. */
  urls: readonly string[];
  adapter: AdapterChoice;
  prefix: string;
}

interface Collaborators {
  settings: RedisSettings;
  /** The id of the service. All its nodes use the same id; other services on the same Redis use other ids. */
  service: string;
  logger: Logger;
  events: BusEvents & { lost(): void; leaseFailed(): void };
}

/**
 * The link to the other nodes. While Redis is unavailable, this node works alone, and reads the changes of the other
 * nodes from the room log when it reconciles.
 */
export interface RedisNodes extends Pick<SocketioRoomBus, 'bus' | 'signals'> {
  leases: ConnectionLeases;
  /** Counts what users have spent from their buckets on all nodes. */
  spending: SharedSpending;
  ephemeral: EphemeralBus;
  readonly isUp: boolean;
  /** The number and the size of the messages in flight to Redis. */
  readonly pendingPublishes: { messages: number; bytes: number };
  /** The number of ephemeral messages that were dropped or lost. */
  readonly droppedPublishes: number;
  close(): Promise<void>;
}

/** Connects a node with the other nodes. A node that runs alone has no `leases` and no `spending`. */
export type Cluster = Pick<
  RedisNodes,
  'bus' | 'signals' | 'ephemeral' | 'isUp' | 'pendingPublishes' | 'droppedPublishes' | 'close'
> &
  Partial<Pick<RedisNodes, 'leases' | 'spending'>>;

interface ClusterOptions {
  /** Undefined if there are no other nodes. */
  settings: RedisSettings | undefined;
  /** Undefined if this process is the only worker of its node. */
  link: WorkerLink | undefined;
  identify: () => Promise<string>;
  events: Omit<Collaborators['events'], 'failed'>;
  logger: Logger;
}

/** With Redis, all workers are connected through Redis, as if each were a node. */
export async function connectCluster({ settings, link, identify, events, logger }: ClusterOptions): Promise<Cluster> {
  const failed = (error: unknown) => logger.error({ err: error }, 'a change could not be delivered');
  if (settings) {
    return connectRedisNodes({ settings, service: await identify(), logger, events: { ...events, failed } });
  }
  if (link) return connectWorkers({ link, logger, events: { ...events, failed } });
  return {
    bus: createLocalRoomBus(failed),
    signals: noSignals,
    ephemeral: noEphemeralBus,
    isUp: true,
    pendingPublishes: { messages: 0, bytes: 0 },
    droppedPublishes: 0,
    close: async () => {},
  };
}

/**
 * How long a starting node waits for Redis. If Redis is still unavailable after this time, the node starts without it.
 */
const startTimeoutMs = 3_000;
const retryDelayMs = 1_000;
const upMessage = 'bus connected';

export async function connectRedisNodes({ settings, service, logger, events }: Collaborators): Promise<RedisNodes> {
  const nodeId = randomBytes(6).toString('hex');
  const prefix = `${settings.prefix}:${service}`;
  const roomBus = createSocketioRoomBus(events, nodeId);
  const { bus, signals, attach, onSubscribed, onLost, onResumed, close } = roomBus;
  let pubsub: RedisPubSub | undefined;
  const connectionLog = createFailureLog(logger, {
    failing: 'bus disconnected; changes of other nodes arrive by reconciliation',
    recovered: upMessage,
  });
  const publishLog = createFailureLog(logger, {
    failing: 'publish failed; other nodes receive the change by reconciliation',
    recovered: 'publishing works again',
  });
  const leaseLog = createFailureLog(logger, {
    failing: 'counting user connections in Redis failed; each node counts its own',
    recovered: 'user connections are counted in Redis again',
  });
  const leases = createConnectionLeases(() => pubsub, nodeId, prefix, {
    failed(error) {
      events.leaseFailed();
      leaseLog.failed(error, findHint(error));
    },
    recovered: leaseLog.recovered,
  });
  const spendingLog = createFailureLog(logger, {
    failing: 'counting user requests in Redis failed; each node counts its own',
    recovered: 'user requests are counted in Redis again',
  });
  const spending = createSharedSpending(() => pubsub, prefix, {
    failed: (error) => spendingLog.failed(error, findHint(error)),
    recovered: spendingLog.recovered,
  });
  const nodeListLog = createFailureLog(logger, {
    failing: 'listing this node in Redis failed; presence is partial',
    recovered: 'this node is listed in Redis again',
  });
  const nodeList = createNodeList(() => pubsub, nodeId, prefix, {
    failed: (error) => nodeListLog.failed(error, findHint(error)),
    recovered: nodeListLog.recovered,
  });
  let hasEnded = false;
  let resolveFirstUp = () => {};
  const firstUp = new Promise<void>((resolve) => {
    resolveFirstUp = resolve;
  });

  async function open(): Promise<void> {
    const kind = await describeRedis(settings.urls);
    if (hasEnded) return;
    const adapter = chooseAdapter(kind, settings.adapter);
    pubsub = new RedisPubSub(kind, `${prefix}:beat:${nodeId}`, {
      onUp() {
        const fields = { adapter, cluster: kind.isCluster };
        if (!connectionLog.recovered(fields)) logger.info(fields, upMessage);
        resolveFirstUp();
        leases.renewAll();
        onResumed();
      },
      onDown: (error, channel) => connectionLog.failed(error, { ...(channel && { channel }), ...findHint(error) }),
      onMissed: onResumed,
      onSubscribed,
      onRejected: events.rejected,
      onLost(error) {
        onLost();
        if (error instanceof ReplicaError) return; // `onDown` has already reported this error.
        events.lost();
        publishLog.failed(error, findHint(error));
      },
      onPublished: publishLog.recovered,
    });
    const publishDroppable = pubsub.publishDroppable.bind(pubsub);
    attach({ adapter: createNodesAdapter(pubsub, adapter, prefix), publishDroppable });
  }

  async function openWithRetry(): Promise<void> {
    const openLog = createFailureLog(logger, {
      failing: 'connecting to Redis failed; retrying',
      recovered: 'connected to Redis',
      level: 'error',
    });
    while (!hasEnded && !pubsub) {
      try {
        await open();
        openLog.recovered();
      } catch (error) {
        openLog.failed(error, findHint(error));
        await sleep(retryDelayMs);
      }
    }
  }

  void openWithRetry();
  await Promise.race([firstUp, sleep(startTimeoutMs)]);
  return {
    ...{ bus, signals, leases, spending },
    ephemeral: {
      ...roomBus.ephemeral,
      ...nodeList,
      get isUp() {
        return pubsub?.isUp ?? false;
      },
    },
    get droppedPublishes() {
      return pubsub?.droppedPublishes ?? 0;
    },
    get isUp() {
      return pubsub?.isUp ?? false;
    },
    get pendingPublishes() {
      return pubsub?.pendingPublishes ?? { messages: 0, bytes: 0 };
    },
    async close() {
      hasEnded = true;
      leases.stop();
      close();
      await pubsub?.close();
    },
  };
}

/**
 * `auto` chooses the sharded adapter if Redis supports it. Nodes that use different adapters do not reach each other.
 */
function chooseAdapter({ hasShardedPubSub }: RedisKind, choice: AdapterChoice): Exclude<AdapterChoice, 'auto'> {
  if (choice !== 'auto') return choice;
  return hasShardedPubSub ? 'sharded' : 'classic';
}

function createNodesAdapter(pubsub: RedisPubSub, kind: Exclude<AdapterChoice, 'auto'>, prefix: string): NodesAdapter {
  return kind === 'sharded'
    ? createShardedAdapter(pubsub, pubsub, { channelPrefix: prefix, subscriptionMode: 'dynamic' })
    : createAdapter(pubsub, createRoomsOnlyClient(pubsub), { key: prefix });
}

/**
 * Returns a client whose `subscribe` does nothing. The classic adapter would use `subscribe` to receive requests from
 * other nodes. Our nodes send no such requests, and if somebody else sent one, an error in the adapter's answer would be
 * an uncaught exception.
 */
function createRoomsOnlyClient(pubsub: RedisPubSub) {
  return {
    pSubscribe: pubsub.pSubscribe.bind(pubsub),
    pUnsubscribe: pubsub.pUnsubscribe.bind(pubsub),
    async subscribe() {},
    async unsubscribe() {},
    on: pubsub.on.bind(pubsub),
    off: pubsub.off.bind(pubsub),
  };
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
