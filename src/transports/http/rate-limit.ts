import type { RequestHandler } from 'express';
import type { Route } from '../../core/contract/rest.ts';
import { costs } from '../../core/limits/request-costs.ts';
import type { RequestLimits } from '../../core/limits/request-limits.ts';
import { getActor } from './authenticate-request.ts';

/** Charges a request to its user before its body is read. An unknown route costs only its refusal. */
export function createRateLimit(routes: readonly Route[], limits: RequestLimits): RequestHandler {
  // Matched before Express has found the route.
  const patterns = routes.map((route) => ({
    method: route.method as string,
    pattern: new RegExp(`^${route.path.replaceAll(/:[^/]+/g, '[^/]+')}/?$`, 'i'),
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
