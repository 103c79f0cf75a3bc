import type { Server as HttpServer } from 'node:http';
import type { Logger } from 'pino';
import { createConnectionLimits } from './auth/connection-limits.ts';
import { createTokenExpiry } from './auth/token-expiry.ts';
import { loadTokenKeys, openTokenKeys } from './auth/token-keys.ts';
import { createAuthenticator } from './auth/token-verification.ts';
import { connectCluster } from './cluster/connect-cluster.ts';
import type { WorkerLink } from './cluster/worker-link.ts';
import type { Config } from './config/config.ts';
import { createRegistry } from './core/registry.ts';
import { createDatabaseClock } from './database/clock.ts';
import { openStore } from './database/open-store.ts';
import type { Store } from './database/store.ts';
import { watchTransactions } from './database/transaction-watch.ts';
import { type Admin, createAdmin } from './features/admin-calls.ts';
import { createAppContext } from './features/create-app-context.ts';
import { features } from './features/index.ts';
import { createRevocations } from './features/revocations/revocations.ts';
import type { ChangesListener, Consumer, ConsumerOptions } from './features/webhooks/consumer.ts';
import { createGaugeSources } from './gauge-sources.ts';
import { createFailureLog } from './observability/failure-log.ts';
import { createLogger } from './observability/logger.ts';
import { createMetrics } from './observability/metrics.ts';
import { serveHttp } from './serve-http.ts';
import { drainServer } from './shutdown.ts';
import { createOriginCheck } from './transports/allowed-origins.ts';
import { createChatBroadcaster } from './transports/chat/broadcaster.ts';
import { serveChat } from './transports/chat/upgrade.ts';
import { createHandshakeQueue } from './transports/handshake-queue.ts';
import { createMountedListener, type Mount } from './transports/http/mounted-listener.ts';
import { createOwnListener, maxHeaderBytes, toOwnPort } from './transports/http/own-listener.ts';
import type { LiveContext } from './transports/live-context.ts';
import { createSocketioGateway } from './transports/socketio/gateway.ts';
import { createWorkerSessions, type WorkerSessions } from './transports/socketio/worker-sessions.ts';

export interface RunningServer {
  /** The server API, as functions. They need no `ADMIN_TOKEN`. */
  readonly admin: Admin;
  /** The address of the service, such as `http://127.0.0.1:7777`. */
  readonly url: string;
  readonly port: number;
  /**
   * The link to the playground. Undefined if the playground is off. If this server issues tokens for the page, the link
   * contains a key (`http://127.0.0.1:7777/#key=…`). Anyone with the link can then act as any user.
   */
  readonly playgroundUrl: string | undefined;
  /**
   * Finishes the queued work, closes the connections, and then closes the server. Resolves with false if this took
   * longer than `DRAIN_TIMEOUT_SECONDS`.
   */
  drain(): Promise<boolean>;
  /**
   * Adds a consumer of the changes of all rooms. It receives what a webhook of this name would receive: each change at
   * least once, in the order of each room's log, also after a restart. The changes are acknowledged when the promise of
   * the listener resolves; if it rejects, they are delivered again. With several nodes, one of them calls its listener.
   */
  on(event: 'changes', options: ConsumerOptions, listener: ChangesListener): Promise<Consumer>;
  /** Closes the server at once. A second call has no further effect. */
  close(): Promise<void>;
}

const ioPath = '/socket.io/';

interface StartOptions {
  logger?: Logger;
  /** Serves on an existing server instead of listening on `PORT`. */
  mount?: Mount | undefined;
  /** The link to the primary process, if this process is a worker. */
  link?: WorkerLink | undefined;
  /**
   * Called after a failure that only a restart can repair, such as a failure of PGlite. By default, the server closes.
   */
  onFailure?: ((error: Error) => void) | undefined;
}

