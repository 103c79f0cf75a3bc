import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { createFailureLog } from '../observability/failure-log.ts';
import { type ConnectionLeases, redisLeases } from './connection-leases.ts';
import { type AdapterChoice, adapterKind, adapterOver } from './redis-adapter.ts';
import { describeRedis } from './redis-connection.ts';
import { hintFor } from './redis-hints.ts';
import { RedisLine, ReplicaError } from './redis-pubsub.ts';
import { type SharedSpending, sharedSpending } from './shared-spending.ts';
import { type BusEvents, type SocketioRoomBus, socketioRoomBus } from './socketio-room-bus.ts';

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
export interface RedisNodes extends Pick<SocketioRoomBus, 'bus' | 'calls'> {
  leases: ConnectionLeases;
  /** What users have taken from their buckets on all nodes. */
  spending: SharedSpending;
  readonly isUp: boolean;
  /** What is on its way to Redis. */
  readonly publishing: { messages: number; bytes: number };
  close(): Promise<void>;
}

/** A start does not fail for want of Redis, nor wait for it longer than this. */
const startPatienceMs = 3_000;
const retryMs = 1_000;
const isUpText = 'the line to the other nodes is up';

export async function redisNodes({ settings, service, logger, events }: Collaborators): Promise<RedisNodes> {
  const nodeId = randomBytes(6).toString('hex');
  const prefix = `${settings.prefix}:${service}`;
  const { bus, calls, attach, subscribed, lost, resumed, close } = socketioRoomBus(events);
  let line: RedisLine | undefined;
  const lineLog = createFailureLog(logger, {
    failing: 'the line to the other nodes is down; the sweep stands in for it',
    recovered: isUpText,
  });
  const publishLog = createFailureLog(logger, {
    failing: 'a change did not get to the other nodes; their sweep finds it',
    recovered: 'changes get to the other nodes again',
  });
  const leaseLog = createFailureLog(logger, {
    failing: 'connections of users cannot be counted in Redis; each node counts its own',
    recovered: 'connections of users are counted in Redis again',
  });
  const leases = redisLeases(() => line, nodeId, prefix, {
    failed(error) {
      events.leaseFailed();
      leaseLog.failed(error, hintFor(error));
    },
    recovered: leaseLog.recovered,
  });
  const spendingLog = createFailureLog(logger, {
    failing: 'requests of users cannot be counted in Redis; each node counts its own',
    recovered: 'requests of users are counted in Redis again',
  });
  const spending = sharedSpending(() => line, prefix, {
    failed: (error) => spendingLog.failed(error, hintFor(error)),
    recovered: spendingLog.recovered,
  });
  let hasEnded = false;
  let isUp = () => {};
  const firstUp = new Promise<void>((resolve) => {
    isUp = resolve;
  });

  async function open(): Promise<void> {
    const kind = await describeRedis(settings.urls);
    if (hasEnded) return;
    const adapter = adapterKind(kind, settings.adapter);
    line = new RedisLine(kind, `${prefix}:beat:${nodeId}`, {
      up() {
        const fields = { adapter, cluster: kind.isCluster };
        if (!lineLog.recovered(fields)) logger.info(fields, isUpText);
        isUp();
        leases.renewAll();
        resumed();
      },
      down: (error, channel) => lineLog.failed(error, { ...(channel && { channel }), ...hintFor(error) }),
      missed: resumed,
      subscribed,
      rejected: events.rejected,
      lost(error) {
        lost();
        if (error instanceof ReplicaError) return; // said by `down`
        events.lost();
        publishLog.failed(error, hintFor(error));
      },
      published: publishLog.recovered,
    });
    attach(adapterOver(line, adapter, prefix));
  }

  async function openAtLast(): Promise<void> {
    const openLog = createFailureLog(logger, {
      failing: 'Redis cannot be reached; trying again',
      recovered: 'Redis is reached',
      level: 'error',
    });
    while (!hasEnded && !line) {
      try {
        await open();
        openLog.recovered();
      } catch (error) {
        openLog.failed(error, hintFor(error));
        await pause(retryMs);
      }
    }
  }

  void openAtLast();
  await Promise.race([firstUp, pause(startPatienceMs)]);
  return {
    ...{ bus, calls, leases, spending },
    get isUp() {
      return line?.isUp ?? false;
    },
    get publishing() {
      return line?.publishing ?? { messages: 0, bytes: 0 };
    },
    async close() {
      hasEnded = true;
      leases.stop();
      close();
      await line?.close();
    },
  };
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
