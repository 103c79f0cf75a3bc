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
import { createDocumentRoutes } from './documents/documents.routes.ts';
import { answerError } from './envelope.ts';
import { createErrorHandler, rejectUnknownRoute } from './error-handler.ts';
import { type HttpMetrics, measureRequests } from './request-metrics.ts';
import { createUserRoutes } from './rest-api.ts';

interface HttpAppSettings {
  registry: Registry;
  requestLimits: RequestLimits;
  authenticator: Authenticator;
  /** The routes without a user's token. */
  publicRoutes: RequestHandler;
  /** Everything below `/admin`; undefined without an `ADMIN_TOKEN`. */
  admin: RequestHandler | undefined;
  playground: RequestHandler | undefined;
  bodyBytes: number;
  logger: Logger;
  metrics: HttpMetrics;
  /** Below a path of another server. */
  isMounted: boolean;
  /** Undefined: all. */
  allowedOrigins: string[] | undefined;
  isAllowedOrigin: IsAllowedOrigin;
}

/** A log line for each request, without its headers and its body. */
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

/** Headers that apply to the whole host are left to the app that the service is mounted in. */
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
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.use(measureRequests(metrics), createRequestLog(logger));
  app.use(createSecurityHeaders(isMounted));
  app.use(publicRoutes);
  // Before CORS: no browser needs these routes.
  if (admin) app.use(admin);
  if (playground) app.use(playground);
  app.use(rejectOtherOrigins(isAllowedOrigin));
  app.use(
    cors({
      // The service uses no cookies, but a page's requests may have them.
      ...(allowedOrigins ? { origin: allowedOrigins, credentials: true } : { origin: '*' }),
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      // `allowedHeaders` is not set, which allows all: tracing and monitoring add their own to the requests of a page.
      exposedHeaders: ['Retry-After'],
      maxAge: 86_400,
    }),
  );
  app.use(createDocumentRoutes(registry.contracts));
  app.get('/chat', rejectWithoutUpgrade);
  app.use(createUserRoutes({ routes: registry.routes, authenticator, requestLimits, bodyBytes }));
  app.use(rejectUnknownRoute);
  app.use(createErrorHandler(logger, metrics, requestLimits));
  return app;
}