export async function startServer(config: Config, options: StartOptions = {}): Promise<RunningServer> {
  const log = options.logger ?? createLogger(config.logLevel, config.logFormat).logger;
  for (const warning of config.warnings) log.warn(warning);
  let server: RunningServer | undefined;
  const { onFailure = () => void server?.close() } = options;
  const onFatalError = (error: Error) => {
    log.fatal({ err: error }, 'fatal failure; the service must be restarted');
    onFailure(error);
  };
  const store = await openStore(config.database, log, onFatalError);
  try {
    // The keys are loaded after the database is opened. The embedded key is in the same data directory, and opening the
    // database creates that directory, or fails with an error that explains why it cannot be used.
    server = await start(config, loadTokenKeys(config), store, log, options);
    return server;
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function start(
  config: Config,
  keys: ReturnType<typeof loadTokenKeys>,
  store: Store,
  logger: Logger,
  { mount, link }: Pick<StartOptions, 'mount' | 'link'>,
): Promise<RunningServer> {
  const { limits } = config;
  const metrics = createMetrics(
    { ...config, worker: link?.identity.slot },
    features.map(({ contract }) => contract),
  );
  if (link) {
    link.answer('readOwnMetrics', () => metrics.read());
    metrics.text = () => link.readMetrics();
  }
  const listener = mount ? createMountedListener(mount) : createOwnListener(toOwnPort(config, logger));
  const { http } = listener;
  const onDeliveryError = (error: unknown) =>
    logger.error({ err: error }, 'a change could not be sent to a subscriber');
  const isAllowedOrigin = createOriginCheck(config.allowedOrigins);
  const workerSessions = link && shareSessions(http, config, link);
  const gateway = createSocketioGateway(
    http,
    { ...config, isAllowedOrigin, frameBytes: limits.frameBytes, workerSessions },
    onDeliveryError,
  );
  const chatBroadcaster = createChatBroadcaster();
  const cluster = await connectCluster({
    settings: config.redis,
    link,
    identify: () => store.identify(),
    events: metrics.bus,
    logger,
  });
  const revocations = createRevocations({
    ...{ store, signals: cluster.signals, reconcileIntervalMs: config.reconcileIntervalMs },
    report: createFailureLog(logger, {
      failing: 'reading the revocations failed; retrying',
      recovered: 'reading the revocations works again',
    }),
  });
  const broadcasters = [gateway.broadcaster, chatBroadcaster];
  const connections = createConnectionLimits(limits, cluster.leases);
  const context = createAppContext({
    ...{ config, store, cluster, broadcasters, revocations, connections, metrics, logger },
  });
  const registry = createRegistry(features, context);
  const tokenKeys = openTokenKeys(keys, config, logger);
  const keySet = tokenKeys.source === 'jwks' ? tokenKeys.keySet : undefined;
  const { isRevoked } = revocations;
  const authenticator = createAuthenticator({
    ...{ ...config.tokens, keys: tokenKeys, isRevoked },
    onVerified: ({ actor }) => context.seenUsers.add(actor.user),
  });
  const liveContext: LiveContext = {
    isAllowedOrigin,
    ...{
      context,
      registry,
      authenticator,
      limits,
      logger,
      metrics: metrics.live,
      queuedRequests: { count: 0, bytes: 0 },
      handshakes: createHandshakeQueue(),
    },
    connections,
    tokenExpiry: createTokenExpiry(revocations),
    authTimeoutMs: config.authTimeoutMs,
    pingIntervalMs: config.pingIntervalMs,
  };
  gateway.open(liveContext);
  const chat = serveChat(http, liveContext, chatBroadcaster, ioPath);
  const clock = createDatabaseClock(
    store,
    createFailureLog(logger, {
      failing: 'reading the database clock failed; retrying',
      recovered: 'reading the database clock works again',
    }),
  );
  const transactionWatch = config.database.mode === 'postgres' ? watchTransactions(store, logger) : undefined;
  metrics.webhooks.watch(() => context.webhooks.stats);
  metrics.watch(
    createGaugeSources({
      ...{ context, liveContext, cluster, store, clock, keySet, transactionWatch },
      ...{ gateway, chat, chatBroadcaster },
    }),
  );
  const service = serveHttp(http, {
    ...{ config, liveContext, registry, metrics, logger, ioPath, audit: context.audit },
    isMounted: mount !== undefined,
  });
  const getPlaygroundUrl = () => service.playground && `${listener.address().url}/${service.playground.getFragment()}`;
  let closing: Promise<void> | undefined;
  async function closeAll() {
    context.isDraining = true;
    context.typing.close();
    context.receipts.close();
    context.presence?.close();
    context.feeds.close();
    context.inbox.close();
    const background = [context.webhooks.close(), context.rowRemoval.close()];
    revocations.close();
    clock.close();
    transactionWatch?.close();
    keySet?.close();
    chat.close();
    const closed = gateway.close();
    service.close();
    workerSessions?.close();
    listener.terminate();
    await Promise.all([closed, ...background]);
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
    await service.open();
    await context.webhooks.open();
    context.rowRemoval.open();
    if (link && workerSessions) {
      const { url } = listener.address();
      await link.open({ url, playgroundUrl: getPlaygroundUrl(), sessionPort: await workerSessions.open() });
    }
  } catch (error) {
    await close();
    throw error;
  }

  const drain = () => {
    context.isDraining = true;
    // Another node takes over the webhooks and the deleted rooms while this one drains.
    void context.webhooks.close();
    void context.rowRemoval.close();
    return drainServer({
      drainTimeoutMs: config.drainTimeoutMs,
      timeouts: config.timeouts?.drain,
      queue: context.queue,
      transports: [gateway, chat],
      notifyClients: (spreadMs) => gateway.broadcastDraining(spreadMs),
      finishRequests: () => Promise.all([listener.finish(), service.finish()]),
      close,
    });
  };

  return {
    get url() {
      return listener.address().url;
    },
    get port() {
      return listener.address().port;
    },
    get playgroundUrl() {
      return getPlaygroundUrl();
    },
    ...{ admin: createAdmin(registry, context.audit), drain, close },
    on: (_event, options, listener) => context.webhooks.consume(options, listener),
  };
}

function shareSessions(http: HttpServer, { nodeName }: Config, link: WorkerLink): WorkerSessions {
  return createWorkerSessions(
    http,
    { nodeName, maxHeaderSize: maxHeaderBytes },
    {
      own: link.identity.id,
      findPort: (worker) => link.findPort(worker),
      passSocket: (...passed) => link.passSocket(...passed),
      onSocket: (listener) => link.onSocket(listener),
    },
  );
}
