import cors from 'cors';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';
import type { Rooms } from '../../rooms/rooms-context.ts';
import type { Authenticator } from '../authenticate.ts';
import { authenticateRequest, recheckRequest } from './authenticate-request.ts';
import { documentsRoutes } from './documents/documents.routes.ts';
import { errorHandler, noSuchRoute } from './error-handler.ts';
import { limitRequests } from './limit-requests.ts';
import { measured, type RestMetrics } from './measured.ts';
import { membersRoutes } from './members.routes.ts';
import { messagesRoutes } from './messages.routes.ts';
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

export function restApp({
  rooms,
  authenticator,
  operations,
  admin,
  playground,
  bodyBytes,
  logger,
  metrics,
}: RestSettings): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.use(measured(metrics), requestLog(logger));
  app.use(helmet({ crossOriginResourcePolicy: { policy: 'cross-origin' } }));
  app.use(operations);
  // Before CORS: no browser has business there.
  if (admin) app.use('/admin', admin);
  if (playground) app.use(playground);
  app.use(
    cors({
      origin: '*',
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      allowedHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key'],
      exposedHeaders: ['Retry-After'],
      maxAge: 86_400,
    }),
  );
  app.use(documentsRoutes());
  const json = express.json({ limit: bodyBytes || Number.MAX_SAFE_INTEGER });
  app.use(
    '/rooms',
    authenticateRequest(authenticator),
    limitRequests(rooms.requestLimits),
    json,
    recheckRequest(authenticator),
  );
  app.use('/rooms', roomsRoutes(rooms), membersRoutes(rooms), messagesRoutes(rooms));
  app.use(noSuchRoute);
  app.use(errorHandler(logger, metrics, rooms.requestLimits));
  return app;
}
