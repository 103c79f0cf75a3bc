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

/** `/rooms` of `/rooms/:id`: what is below it needs the same token, whether it is a route or not. */
function listPrefixes(routes: readonly RegisteredRoute[], auth: Auth): string[] {
  const own = new Set(selectRoutes(routes, auth).map(({ route }) => getPrefix(route.path)));
  for (const { name, route } of routes) {
    if (route.auth !== auth && own.has(getPrefix(route.path))) {
      throw new Error(`${name}: everything below ${getPrefix(route.path)} takes the token of auth: '${auth}'`);
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

/** The routes that take a user's token. */
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
  /** `ADMIN_TOKEN`, which the product's own backend has. */
  token: string;
  bodyBytes: number;
  /** A request without the token, or with another token. */
  onRefused(address: string | undefined): void;
}

/** Every request below `/admin` ends here, also an unknown one: it never gets the CORS headers of the rest. */
export function createAdminRoutes({ routes, token, bodyBytes, onRefused }: AdminRoutes): Router {
  const prefixes = listPrefixes(routes, 'admin');
  const requireToken: RequestHandler = (request, _response, next) => {
    if (isBearer(request.get('Authorization'), token)) return next();
    onRefused(request.socket.remoteAddress);
    throw new ChatError('UNAUTHENTICATED');
  };
  const router = Router().use(prefixes, requireToken, ...createJsonBodyParser(bodyBytes));
  // Within the same router: at its end Express would answer OPTIONS.
  return mountRoutes(router, selectRoutes(routes, 'admin'), noActor).use(prefixes, rejectUnknownRoute);
}

interface PublicRoutes {
  routes: readonly RegisteredRoute[];
  servesMetrics: boolean;
  metricsToken: string | undefined;
  /** Whether metrics need no token. Called for each request: it depends on the address of the port. */
  isOpen: () => boolean;
}

/** For the balancer and the monitoring: no user's token. */
export function createPublicRoutes({ routes, servesMetrics, metricsToken, isOpen }: PublicRoutes): Router {
  const requireToken: RequestHandler = (request, response, next) => {
    const isAllowed = metricsToken ? isBearer(request.get('Authorization'), metricsToken) : isOpen();
    if (isAllowed) return next();
    const hint = metricsToken ? '' : ': set METRICS_TOKEN, or METRICS_PORT for a port of its own';
    response.status(401).set({ 'WWW-Authenticate': 'Bearer', 'Cache-Control': 'no-store' });
    response.type('text').send(`a token is needed${hint}\n`);
  };
  const router = mountRoutes(Router(), selectRoutes(routes, 'none'), noActor);
  if (!servesMetrics) return router;
  const metrics = selectRoutes(routes, 'metrics');
  for (const { route } of metrics) router.get(route.path, requireToken);
  return mountRoutes(router, metrics, noActor);
}
