import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { createConnectionLimits } from './auth/connection-limits.ts';
import { loadEmbeddedSecret, loadPlaygroundKey } from './auth/embedded-secret.ts';
import { createRemoteKeySet, type KeySet } from './auth/key-set.ts';
import { createTokenExpiry } from './auth/token-expiry.ts';
import { signToken } from './auth/token-signing.ts';
import { createAuthenticator } from './auth/token-verification.ts';
import { connectRedisNodes, type RedisNodes } from './cluster/redis-cluster.ts';
import type { Config, TokenKeys } from './config/config.ts';
import { createLocalRoomBus } from './core/bus.ts';
import { createFeedRegistry } from './core/feed/feed-registry.ts';
import type { Broadcaster } from './core/feed/subscriber.ts';
import { createConcurrentReads } from './core/limits/concurrent-reads.ts';
import { createRequestLimits } from './core/limits/request-limits.ts';
import { createRightsCache } from './core/log/rights-cache.ts';
import { createRoomLog } from './core/log/room-log.ts';
import { createRegistry, type Registry } from './core/registry.ts';
import { noSignals } from './core/signals.ts';
import { createDatabaseClock } from './database/clock.ts';
import { openPglite, openPostgres } from './database/open-store.ts';
import type { Store } from './database/store.ts';
import { watchTransactions } from './database/transaction-watch.ts';
import type { AppContext } from './features/app-context.ts';
import { features } from './features/index.ts';
import { createAcceptanceQueue } from './features/members/acceptance-queue.ts';
import { createSendQueue, type SendQueue } from './features/messages/send-queue.ts';
import { createSendRate } from './features/messages/send-rate.ts';
import { createRevocations, type Revocations } from './features/revocations/revocations.ts';
import { createFailureLog } from './observability/failure-log.ts';
import { createLogger } from './observability/logger.ts';
import { createMetrics, type Metrics } from './observability/metrics.ts';
import { createRefusalLog } from './observability/refusal-log.ts';
import { createUnknownKindLog } from './observability/unknown-kind-log.ts';
import { closeInSlices, computeDrainTimes, waitUntil, waitUntilClosed } from './shutdown.ts';
import { createOriginCheck } from './transports/allowed-origins.ts';
import { createChatBroadcaster } from './transports/chat/broadcaster.ts';
import { serveChat } from './transports/chat/upgrade.ts';
import { createHttpApp } from './transports/http/app.ts';
import {
  createMountedListener,
  createOwnListener,
  listen,
  type Mount,
  type OwnPort,
} from './transports/http/listener.ts';
import { isLoopback } from './transports/http/loopback.ts';
import { maxOpenFiles, reservedFiles } from './transports/http/open-files.ts';
import { createPlaygroundRoutes } from './transports/http/playground.routes.ts';
import { createAdminRoutes, createPublicRoutes } from './transports/http/rest-api.ts';
import type { LiveContext } from './transports/live-context.ts';
import { createSocketioGateway } from './transports/socketio/gateway.ts';

export interface RunningServer {
  /** Where it is: `http://127.0.0.1:7777`. */
  readonly url: string;
  readonly port: number;
  /**
   * The playground's page; undefined if it is not served. If the page gets tokens from this server, the address ends
   * with the key that it needs for them: `http://127.0.0.1:7777/#key=…`. Whoever has that link can be any user.
   */
  readonly playgroundUrl: string | undefined;
  /** Drains (see `delivery`): false where the time was up first. */
  drain(): Promise<boolean>;
  /** Ends at once; may be called twice. */
  close(): Promise<void>;
}

const ioPath = '/socket.io/';
/** How long draining waits for goodbyes, and for requests that are being answered. */
const graceMs = 2_000;

interface StartOptions {
  logger?: Logger;
  /** Serves there, and not on a port of its own. */
  mount?: Mount | undefined;
  /** Called if the service cannot go on, and can only be started again; by default it closes. */
  onFailure?: ((error: Error) => void) | undefined;
}

