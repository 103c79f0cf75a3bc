import { hostname } from 'node:os';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { RoomBus } from '../core/bus.ts';
import type { EphemeralBroadcaster, EphemeralBus } from '../core/ephemeral.ts';
import { createFeedRegistry, type FeedRegistry } from '../core/feed/feed-registry.ts';
import type { Broadcaster } from '../core/feed/subscriber.ts';
import { createConcurrentReads } from '../core/limits/concurrent-reads.ts';
import { createRequestLimits } from '../core/limits/request-limits.ts';
import type { ShareSpending } from '../core/limits/token-buckets.ts';
import { createRightsCache } from '../core/log/rights-cache.ts';
import { createRoomLog } from '../core/log/room-log.ts';
import type { Store } from '../database/store.ts';
import { createFailureLog } from '../observability/failure-log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createUnknownKindLog } from '../observability/unknown-kind-log.ts';
import type { AppContext } from './app-context.ts';
import { createInbox } from './inbox/inbox.ts';
import { features } from './index.ts';
import { createAcceptanceQueue } from './members/acceptance-queue.ts';
import { createAppendAll } from './messages/append-all.ts';
import { createSendQueue } from './messages/send-queue.ts';
import { createSendRate } from './messages/send-rate.ts';
import { PresenceService } from './presence/presence.ts';
import { createReactionBatcher } from './reactions/reaction-batcher.ts';
import { createPositionQueue } from './reads/position-queue.ts';
import { Receipts } from './reads/receipts.ts';
import { createSeenUsers } from './reads/seen-users.ts';
import type { Revocations } from './revocations/revocations.ts';
import { listJoinOptions } from './rooms/join-options.ts';
import { createRowRemoval } from './rooms/row-removal.ts';
import { Typing } from './typing/typing.ts';
import { createWebhookReports } from './webhooks/reports.ts';
import { createWebhooks } from './webhooks/webhooks.ts';

interface Collaborators {
  config: Config;
  store: Store;
  cluster: { bus: RoomBus; ephemeral: EphemeralBus; spending?: ShareSpending | undefined };
  broadcasters: (Broadcaster & EphemeralBroadcaster)[];
  revocations: Revocations;
  connections: AppContext['connections'];
  metrics: Metrics;
  logger: Logger;
}

export function createAppContext(collaborators: Collaborators): AppContext {
  const { config, store, cluster, broadcasters, revocations, connections, metrics, logger } = collaborators;
  const { limits, roomCreateLevel, reconcileIntervalMs } = config;
  const { bus, ephemeral, spending } = cluster;
  const log = createRoomLog(store);
  const rights = createRightsCache(log);
  const report = createFailureLog(logger, {
    failing: 'reading the room log failed; retrying',
    recovered: 'reading the room log works again',
  });
  const ephemeralServices = { bus: ephemeral, broadcasters, feeds: () => feeds };
  const { timeouts } = config;
  const nodeName = config.nodeName ?? hostname();
  const typing = new Typing({
    ...ephemeralServices,
    ...{ events: metrics.ephemeral.typing, timeouts: timeouts?.typing },
  });
  const receipts = new Receipts({
    ...{ bus: ephemeral, broadcasters, events: metrics.ephemeral.reads },
    feeds: () => feeds,
  });
  const presence = config.presence
    ? new PresenceService({
        ...ephemeralServices,
        ...{ events: metrics.ephemeral.presence, timeouts: timeouts?.presence },
      })
    : undefined;
  const feeds: FeedRegistry = createFeedRegistry({
    log,
    bus,
    rights,
    broadcasters,
    observers: presence ? [typing, presence.observer] : [typing],
    reconcileIntervalMs,
    events: { ...metrics.feeds, ...report, unknownKind: createUnknownKindLog(logger) },
  });
  const queue = createSendQueue({ log, rights, bus, events: metrics.sends, overlapsCommits: !store.isExclusive });
  const context: AppContext = {
    appendAll: createAppendAll({ log, bus, events: metrics.sends }),
    reactionBatcher: createReactionBatcher(queue),
    inbox: createInbox({
      store,
      itemsPerSecond: limits.inboxItemsPerSecond,
      timeouts: timeouts?.inbox,
      events: {
        ...metrics.inbox,
        ...createFailureLog(logger, {
          failing: 'the journal of the inboxes could not be read; trying again',
          recovered: 'the journal of the inboxes is read again',
        }),
      },
    }),
    ...{ store, log, bus, rights, feeds, queue, revocations, connections, receipts, typing, presence, metrics },
    positions: createPositionQueue({
      ...{ store, log, rights, events: metrics.reads },
      onWritten: (write, written) => receipts.onWritten(write, written),
    }),
    seenUsers: createSeenUsers(store),
    webhooks: createWebhooks({
      ...{ store, log, endpoints: config.webhooks, retryHours: config.webhookRetryHours },
      ...{ nodeName, timeouts: timeouts?.webhooks },
      createReports: (name) => createWebhookReports(name, { logger, metrics: metrics.webhooks, createFailureLog }),
      journalReport: createFailureLog(logger, {
        failing: 'the journal could not be read for the webhooks; trying again',
        recovered: 'the journal is read for the webhooks again',
      }),
    }),
    rowRemoval: createRowRemoval({
      ...{ store, nodeName, timeouts: timeouts?.rowRemoval },
      events: {
        ...createFailureLog(logger, {
          failing: 'the rows of deleted rooms could not be removed; trying again',
          recovered: 'the rows of deleted rooms are removed again',
        }),
        removed: (room) => logger.info({ room }, 'rows of a deleted room removed'),
      },
    }),
    joinOptions: listJoinOptions(features),
    acceptanceQueue: createAcceptanceQueue({ log, rights, bus }),
    sendRate: createSendRate(limits.sendRate, limits.sendBurst, metrics.limits),
    requestLimits: createRequestLimits(limits, metrics.limits, spending),
    concurrentReads: createConcurrentReads(),
    settings: {
      roomCreateLevel,
      maxContentBytes: limits.contentBytes,
      maxCustomBytes: limits.customBytes,
      editSeconds: config.editSeconds,
      maxRulesPerRoom: limits.rulesPerRoom,
      maxRoomsPerCreator: limits.roomsPerCreator,
    },
    audit: (event, fields) => logger.info(fields satisfies object, event),
    async assertReady() {
      if (context.isDraining) throw new Error('draining');
      await store.check();
    },
    isDraining: false,
    roomIds: new LRUCache({ max: 10_000 }),
  };
  return context;
}
