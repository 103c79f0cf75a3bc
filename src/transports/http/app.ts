import cors from 'cors';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';
import type { Authenticator } from '../../auth/token-verification.ts';
import { ChatError } from '../../core/errors.ts';
import type { AppContext } from '../../features/app-context.ts';
import { describeRejectedOrigin, type IsAllowedOrigin } from '../allowed-origins.ts';
import { authenticateRequest, recheckRequest } from './authenticate-request.ts';
import { createDocumentRoutes } from './documents/documents.routes.ts';
import { answerError } from './envelope.ts';
import { createErrorHandler, rejectUnknownRoute } from './error-handler.ts';
import { parseJsonBody } from './json-body.ts';
import { createMemberRoutes } from './members.routes.ts';
import { createMessageRoutes } from './messages.routes.ts';
import { createRateLimit } from './rate-limit.ts';
import { type HttpMetrics, measureRequests } from './request-metrics.ts';
import { createRoomRoutes } from './rooms.routes.ts';

interface HttpAppSettings {
  context: AppContext;
  authenticator: Authenticator;
  operations: RequestHandler;
  /** Everything below `/admin`, where there is somebody who administers. */
  admin: RequestHandler | undefined;
  playground: RequestHandler | undefined;
  bodyBytes: number;
  logger: Logger;
  metrics: HttpMetrics;
  /** Below a path of somebody else's server. */
  isMounted: boolean;
  /** Undefined: all. */
  allowedOrigins: string[] | undefined;
  isAllowedOrigin: IsAllowedOrigin;
}

/** One line a request, with neither its headers nor its body. */
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

/** What a header says of the whole host is up to the app whose host it is, where the service is only a part of that. */
function securityHeaders(isMounted: boolean): RequestHandler {
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
  context,
  authenticator,
  operations,
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
  app.use(securityHeaders(isMounted));
  app.use(operations);
  // Before CORS: no browser has business there.
  if (admin) app.use('/admin', admin);
  if (playground) app.use(playground);
  app.use(rejectOtherOrigins(isAllowedOrigin));
  app.use(
    cors({
      // Cookies of a page are of no use here, but its requests may have them.
      ...(allowedOrigins ? { origin: allowedOrigins, credentials: true } : { origin: '*' }),
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      // Those that are asked for: tracing and monitoring add their own to all requests of a page.
      exposedHeaders: ['Retry-After'],
      maxAge: 86_400,
    }),
  );
  app.use(createDocumentRoutes());
  app.get('/chat', rejectWithoutUpgrade);
  app.use(
    '/rooms',
    authenticateRequest(authenticator),
    createRateLimit(context.requestLimits),
    parseJsonBody(bodyBytes),
    recheckRequest(authenticator),
  );
  app.use('/rooms', createRoomRoutes(context), createMemberRoutes(context), createMessageRoutes(context));
  app.use(rejectUnknownRoute);
  app.use(createErrorHandler(logger, metrics, context.requestLimits));
  return app;
}
