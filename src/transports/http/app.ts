import cors from 'cors';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';
import type { Authenticator } from '../../auth/token-verification.ts';
import { ChatError } from '../../core/errors.ts';
import type { Rooms } from '../../features/app-context.ts';
import { type IsAllowedOrigin, originRefusal } from '../allowed-origins.ts';
import { authenticateRequest, recheckRequest } from './authenticate-request.ts';
import { documentsRoutes } from './documents/documents.routes.ts';
import { answerError } from './envelope.ts';
import { errorHandler, noSuchRoute } from './error-handler.ts';
import { jsonBody } from './json-body.ts';
import { membersRoutes } from './members.routes.ts';
import { messagesRoutes } from './messages.routes.ts';
import { limitRequests } from './rate-limit.ts';
import { measured, type RestMetrics } from './request-metrics.ts';
import { roomsRoutes } from './rooms.routes.ts';

interface RestSettings {
  rooms: Rooms;
  authenticator: Authenticator;
  operations: RequestHandler;
  /** Everything below `/admin`, where there is somebody who administers. */
  admin: RequestHandler | undefined;
  playground: RequestHandler | undefined;
  bodyBytes: number;
  logger: Logger;
  metrics: RestMetrics;
  /** Below a path of somebody else's server. */
  isMounted: boolean;
  /** Undefined: all. */
  allowedOrigins: string[] | undefined;
  isAllowedOrigin: IsAllowedOrigin;
}

/** One line a request, with neither its headers nor its body. */
function requestLog(logger: Logger): RequestHandler {
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

function refuseOtherOrigins(isAllowed: IsAllowedOrigin): RequestHandler {
  return (request, _response, next) => {
    if (!isAllowed(request)) throw new ChatError('FORBIDDEN', { message: originRefusal(request.headers.origin) });
    next();
  };
}

const upgradeNeeded: RequestHandler = (_request, response) => {
  response.set({ Upgrade: 'websocket', Connection: 'close' });
  answerError(
    response,
    new ChatError('BAD_REQUEST', { message: '/chat is a WebSocket: connect with wss:// or ws://' }),
    426,
  );
};

export function restApp({
  rooms,
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
}: RestSettings): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.use(measured(metrics), requestLog(logger));
  app.use(securityHeaders(isMounted));
  app.use(operations);
  // Before CORS: no browser has business there.
  if (admin) app.use('/admin', admin);
  if (playground) app.use(playground);
  app.use(refuseOtherOrigins(isAllowedOrigin));
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
  app.use(documentsRoutes());
  app.get('/chat', upgradeNeeded);
  app.use(
    '/rooms',
    authenticateRequest(authenticator),
    limitRequests(rooms.requestLimits),
    jsonBody(bodyBytes),
    recheckRequest(authenticator),
  );
  app.use('/rooms', roomsRoutes(rooms), membersRoutes(rooms), messagesRoutes(rooms));
  app.use(noSuchRoute);
  app.use(errorHandler(logger, metrics, rooms.requestLimits));
  return app;
}
