import { randomBytes } from 'node:crypto';
import { type Logger, pino } from 'pino';
import { connectRedisNodes, type RedisNodes, type RedisSettings } from '../../src/cluster/connect-cluster.ts';
import type { BusMessage } from '../../src/core/log/change.ts';
import { closeLater } from './cleanup.ts';
import { waitUntil } from './wait-until.ts';

export interface BusNode extends RedisNodes {
  /** The rooms whose bus messages the node may have missed, in the order in which the bus reported them. */
  missed: (readonly number[] | 'all')[];
  lost: number;
  rejected: number;
  leaseFailures: number;
}

/**
 * Connects everything that a node has between itself and Redis, without the node. Nodes of the same service receive
 * each other's messages.
 */
export async function connectBusNode(
  settings: RedisSettings,
  service: string,
  logger: Logger = pino({ level: 'silent' }),
): Promise<BusNode> {
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
  const missed: BusNode['missed'] = [];
  nodes.bus.onMissed((rooms) => void missed.push(rooms ?? 'all'));
  return Object.defineProperties(nodes as BusNode, {
    missed: { value: missed },
    lost: { get: () => counts.lost },
    rejected: { get: () => counts.rejected },
    leaseFailures: { get: () => counts.leaseFailures },
  });
}

export async function connectBusNodes(
  count: number,
  url: string,
  adapter: RedisSettings['adapter'],
  { prefix = 'test', service = randomBytes(6).toString('hex') } = {},
): Promise<BusNode[]> {
  const settings = { urls: [url], adapter, prefix };
  const nodes = await Promise.all(Array.from({ length: count }, () => connectBusNode(settings, service)));
  for (const node of nodes) await waitUntil('the bus is up', () => node.isUp);
  return nodes;
}

const uuid = '00000000-0000-0000-0000-00000000000a';
const date = '2026-01-01T00:00:00.000Z';

export function createBusMessage(room_id: number, rev: number, content = `${rev}`): BusMessage {
  const message = { id: rev, room_id, seq: rev, emitter: uuid, content, client_msg_id: null, version: rev };
  return { kind: 'message', room_id, rev, at: rev, message: { ...message, createdAt: date, updatedAt: date } };
}

/**
 * Subscribes to a room. Resolves with the received messages as soon as the subscription to the room's channel is active.
 */
export async function subscribeIn(
  node: BusNode,
  room: number,
  adapter: RedisSettings['adapter'],
): Promise<BusMessage[]> {
  const received: BusMessage[] = [];
  node.bus.subscribe(room, (envelope) => void received.push(envelope));
  const isSubscribed = () => node.missed.some((rooms) => rooms !== 'all' && rooms.includes(room));
  // The classic adapter receives the messages of all rooms from the start.
  if (adapter === 'sharded') await waitUntil('the room is subscribed', isSubscribed);
  return received;
}
