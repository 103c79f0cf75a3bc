import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Logger } from 'pino';
import type { Config } from './config/config.ts';
import type { Audit } from './core/audit.ts';
import type { Registry } from './core/registry.ts';
import type { Metrics } from './observability/metrics.ts';
import { createAdminApp, createHttpApp } from './transports/http/app.ts';
import { isLoopback } from './transports/http/loopback.ts';
import { createOwnListener, listen, toOwnPort } from './transports/http/own-listener.ts';
import { createPlayground, type Playground } from './transports/http/playground.ts';
import { createAdminRoutes, createPublicRoutes } from './transports/http/rest-api.ts';
import type { LiveContext } from './transports/live-context.ts';

interface HttpOptions {
  config: Config;
  liveContext: LiveContext;
  registry: Registry;
  metrics: Metrics;
  audit: Audit;
  logger: Logger;
  isMounted: boolean;
  /** Socket.IO serves all paths that start with this prefix. */
  ioPath: string;
}

export interface HttpService {
  playground: Playground | undefined;
  /** Opens `METRICS_PORT` and `ADMIN_PORT`. Call this after `PORT` is open. */
  open(): Promise<void>;
  /** Resolves when the requests on `ADMIN_PORT` have been answered. The port accepts no further connections. */
  finish(): Promise<unknown>;
  close(): void;
}

/**
 * Serves the REST API, the documents, the metrics and the playground on the server. If `METRICS_PORT` is set, the
 * metrics are served only there. In the same way, `/admin` is served only on `ADMIN_PORT` if that is set.
 */
export function serveHttp(
  http: Server,
  { config, liveContext, registry, logger, ...options }: HttpOptions,
): HttpService {
  const { context, authenticator, isAllowedOrigin, limits } = liveContext;
  const { port: metricsPort, token: metricsToken } = config.metrics;
  // Metrics reveal, for example, the number of connections. If other machines can reach the server, the metrics need a
  // token or a separate port.
  const isShared = () => !isLoopback((http.address() as AddressInfo | null)?.address ?? '');
  const publicRoutes = (servesMetrics: boolean) =>
    createPublicRoutes({
      routes: registry.routes,
      servesMetrics,
      metricsToken,
      isOpen: () => !isShared() || metricsPort !== undefined,
    });
  const playground = createPlayground(config, http);
  const { admin: adminSettings } = config;
  const admin = createAdministration(config, registry, options.audit, logger);
  const adminListener =
    adminSettings.port === undefined
      ? undefined
      : createOwnListener({ ...toOwnPort(config, logger), port: adminSettings.port });
  const shared = { logger, requestLimits: context.requestLimits, metrics: options.metrics.http };
  const app = createHttpApp({
    ...{ ...shared, registry, authenticator, bodyBytes: limits.frameBytes },
    ...{ isAllowedOrigin, allowedOrigins: config.allowedOrigins, isMounted: options.isMounted },
    publicRoutes: publicRoutes(metricsPort === undefined),
    admin: adminListener ? undefined : admin,
    playground: playground?.routes,
  });
  http.on('request', (request, response) => {
    if (!request.url?.startsWith(options.ioPath)) app(request, response);
  });
  if (adminListener && admin) adminListener.http.on('request', createAdminApp({ ...shared, admin }));
  const metricsServer = metricsPort === undefined ? undefined : createServer(express().use(publicRoutes(true)));
  return {
    playground,
    async open() {
      if (metricsServer) await listen(metricsServer, metricsPort!, config.host);
      if (adminListener) {
        await adminListener.open();
        logger.info({ port: adminListener.address().port }, 'listening on ADMIN_PORT');
      }
      if (metricsPort === undefined && metricsToken === undefined && isShared()) {
        logger.warn('/metrics is refused: set METRICS_TOKEN or METRICS_PORT');
      }
      http.on('error', (error) => logger.error({ err: error }, 'the server cannot accept connections'));
      adminListener?.http.on('error', (error) => logger.error({ err: error }, 'ADMIN_PORT cannot accept connections'));
    },
    finish: async () => adminListener?.finish(),
    close() {
      metricsServer?.close();
      adminListener?.http.close();
      adminListener?.terminate();
    },
  };
}

/** The backend sends up to 1,000 rules or 500 messages in one request. */
const minAdminBodyBytes = 8 * 1024 * 1024;

function createAdministration({ admin: { tokens }, limits }: Config, registry: Registry, audit: Audit, logger: Logger) {
  if (tokens === undefined) return undefined;
  return createAdminRoutes({
    ...{ registry, tokens },
    bodyBytes: limits.frameBytes && Math.max(limits.frameBytes, minAdminBodyBytes),
    onCall: (call) => audit('admin call', call),
    onRefused: (fields) => logger.warn(fields, 'ADMIN_TOKEN refused'),
  });
}
