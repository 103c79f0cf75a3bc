import type { RequestHandler } from 'express';
import type { ErrorCode } from '../../core/errors.ts';

export interface HttpMetrics {
  /** `route` is the template that matched, or `unknown`; `status` what was answered, or `aborted`. */
  answered(method: string, route: string, status: string, seconds: number): void;
  refused(code: ErrorCode): void;
}

/** Counts a request when its answer is out, or its client gone. */
export function measureRequests(metrics: Pick<HttpMetrics, 'answered'>): RequestHandler {
  return (request, response, next) => {
    const from = performance.now();
    response.once('close', () => {
      const status = response.writableFinished ? String(response.statusCode) : 'aborted';
      const seconds = (performance.now() - from) / 1_000;
      metrics.answered(request.method, toRouteTemplate(request.originalUrl, request.route?.path), status, seconds);
    });
    next();
  };
}

/**
 * `/rooms/7/members` by the route `/:id/members` is `/rooms/:id/members`: what stands before the part that the route has
 * matched is where its router is mounted, which Express does not know any more when an error has left that router.
 */
export function toRouteTemplate(url: string, route: unknown): string {
  if (typeof route !== 'string') return 'unknown';
  // What stands for any number of segments tells nothing of the mount, and a part of the URL must not become a name.
  if (/[*{]/.test(route)) return route;
  const given = splitPath(url.split('?', 1)[0]!);
  const matched = splitPath(route);
  // A URL may be absolute, or have a fragment; only what we mount becomes a name.
  const before = given.slice(0, given.length - matched.length).map((segment) => segment.toLowerCase());
  const mount = before.filter((segment) => mounts.has(segment));
  return `/${[...mount, ...matched].join('/')}`;
}

const mounts = new Set(['rooms', 'admin', 'playground', 'docs']);

const splitPath = (path: string): string[] => path.split('/').filter(Boolean);