export async function startServer(config: Config, options: StartOptions = {}): Promise<RunningServer> {
  const log = options.logger ?? createLogger(config.logLevel, config.logFormat).logger;
  for (const warning of config.warnings) log.warn(warning);
  let server: RunningServer | undefined;
  const { onFailure = () => void server?.close() } = options;
  const onFatalError = (error: Error) => {
    log.fatal({ err: error }, 'the service cannot go on');
    onFailure(error);
  };
  const store = await openStore(config, log, onFatalError);
  try {
    // After the database, which has made the directory of the keys and says what is wrong with it.
    server = await start(config, resolveTokenKeys(config), store, log, options.mount);
    return server;
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function start(
  config: Config,
  keys: ReturnType<typeof resolveTokenKeys>,
  store: Store,
  logger: Logger,
  mount: Mount | undefined,
): Promise<RunningServer> {
  const { limits } = config;
  const metrics = createMetrics(config);
  const listener = mount ? createMountedListener(mount) : createOwnListener(toOwnPort(config, logger));
  const { http } = listener;
  const onDeliveryError = (error: unknown) => logger.error({ err: error }, 'a member could not be told');
  const isAllowedOrigin = createOriginCheck(config.allowedOrigins);
  const gateway = createSocketioGateway(
    http,
    { ...config, isAllowedOrigin, frameBytes: limits.frameBytes },
    onDeliveryError,
  );
  const chatBroadcaster = createChatBroadcaster();
  const cluster = await connectCluster(config, store, metrics, logger);
  const revocations = createRevocations({
    ...{ store, signals: cluster.signals, reconcileIntervalMs: config.reconcileIntervalMs },
    report: createFailureLog(logger, {
      failing: 'the revocations could not be read; trying again',
      recovered: 'the revocations are read again',
    }),
  });
  const broadcasters = [gateway.broadcaster, chatBroadcaster];
  const context = createAppContext({ config, store, cluster, broadcasters, revocations, metrics, logger });
  const registry = createRegistry(features, context);
  const keySet = keys.source === 'jwks' ? createKeySet(keys, config, logger) : undefined;
  const authenticator = createAuthenticator({
    ...config.tokens,
    keys: keys.source === 'jwks' ? { source: 'jwks', keySet: keySet! } : keys,
    isRevoked: revocations.isRevoked,
  });
  const liveContext: LiveContext = {
    isAllowedOrigin,
    ...{ context, authenticator, limits, logger, metrics: metrics.live, queuedRequests: { count: 0, bytes: 0 } },
    connections: createConnectionLimits(limits, cluster.leases),
    tokenExpiry: createTokenExpiry(revocations),
    authTimeoutMs: config.authTimeoutMs,
    pingIntervalMs: config.pingIntervalMs,
  };
  gateway.open(liveContext);
  const chat = serveChat(http, liveContext, chatBroadcaster, ioPath);
  const clock = createDatabaseClock(
    store,
    createFailureLog(logger, {
      failing: 'the clock of the database could not be read; trying again',
      recovered: 'the clock of the database is read again',
    }),
  );
  const transactionWatch = config.database.mode === 'postgres' ? watchTransactions(store, logger) : undefined;
  metrics.watch({
    isDraining: () => context.isDraining,
    unauthenticatedConnections: () => liveContext.connections.unauthenticated,
    unauthenticatedConnectionsLimit: limits.unauthenticatedConnections,
    queuedRequests: () => liveContext.queuedRequests.count,
    queuedMessages: () => context.queue.size,
    queuedMessagesLimit: context.queue.max,
    activeRooms: () => context.feeds.size,
    sendBufferBytes: () => ({ socketio: gateway.sendBufferBytes, chat: chat.sendBufferBytes }),
    deliveries: () => ({ socketio: gateway.deliveries, chat: chatBroadcaster.deliveries }),
    isBusUp: () => cluster.isUp,
    tokenKeys: () => ({ isUp: keySet?.isUp ?? true, ageMs: keySet?.ageMs ?? 0 }),
    pendingPublishes: () => cluster.pendingPublishes,
    database: () => ({ isUp: store.isUp, failures: store.failures, ...store.load }),
    clockOffsetMs: () => clock.offsetMs,
    oldestTransactionMs: () => transactionWatch?.oldestMs ?? 0,
  });
  const { port: metricsPort, token } = config.metrics;
  // The figures tell how many users there are: on an address that others reach, they need a token or a port of their own.
  const isShared = () => !isLoopback((http.address() as AddressInfo | null)?.address ?? '');
  const publicRoutes = (servesMetrics: boolean) =>
    createPublicRoutes({
      routes: registry.routes,
      servesMetrics,
      metricsToken: token,
      isOpen: () => !isShared() || metricsPort !== undefined,
    });
  const playground = createPlayground(config, http);
  const app = createHttpApp({
    ...{ registry, requestLimits: context.requestLimits, authenticator },
    ...{ logger, bodyBytes: limits.frameBytes, metrics: metrics.http },
    ...{ isAllowedOrigin, allowedOrigins: config.allowedOrigins, isMounted: mount !== undefined },
    publicRoutes: publicRoutes(metricsPort === undefined),
    admin: createAdministration(config, registry, logger),
    playground: playground?.routes,
  });
  http.on('request', (request, response) => {
    if (!request.url?.startsWith(ioPath)) app(request, response);
  });
  const metricsServer = metricsPort === undefined ? undefined : createServer(express().use(publicRoutes(true)));
  let closing: Promise<void> | undefined;
  async function closeAll() {
    context.isDraining = true;
    context.feeds.close();
    revocations.close();
    clock.close();
    transactionWatch?.close();
    keySet?.close();
    chat.close();
    const closed = gateway.close();
    metricsServer?.close();
    listener.cut();
    await closed;
    await cluster.close();
    await store.close();
  }
  const close = () => {
    closing ??= closeAll();
    return closing;
  };

  try {
    await Promise.all([revocations.open(), clock.compare(), transactionWatch?.check()]);
    await listener.open();
    if (metricsServer) await listen(metricsServer, metricsPort!, config.host);
  } catch (error) {
    await close();
    throw error;
  }
  if (metricsPort === undefined && token === undefined && isShared()) {
    logger.warn('/metrics is refused: set METRICS_TOKEN, or METRICS_PORT');
  }
  http.on('error', (error) => logger.error({ err: error }, 'the server cannot take connections'));

  async function drain(): Promise<boolean> {
    context.isDraining = true;
    const { writesUntil, spreadMs, deadline } = computeDrainTimes(config.drainTimeoutMs);
    const graceUntil = () => Math.min(deadline, Date.now() + graceMs);
    gateway.announceDraining(spreadMs);
    const inTime = await waitUntil(writesUntil, whenSettled(context.queue));
    await closeInSlices([gateway, chat], spreadMs, deadline);
    await waitUntilClosed([gateway, chat], graceUntil());
    // Until here the port answered, `/readyz` with 503. What is asked by now is answered; half a request is not waited for.
    await waitUntil(graceUntil(), listener.finish());
    return (await waitUntil(deadline, close())) && inTime;
  }

  return {
    get url() {
      return listener.address().url;
    },
    get port() {
      return listener.address().port;
    },
    get playgroundUrl() {
      return playground && `${listener.address().url}/${playground.getFragment()}`;
    },
    ...{ drain, close },
  };
}

function toOwnPort({ port, host, http, database }: Config, logger: Logger): OwnPort {
  // Each connection takes an open file, and a process that has none left cannot reach its database either.
  const allowed = Math.max(maxOpenFiles() - reservedFiles, 1);
  const wanted = http.maxConnections || Infinity;
  const maxConnections = Math.min(wanted, allowed);
  if (maxConnections < wanted && wanted < Infinity && database.mode === 'postgres') {
    const advice = `start it with ulimit -n ${wanted + reservedFiles}, or set MAX_CONNECTIONS to ${allowed}`;
    logger.warn({ maxConnections }, `the limit of open files is too low for MAX_CONNECTIONS; ${advice}`);
  }
  const onFull = () => logger.warn({ maxConnections }, 'connections are refused: there are MAX_CONNECTIONS of them');
  return { port, host, ...http, maxConnections: maxConnections === Infinity ? 0 : maxConnections, onFull };
}

function resolveTokenKeys({ tokens: { keys }, dataDirectory }: Config) {
  return keys.source === 'embedded'
    ? { source: 'secrets' as const, secrets: [loadEmbeddedSecret(dataDirectory)] }
    : keys;
}

function createKeySet(
  { url, timeouts }: Extract<TokenKeys, { source: 'jwks' }>,
  { tokens }: Config,
  logger: Logger,
): KeySet {
  if (!tokens.audiences) {
    logger.warn(
      'JWT_JWKS_URL is set without JWT_AUDIENCE: tokens that the issuer signs for other services are accepted, too',
    );
  }
  const report = createFailureLog(logger, {
    failing: 'the key set of JWT_JWKS_URL could not be fetched; the keys that are known go on',
    recovered: 'the key set of JWT_JWKS_URL is fetched again',
  });
  const keySet = createRemoteKeySet({ url, timeouts, report });
  keySet.open();
  return keySet;
}

function createAdministration({ adminToken: token, limits }: Config, { routes }: Registry, logger: Logger) {
  if (token === undefined) return undefined;
  const onRefused = createRefusalLog((fields) => logger.warn(fields, 'ADMIN_TOKEN refused'));
  return createAdminRoutes({ routes, token, bodyBytes: limits.frameBytes, onRefused });
}

/** How long a token of the page's own lasts; it fetches the next one itself. */
const playgroundTokenSeconds = 3_600;

function createPlayground(config: Config, http: HttpServer) {
  if (!config.playground) return undefined;
  // Only for a key that this server made for itself, and only if it listens on a loopback address.
  const isOwnKey = config.tokens.keys.source === 'embedded';
  const secret = isOwnKey ? Buffer.from(loadEmbeddedSecret(config.dataDirectory)) : undefined;
  const key = isOwnKey ? loadPlaygroundKey(config.dataDirectory) : undefined;
  const isLocal = () => isLoopback((http.address() as AddressInfo | null)?.address ?? '');
  const routes = createPlaygroundRoutes({
    tokens: () => {
      if (!secret || !key || !isLocal()) return undefined;
      const signing = { key: secret, alg: 'HS256' };
      return { key, sign: (claims) => signToken({ claims, seconds: playgroundTokenSeconds }, signing, config) };
    },
  });
  return { routes, getFragment: () => (key && isLocal() ? `#key=${key}` : '') };
}

function openStore({ database }: Config, logger: Logger, onFailure: (error: Error) => void): Promise<Store> {
  return database.mode === 'embedded'
    ? openPglite(database.directory, { logger, onFailure })
    : openPostgres(database, logger);
}

type Cluster = Pick<RedisNodes, 'bus' | 'signals' | 'isUp' | 'pendingPublishes' | 'close'> &
  Partial<Pick<RedisNodes, 'leases' | 'spending'>>;

async function connectCluster({ redis }: Config, store: Store, { bus }: Metrics, logger: Logger): Promise<Cluster> {
  const failed = (error: unknown) => logger.error({ err: error }, 'a change could not be delivered');
  if (!redis)
    return {
      bus: createLocalRoomBus(failed),
      signals: noSignals,
      isUp: true,
      pendingPublishes: noPendingPublishes,
      close: async () => {},
    };
  return connectRedisNodes({ settings: redis, service: await store.identify(), logger, events: { ...bus, failed } });
}

const noPendingPublishes = { messages: 0, bytes: 0 };

interface Collaborators {
  config: Config;
  store: Store;
  cluster: Pick<Cluster, 'bus' | 'spending'>;
  broadcasters: Broadcaster[];
  revocations: Revocations;
  metrics: Metrics;
  logger: Logger;
}

function createAppContext(collaborators: Collaborators): AppContext {
  const { config, store, cluster, broadcasters, revocations, metrics, logger } = collaborators;
  const { limits, roomCreateLevel, reconcileIntervalMs } = config;
  const { bus, spending } = cluster;
  const log = createRoomLog(store);
  const rights = createRightsCache(log);
  const report = createFailureLog(logger, {
    failing: 'the room log could not be read; trying again',
    recovered: 'the room log is read again',
  });
  const feeds = createFeedRegistry({
    log,
    bus,
    rights,
    broadcasters,
    reconcileIntervalMs,
    events: { ...metrics.feeds, ...report, unknownKind: createUnknownKindLog(logger) },
  });
  const queue = createSendQueue({ log, rights, bus, events: metrics.sends });
  const context: AppContext = {
    ...{ store, log, bus, rights, feeds, queue, revocations, metrics },
    acceptanceQueue: createAcceptanceQueue({ log, rights, bus }),
    sendRate: createSendRate(limits.sendRate, limits.sendBurst, metrics.limits),
    requestLimits: createRequestLimits(limits, metrics.limits, spending),
    concurrentReads: createConcurrentReads(),
    settings: {
      roomCreateLevel,
      maxContentBytes: limits.contentBytes,
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

/** Also what was on its way into the queue. The turn after it is for the acknowledgements to go out. */
async function whenSettled(queue: SendQueue): Promise<void> {
  do {
    await queue.settled();
    await new Promise((resolve) => setImmediate(resolve));
  } while (queue.size > 0);
}
