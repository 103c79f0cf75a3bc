import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import type { RedisKind } from './redis-connection.ts';
import type { RedisLine } from './redis-pubsub.ts';
import type { NodesAdapter } from './socketio-room-bus.ts';

export type AdapterChoice = 'auto' | 'sharded' | 'classic';

/** `auto` takes the sharded one where Redis has it. Nodes that use different ones do not hear each other. */
export function adapterKind({ hasShardedPubSub }: RedisKind, choice: AdapterChoice): Exclude<AdapterChoice, 'auto'> {
  if (choice !== 'auto') return choice;
  return hasShardedPubSub ? 'sharded' : 'classic';
}

export function adapterOver(line: RedisLine, kind: Exclude<AdapterChoice, 'auto'>, prefix: string): NodesAdapter {
  return kind === 'sharded'
    ? createShardedAdapter(line, line, { channelPrefix: prefix, subscriptionMode: 'dynamic' })
    : createAdapter(line, roomsOnly(line), { key: prefix });
}

/** Nodes ask one another nothing, and the classic adapter's answers to requests fail where nobody catches it. */
function roomsOnly(line: RedisLine) {
  return {
    pSubscribe: line.pSubscribe.bind(line),
    pUnsubscribe: line.pUnsubscribe.bind(line),
    async subscribe() {},
    async unsubscribe() {},
    on: line.on.bind(line),
    off: line.off.bind(line),
  };
}
