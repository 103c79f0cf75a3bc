import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Logger } from 'pino';
import type { Config } from './config/config.ts';
import type { Registry } from './core/registry.ts';
import type { Metrics } from './observability/metrics.ts';
import { createRefusalLog } from './observability/refusal-log.ts';
import { createHttpApp } from './transports/http/app.ts';
import { isLoopback } from './transports/http/loopback.ts';
import { listen } from './transports/http/own-listener.ts';
import { createPlayground, type Playground } from './transports/http/playground.ts';
import { createAdminRoutes, createPublicRoutes } from './transports/http/rest-api.ts';
import type { LiveContext } from './transports/live-context.ts';

interface HttpOptions {
  config: Config;
  liveContext: LiveContext;
  registry: Registry;
  metrics: Metrics;
  logger: Logger;
  isMounted: boolean;
  /** Socket.IO serves all paths that start with this prefix. */
  ioPath: string;
}

export interface HttpService {
  playground: Playground | undefined;
  /** Opens `METRICS_PORT`. Call this after `PORT` is open. */
  open(): Promise<void>;
  close(): void;
}

/**
 * Serves the REST API, the documents, the metrics and the playground on the server. If `METRICS_PORT` is set, the
 * metrics are served only there.
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
  const app = createHttpApp({
    ...{ registry, requestLimits: context.requestLimits, authenticator },
    ...{ logger, bodyBytes: limits.frameBytes, metrics: options.metrics.http },
    ...{ isAllowedOrigin, allowedOrigins: config.allowedOrigins, isMounted: options.isMounted },
    publicRoutes: publicRoutes(metricsPort === undefined),
    admin: createAdministration(config, registry, logger),
    playground: playground?.routes,
  });
  http.on('request', (request, response) => {
    if (!request.url?.startsWith(options.ioPath)) app(request, response);
  });
  const metricsServer = metricsPort === undefined ? undefined : createServer(express().use(publicRoutes(true)));
  return {
    playground,
    async open() {
      if (metricsServer) await listen(metricsServer, metricsPort!, config.host);
      if (metricsPort === undefined && metricsToken === undefined && isShared()) {
        logger.warn('/metrics is refused: set METRICS_TOKEN or METRICS_PORT');
      }
      http.on('error', (error) => logger.error({ err: error }, 'the server cannot accept connections'));
    },
    close: () => void metricsServer?.close(),
  };
}

function createAdministration({ adminToken: token, limits }: Config, { routes }: Registry, logger: Logger) {
  if (token === undefined) return undefined;
  const onRefused = createRefusalLog((fields) => logger.warn(fields, 'ADMIN_TOKEN refused'));
  return createAdminRoutes({ routes, token, bodyBytes: limits.frameBytes, onRefused });
}
