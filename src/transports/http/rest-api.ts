import { type RequestHandler, Router } from 'express';
import type { Authenticator } from '../../auth/token-verification.ts';
import { ChatError } from '../../core/errors.ts';
import type { RequestLimits } from '../../core/limits/request-limits.ts';
import type { RegisteredRoute } from '../../core/registry.ts';
import { authenticateRequest, getActor, recheckRequest } from './authenticate-request.ts';
import { isBearer } from './bearer-token.ts';
import { rejectUnknownRoute } from './error-handler.ts';
import { createJsonBodyParser } from './json-body.ts';
import { createRateLimit } from './rate-limit.ts';
import { mountRoutes } from './router.ts';

type Auth = RegisteredRoute['route']['auth'];

/**
 * Lists the first path segments of the routes, such as `/rooms` for `/rooms/:id`. All paths below such a prefix need the
 * same kind of token, even if no route matches. Throws if two kinds share a prefix.
 */
function listPrefixes(routes: readonly RegisteredRoute[], auth: Auth): string[] {
  const own = new Set(selectRoutes(routes, auth).map(({ route }) => getPrefix(route.path)));
  for (const { name, route } of routes) {
    if (route.auth !== auth && own.has(getPrefix(route.path))) {
      throw new Error(`${name}: all routes below ${getPrefix(route.path)} must have auth: '${auth}'`);
    }
  }
  return [...own];
}

const getPrefix = (path: string) => `/${path.split('/')[1]}`;

const selectRoutes = (routes: readonly RegisteredRoute[], auth: Auth) =>
  routes.filter(({ route }) => route.auth === auth);

const noActor = () => undefined;

interface UserRoutes {
  routes: readonly RegisteredRoute[];
  authenticator: Authenticator;
  requestLimits: RequestLimits;
  bodyBytes: number;
}

export function createUserRoutes({ routes, authenticator, requestLimits, bodyBytes }: UserRoutes): Router {
  const own = selectRoutes(routes, 'user');
  const limit = createRateLimit(
    own.map(({ route }) => route),
    requestLimits,
  );
  const checks = [
    authenticateRequest(authenticator),
    limit,
    createJsonBodyParser(bodyBytes),
    recheckRequest(authenticator),
  ];
  return mountRoutes(Router().use(listPrefixes(routes, 'user'), ...checks.flat()), own, getActor);
}

interface AdminRoutes {
  routes: readonly RegisteredRoute[];
  /** The value of `ADMIN_TOKEN`. Only the product's own backend knows it. */
  token: string;
  bodyBytes: number;
  /** Called for a request without the token or with another token. */
  onRefused(address: string | undefined): void;
}

/** Answers every request below `/admin`, even if no route matches, so that none gets the CORS headers of other routes. */
export function createAdminRoutes({ routes, token, bodyBytes, onRefused }: AdminRoutes): Router {
  const prefixes = listPrefixes(routes, 'admin');
  const requireToken: RequestHandler = (request, _response, next) => {
    if (isBearer(request.get('Authorization'), token)) return next();
    onRefused(request.socket.remoteAddress);
    throw new ChatError('UNAUTHENTICATED');
  };
  const router = Router().use(prefixes, requireToken, ...createJsonBodyParser(bodyBytes));
  // `rejectUnknownRoute` is part of this router. Otherwise Express would answer OPTIONS at the end of the router.
  return mountRoutes(router, selectRoutes(routes, 'admin'), noActor).use(prefixes, rejectUnknownRoute);
}

interface PublicRoutes {
  routes: readonly RegisteredRoute[];
  servesMetrics: boolean;
  metricsToken: string | undefined;
  /** Returns true if metrics need no token. Called for each request, because it depends on the listen address. */
  isOpen: () => boolean;
}

/** Creates the routes for balancers and monitoring, which need no user token. */
export function createPublicRoutes({ routes, servesMetrics, metricsToken, isOpen }: PublicRoutes): Router {
  const requireToken: RequestHandler = (request, response, next) => {
    const isAllowed = metricsToken ? isBearer(request.get('Authorization'), metricsToken) : isOpen();
    if (isAllowed) return next();
    const hint = metricsToken ? '' : ': set METRICS_TOKEN, or METRICS_PORT for a separate port';
    response.status(401).set({ 'WWW-Authenticate': 'Bearer', 'Cache-Control': 'no-store' });
    response.type('text').send(`a token is required${hint}\n`);
  };
  const router = mountRoutes(Router(), selectRoutes(routes, 'none'), noActor);
  if (!servesMetrics) return router;
  const metrics = selectRoutes(routes, 'metrics');
  for (const { route } of metrics) router.get(route.path, requireToken);
  return mountRoutes(router, metrics, noActor);
}
