import cors from 'cors';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';
import type { Authenticator } from '../../auth/token-verification.ts';
import { ChatError } from '../../core/errors.ts';
import type { RequestLimits } from '../../core/limits/request-limits.ts';
import type { Registry } from '../../core/registry.ts';
import { describeRejectedOrigin, type IsAllowedOrigin } from '../allowed-origins.ts';
import { createClientFileRoutes } from './client-file.ts';
import { createDocumentRoutes } from './documents/documents.routes.ts';
import { answerError } from './envelope.ts';
import { createErrorHandler, rejectUnknownRoute } from './error-handler.ts';
import { type HttpMetrics, measureRequests } from './request-metrics.ts';
import { createUserRoutes } from './rest-api.ts';

interface HttpAppSettings {
  registry: Registry;
  requestLimits: RequestLimits;
  authenticator: Authenticator;
  /** Routes that need no user token, such as health checks and metrics. */
  publicRoutes: RequestHandler;
  /** Serves every path below `/admin`. Undefined if `ADMIN_TOKEN` is not set, or `ADMIN_PORT` serves them. */
  admin: RequestHandler | undefined;
  playground: RequestHandler | undefined;
  bodyBytes: number;
  logger: Logger;
  metrics: HttpMetrics;
  /** True if the service is mounted below a path of another server. */
  isMounted: boolean;
  /** Undefined if all origins are allowed. */
  allowedOrigins: string[] | undefined;
  isAllowedOrigin: IsAllowedOrigin;
}

/** Logs each request. Leaves out headers and bodies, because they contain tokens and messages. */
function createRequestLog(logger: Logger): RequestHandler {
  return pinoHttp({
    logger,
    customLogLevel: (_request, response) => (response.statusCode >= 500 ? 'warn' : 'debug'),
    serializers: {
      req: ({ method, url }: { method: string; url: string }) => ({ method, path: url.split('?', 1)[0] }),
      res: ({ statusCode }: { statusCode: number }) => ({ status: statusCode }),
      err: ({ message }: { message: string }) => ({ message }),
    },
  });
}

/** If the service is mounted, omits the headers that affect the whole host: the other server decides about them. */
function createSecurityHeaders(isMounted: boolean): RequestHandler {
  return helmet({
    crossOriginResourcePolicy: { policy: 'cross-origin' },
    ...(isMounted
      ? { strictTransportSecurity: false, originAgentCluster: false, permittedCrossDomainPolicies: false }
      : { strictTransportSecurity: { includeSubDomains: false } }),
  });
}

function rejectOtherOrigins(isAllowed: IsAllowedOrigin): RequestHandler {
  return (request, _response, next) => {
    if (!isAllowed(request))
      throw new ChatError('FORBIDDEN', { message: describeRejectedOrigin(request.headers.origin) });
    next();
  };
}

const rejectWithoutUpgrade: RequestHandler = (_request, response) => {
  response.set({ Upgrade: 'websocket', Connection: 'close' });
  answerError(
    response,
    new ChatError('BAD_REQUEST', { message: '/chat is a WebSocket: connect with wss:// or ws://' }),
    426,
  );
};

export function createHttpApp({
  registry,
  requestLimits,
  authenticator,
  publicRoutes,
  admin,
  playground,
  bodyBytes,
  logger,
  metrics,
  isMounted,
  allowedOrigins,
  isAllowedOrigin,
}: HttpAppSettings): Express {
  const app = createBaseApp({ logger, metrics, isMounted });
  app.use(publicRoutes);
  // These routes are mounted before CORS, because pages of other origins must not read their responses.
  if (admin) app.use(admin);
  if (playground) app.use(playground);
  app.use(rejectOtherOrigins(isAllowedOrigin));
  app.use(
    cors({
      // The service uses no cookies, but some pages send credentials with every request. Without this header, browsers
      // would withhold the response from them.
      ...(allowedOrigins ? { origin: allowedOrigins, credentials: true } : { origin: '*' }),
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      // Without `allowedHeaders`, all request headers are allowed. Tracing and monitoring scripts add their own headers.
      exposedHeaders: ['Retry-After'],
      maxAge: 86_400,
    }),
  );
  app.use(createDocumentRoutes(registry.contracts));
  app.use(createClientFileRoutes());
  app.get('/chat', rejectWithoutUpgrade);
  app.use(createUserRoutes({ routes: registry.routes, authenticator, requestLimits, bodyBytes }));
  app.use(rejectUnknownRoute);
  app.use(createErrorHandler(logger, metrics, requestLimits));
  return app;
}

interface AdminAppSettings extends Pick<HttpAppSettings, 'requestLimits' | 'logger' | 'metrics'> {
  admin: RequestHandler;
}

/** The app on `ADMIN_PORT`: only the routes below `/admin`. */
export function createAdminApp({ admin, requestLimits, logger, metrics }: AdminAppSettings): Express {
  const app = createBaseApp({ logger, metrics, isMounted: false });
  app.use(admin, rejectUnknownRoute, createErrorHandler(logger, metrics, requestLimits));
  return app;
}

function createBaseApp({
  logger,
  metrics,
  isMounted,
}: Pick<HttpAppSettings, 'logger' | 'metrics' | 'isMounted'>): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.use(measureRequests(metrics), createRequestLog(logger));
  app.use(createSecurityHeaders(isMounted));
  return app;
}
