import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { createFailureLog } from '../observability/failure-log.ts';
import { type ConnectionLeases, createRedisLeases } from './connection-leases.ts';
import { type AdapterChoice, chooseAdapter, createNodesAdapter } from './redis-adapter.ts';
import { describeRedis } from './redis-connection.ts';
import { findHint } from './redis-hints.ts';
import { RedisPubSub, ReplicaError } from './redis-pubsub.ts';
import { createSharedSpending, type SharedSpending } from './shared-spending.ts';
import { type BusEvents, createSocketioRoomBus, type SocketioRoomBus } from './socketio-room-bus.ts';

export interface RedisSettings {
  /** One server, or several nodes of a Cluster. */
  urls: readonly string[];
  adapter: AdapterChoice;
  prefix: string;
}

interface Collaborators {
  settings: RedisSettings;
  /** The same for the nodes of one service, another one for another service on the same Redis. */
  service: string;
  logger: Logger;
  events: BusEvents & { lost(): void; leaseFailed(): void };
}

/** The other nodes, over Redis. While that is away this node is alone, and the sweep finds what the others have done. */
export interface RedisNodes extends Pick<SocketioRoomBus, 'bus' | 'signals'> {
  leases: ConnectionLeases;
  /** What users have taken from their buckets on all nodes. */
  spending: SharedSpending;
  readonly isUp: boolean;
  /** What is on its way to Redis. */
  readonly pendingPublishes: { messages: number; bytes: number };
  close(): Promise<void>;
}

/** A start does not fail for want of Redis, nor wait for it longer than this. */
const startTimeoutMs = 3_000;
const retryDelayMs = 1_000;
const upMessage = 'the line to the other nodes is up';

export async function connectRedisNodes({ settings, service, logger, events }: Collaborators): Promise<RedisNodes> {
  const nodeId = randomBytes(6).toString('hex');
  const prefix = `${settings.prefix}:${service}`;
  const { bus, signals, attach, onSubscribed, onLost, onResumed, close } = createSocketioRoomBus(events);
  let pubsub: RedisPubSub | undefined;
  const connectionLog = createFailureLog(logger, {
    failing: 'the line to the other nodes is down; the sweep stands in for it',
    recovered: upMessage,
  });
  const publishLog = createFailureLog(logger, {
    failing: 'a change did not get to the other nodes; their sweep finds it',
    recovered: 'changes get to the other nodes again',
  });
  const leaseLog = createFailureLog(logger, {
    failing: 'connections of users cannot be counted in Redis; each node counts its own',
    recovered: 'connections of users are counted in Redis again',
  });
  const leases = createRedisLeases(() => pubsub, nodeId, prefix, {
    failed(error) {
      events.leaseFailed();
      leaseLog.failed(error, findHint(error));
    },
    recovered: leaseLog.recovered,
  });
  const spendingLog = createFailureLog(logger, {
    failing: 'requests of users cannot be counted in Redis; each node counts its own',
    recovered: 'requests of users are counted in Redis again',
  });
  const spending = createSharedSpending(() => pubsub, prefix, {
    failed: (error) => spendingLog.failed(error, findHint(error)),
    recovered: spendingLog.recovered,
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
        if (error instanceof ReplicaError) return; // said by `down`
        events.lost();
        publishLog.failed(error, findHint(error));
      },
      onPublished: publishLog.recovered,
    });
    attach(createNodesAdapter(pubsub, adapter, prefix));
  }

  async function openWithRetry(): Promise<void> {
    const openLog = createFailureLog(logger, {
      failing: 'Redis cannot be reached; trying again',
      recovered: 'Redis is reached',
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

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
