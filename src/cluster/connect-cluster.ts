import type { Logger } from 'pino';
import { createLocalRoomBus } from '../core/bus.ts';
import { noEphemeralBus } from '../core/ephemeral.ts';
import { noSignals } from '../core/signals.ts';
import { connectRedisNodes, type RedisNodes } from './redis-cluster.ts';

type RedisOptions = Parameters<typeof connectRedisNodes>[0];

/** The services that connect a node with the other nodes. A node that runs alone has no `leases` and no `spending`. */
export type Cluster = Pick<
  RedisNodes,
  'bus' | 'signals' | 'ephemeral' | 'isUp' | 'pendingPublishes' | 'droppedPublishes' | 'close'
> &
  Partial<Pick<RedisNodes, 'leases' | 'spending'>>;

interface ClusterOptions {
  /** Undefined if the node runs alone. */
  settings: RedisOptions['settings'] | undefined;
  identify: () => Promise<RedisOptions['service']>;
  events: Omit<RedisOptions['events'], 'failed'>;
  logger: Logger;
}

export async function connectCluster({ settings, identify, events, logger }: ClusterOptions): Promise<Cluster> {
  const failed = (error: unknown) => logger.error({ err: error }, 'a change could not be delivered');
  if (settings) {
    return connectRedisNodes({ settings, service: await identify(), logger, events: { ...events, failed } });
  }
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
