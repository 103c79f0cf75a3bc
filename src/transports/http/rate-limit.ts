import type { RequestHandler } from 'express';
import type { RequestLimits } from '../../core/limits/request-limits.ts';
import { requestCosts } from '../../protocol/request-costs.ts';
import { restRoutes } from '../../protocol/rest-routes.ts';
import { getActor } from './authenticate-request.ts';

/** The routes below `/rooms` with their costs, as they are matched before Express has found one. */
const routes = Object.entries(requestCosts.rest).map(([name, cost]) => {
  const { method, path } = restRoutes[name as keyof typeof requestCosts.rest];
  return { method: method as string, pattern: new RegExp(`^${path.replaceAll(/:[^/]+/g, '[^/]+')}/?$`, 'i'), cost };
});

/** Counts a request of a user before its body is read. What is no route is refused, and charged for that. */
export function createRateLimit(limits: RequestLimits): RequestHandler {
  return (request, _response, next) => {
    const path = request.baseUrl + request.path;
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const route = routes.find(({ pattern, ...route }) => route.method === method && pattern.test(path));
    limits.consume(getActor(request).user, route?.cost ?? { tokens: 0 }, request.query);
    next();
  };
}
