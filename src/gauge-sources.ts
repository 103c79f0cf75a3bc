import type { KeySet } from './auth/key-set.ts';
import type { Cluster } from './cluster/connect-cluster.ts';
import type { DatabaseClock } from './database/clock.ts';
import type { Store } from './database/store.ts';
import type { TransactionWatch } from './database/transaction-watch.ts';
import type { AppContext } from './features/app-context.ts';
import type { GaugeSources } from './observability/metrics/gauges.ts';
import type { LiveContext } from './transports/live-context.ts';

interface Sources {
  context: AppContext;
  liveContext: LiveContext;
  cluster: Cluster;
  store: Store;
  clock: DatabaseClock;
  keySet: KeySet | undefined;
  transactionWatch: TransactionWatch | undefined;
  gateway: { readonly sendBufferBytes: number; readonly deliveries: number; readonly dropped: number };
  chat: { readonly sendBufferBytes: number };
  chatBroadcaster: { readonly deliveries: number; readonly dropped: number };
}

/** Creates the functions that return the current values of the gauges. They are called at every scrape. */
export function createGaugeSources({ context, cluster, store, clock, keySet, ...sources }: Sources): GaugeSources {
  const { connections, limits, queuedRequests } = sources.liveContext;
  const { gateway, chat, chatBroadcaster, transactionWatch } = sources;
  return {
    isDraining: () => context.isDraining,
    unauthenticatedConnections: () => connections.unauthenticated,
    unauthenticatedConnectionsLimit: limits.unauthenticatedConnections,
    queuedRequests: () => queuedRequests.count,
    queuedMessages: () => context.queue.size,
    queuedMessagesLimit: context.queue.max,
    activeRooms: () => context.feeds.size,
    inbox: () => context.inbox,
    sendBufferBytes: () => ({ socketio: gateway.sendBufferBytes, chat: chat.sendBufferBytes }),
    deliveries: () => ({ socketio: gateway.deliveries, chat: chatBroadcaster.deliveries }),
    ephemeralDrops: () => ({
      ...{ socketio: gateway.dropped, chat: chatBroadcaster.dropped },
      bus: cluster.droppedPublishes,
    }),
    isBusUp: () => cluster.isUp,
    tokenKeys: () => ({ isUp: keySet?.isUp ?? true, ageMs: keySet?.ageMs ?? 0 }),
    pendingPublishes: () => cluster.pendingPublishes,
    database: () => ({ isUp: store.isUp, failures: store.failures, ...store.load }),
    clockOffsetMs: () => clock.offsetMs,
    deletedRooms: () => ({ ...context.rowRemoval.waiting, removedRows: context.rowRemoval.removedRows }),
    oldestTransactionMs: () => transactionWatch?.oldestMs ?? 0,
  };
}
