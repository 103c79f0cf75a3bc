import { randomBytes } from 'node:crypto';
import { type Logger, pino } from 'pino';
import { connectRedisNodes, type RedisNodes, type RedisSettings } from '../../src/cluster/redis-cluster.ts';
import type { BusMessage } from '../../src/core/log/change.ts';
import { closeLater } from './cleanup.ts';
import { until } from './until.ts';

export interface BareNode extends RedisNodes {
  /** The rooms of which something may have been missed, in the order in which they were named. */
  missed: (readonly number[] | 'all')[];
  lost: number;
  rejected: number;
  leaseFailures: number;
}

/** What a node has between itself and Redis, without a node. Those of one service hear each other. */
export async function bareNode(
  settings: RedisSettings,
  service: string,
  logger: Logger = pino({ level: 'silent' }),
): Promise<BareNode> {
  const counts = { lost: 0, rejected: 0, leaseFailures: 0 };
  const nodes = await connectRedisNodes({
    ...{ settings, service, logger },
    events: {
      lost: () => void counts.lost++,
      rejected: () => void counts.rejected++,
      leaseFailed: () => void counts.leaseFailures++,
      failed(error) {
        throw error;
      },
    },
  });
  closeLater(() => nodes.close());
  const missed: BareNode['missed'] = [];
  nodes.bus.onMissed((rooms) => void missed.push(rooms ?? 'all'));
  return Object.defineProperties(nodes as BareNode, {
    missed: { value: missed },
    lost: { get: () => counts.lost },
    rejected: { get: () => counts.rejected },
    leaseFailures: { get: () => counts.leaseFailures },
  });
}

export async function bareNodes(
  count: number,
  url: string,
  adapter: RedisSettings['adapter'],
  { prefix = 'test', service = randomBytes(6).toString('hex') } = {},
): Promise<BareNode[]> {
  const settings = { urls: [url], adapter, prefix };
  const nodes = await Promise.all(Array.from({ length: count }, () => bareNode(settings, service)));
  for (const node of nodes) await until('the bus is up', () => node.isUp);
  return nodes;
}

const uuid = '00000000-0000-0000-0000-00000000000a';
const date = '2026-01-01T00:00:00.000Z';

export function messageIn(room_id: number, rev: number, content = `${rev}`): BusMessage {
  const message = { id: rev, room_id, seq: rev, emitter: uuid, content, client_msg_id: null };
  return { kind: 'message', room_id, rev, at: rev, message: { ...message, createdAt: date, updatedAt: date } };
}

/** What a node hears of a room, once the room's channel is there. */
export async function earIn(node: BareNode, room: number, adapter: RedisSettings['adapter']): Promise<BusMessage[]> {
  const heard: BusMessage[] = [];
  node.bus.subscribe(room, (envelope) => void heard.push(envelope));
  const isNamed = () => node.missed.some((rooms) => rooms !== 'all' && rooms.includes(room));
  // The classic adapter hears every room from the start.
  if (adapter === 'sharded') await until('the room is heard', isNamed);
  return heard;
}
