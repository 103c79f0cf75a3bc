import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { type ConnectionLeases, redisLeases } from './connection-leases.ts';
import { type AdapterChoice, adapterKind, adapterOver } from './redis-adapter.ts';
import { describeRedis } from './redis-connection.ts';
import { RedisLine } from './redis-line.ts';
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
  events: BusEvents & { lost(): void };
}

/** The other nodes, over Redis. While that is away this node is alone, and the sweep finds what the others have done. */
export interface RedisNodes extends Pick<SocketioRoomBus, 'bus' | 'calls'> {
  leases: ConnectionLeases;
  readonly isUp: boolean;
  /** What is on its way to Redis. */
  readonly publishing: { messages: number; bytes: number };
  close(): Promise<void>;
}

/** A start does not fail for want of Redis, nor wait for it longer than this. */
const startPatienceMs = 3_000;
const retryMs = 1_000;

export async function redisNodes({ settings, service, logger, events }: Collaborators): Promise<RedisNodes> {
  const nodeId = randomBytes(6).toString('hex');
  const prefix = `${settings.prefix}:${service}`;
  const { bus, calls, attach, subscribed, lost, resumed, close } = socketioRoomBus(events);
  let line: RedisLine | undefined;
  const leases = redisLeases(() => line, nodeId, prefix);
  let hasEnded = false;
  let hasLost = false;
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
        hasLost = false;
        logger.info({ adapter, cluster: kind.isCluster }, 'the line to the other nodes is up');
        isUp();
        leases.renewAll();
        resumed();
      },
      down: (error) => logger.warn({ err: error }, 'the line to the other nodes is down; the sweep stands in for it'),
      missed: resumed,
      subscribed,
      rejected: events.rejected,
      lost(error) {
        events.lost();
        lost();
        if (!hasLost) logger.warn({ err: error }, 'a change did not get to the other nodes; their sweep finds it');
        hasLost = true;
      },
    });
    attach(adapterOver(line, adapter, prefix));
  }

  async function openAtLast(): Promise<void> {
    for (let tries = 0; !hasEnded && !line; tries++) {
      try {
        await open();
      } catch (error) {
        logger[tries === 0 ? 'error' : 'debug']({ err: error }, 'Redis cannot be reached; trying again');
        await pause(retryMs);
      }
    }
  }

  void openAtLast();
  await Promise.race([firstUp, pause(startPatienceMs)]);
  return {
    ...{ bus, calls, leases },
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
