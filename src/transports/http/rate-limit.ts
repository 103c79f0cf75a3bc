import type { RequestHandler } from 'express';
import type { Route } from '../../core/contract/rest.ts';
import { costs } from '../../core/limits/request-costs.ts';
import type { RequestLimits } from '../../core/limits/request-limits.ts';
import { getActor } from './authenticate-request.ts';
import { toPathPattern } from './router.ts';

/**
 * Charges the user for a request before its body is read. A request for an unknown route is charged later, as an error.
 */
export function createRateLimit(routes: readonly Route[], limits: RequestLimits): RequestHandler {
  // Express matches the route only after this handler, so the handler has to find the route itself.
  const patterns = routes.map((route) => ({
    method: route.method as string,
    pattern: toPathPattern(route),
    cost: route.auth === 'user' ? route.cost : costs.free,
  }));
  return (request, _response, next) => {
    const path = request.baseUrl + request.path;
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const route = patterns.find((known) => known.method === method && known.pattern.test(path));
    limits.consume(getActor(request).user, route?.cost ?? costs.free, request.query);
    next();
  };
}
