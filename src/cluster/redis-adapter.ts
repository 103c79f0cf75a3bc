import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import type { RedisKind } from './redis-connection.ts';
import type { RedisPubSub } from './redis-pubsub.ts';
import type { NodesAdapter } from './socketio-room-bus.ts';

export type AdapterChoice = 'auto' | 'sharded' | 'classic';

/** `auto` takes the sharded one where Redis has it. Nodes that use different ones do not hear each other. */
export function chooseAdapter({ hasShardedPubSub }: RedisKind, choice: AdapterChoice): Exclude<AdapterChoice, 'auto'> {
  if (choice !== 'auto') return choice;
  return hasShardedPubSub ? 'sharded' : 'classic';
}

export function createNodesAdapter(
  pubsub: RedisPubSub,
  kind: Exclude<AdapterChoice, 'auto'>,
  prefix: string,
): NodesAdapter {
  return kind === 'sharded'
    ? createShardedAdapter(pubsub, pubsub, { channelPrefix: prefix, subscriptionMode: 'dynamic' })
    : createAdapter(pubsub, createRoomsOnlyClient(pubsub), { key: prefix });
}

/** Nodes ask one another nothing, and the classic adapter's answers to requests fail where nobody catches it. */
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
