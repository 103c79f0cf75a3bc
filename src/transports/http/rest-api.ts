import { createHash } from 'node:crypto';
import { type RequestHandler, Router } from 'express';
import type { Authenticator } from '../../auth/token-verification.ts';
import type { AdminCall } from '../../core/audit.ts';
import { ChatError } from '../../core/errors.ts';
import type { RequestLimits } from '../../core/limits/request-limits.ts';
import type { RegisteredRoute, Registry } from '../../core/registry.ts';
import { authenticateRequest, getActor, recheckRequest } from './authenticate-request.ts';
import { isBearer } from './bearer-token.ts';
import { createAdminDocumentRoute } from './documents/documents.routes.ts';
import { rejectUnknownRoute } from './error-handler.ts';
import { createJsonBodyParser } from './json-body.ts';
import { createRateLimit } from './rate-limit.ts';
import { mountRoutes, toPathPattern } from './router.ts';

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
  registry: Registry;
  /** The values of `ADMIN_TOKEN`. Only the product's own backend knows them. */
  tokens: readonly string[];
  bodyBytes: number;
  /** Called when a call has been answered. */
  onCall(call: AdminCall): void;
  /** Called for a request without a token or with another token. */
  onRefused(request: { address: string | undefined; method: string; path: string }): void;
}

/** Answers every request below `/admin`, even if no route matches, so that none gets the CORS headers of other routes. */
export function createAdminRoutes({ registry, tokens, bodyBytes, onCall, onRefused }: AdminRoutes): Router {
  const { routes } = registry;
  const own = selectRoutes(routes, 'admin');
  const prefixes = listPrefixes(routes, 'admin');
  const known = tokens.map((token) => ({ token, hash: hashToken(token) }));
  const requireToken: RequestHandler = (request, response, next) => {
    const header = request.get('Authorization');
    const address = request.socket.remoteAddress;
    const { method } = request;
    const path = request.baseUrl + request.path;
    // Every token is compared, so that the time does not depend on which one fits.
    const [given] = known.filter(({ token }) => isBearer(header, token));
    if (!given) {
      onRefused({ address, method, path: path.slice(0, maxLoggedPath) });
      throw new ChatError('UNAUTHENTICATED');
    }
    response.once('close', () => {
      const status = response.writableFinished ? response.statusCode : 'aborted';
      onCall({ token: given.hash, address, ...describeCall(own, method, path), status });
    });
    next();
  };
  const router = Router().use(createAdminDocumentRoute(registry.contracts));
  router.use(prefixes, requireToken, ...createJsonBodyParser(bodyBytes));
  // `rejectUnknownRoute` is part of this router. Otherwise Express would answer OPTIONS at the end of the router.
  return mountRoutes(router, own, noActor).use(prefixes, rejectUnknownRoute);
}

const maxLoggedPath = 200;

/** Identifies a token in the log. The tokens are too strong to be guessed from a part of their hash. */
const hashToken = (token: string) => createHash('sha256').update(token).digest('hex').slice(0, 8);

function describeCall(
  routes: readonly RegisteredRoute[],
  method: string,
  path: string,
): Pick<AdminCall, 'operation' | 'room'> {
  const found = routes.find(({ route }) => route.method === method && toPathPattern(route).test(path));
  const room = /^\/admin\/rooms\/([^/]+)/i.exec(path)?.[1];
  return { operation: found?.name ?? 'unknown', ...(room && { room: decode(room).slice(0, maxLoggedPath) }) };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
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
