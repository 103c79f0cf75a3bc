import type { RequestHandler } from 'express';
import type { ErrorCode } from '../../core/errors.ts';

export interface HttpMetrics {
  /** `route` is the path template of the route, or `unknown`. `status` is the status of the answer, or `aborted`. */
  answered(method: string, route: string, status: string, seconds: number): void;
  refused(code: ErrorCode): void;
}

/** Counts a request when its answer has been sent, or its client has disconnected. */
export function measureRequests(metrics: Pick<HttpMetrics, 'answered'>): RequestHandler {
  return (request, response, next) => {
    const startedAt = performance.now();
    response.once('close', () => {
      const status = response.writableFinished ? String(response.statusCode) : 'aborted';
      const seconds = (performance.now() - startedAt) / 1_000;
      metrics.answered(request.method, toLabel(request.route?.path), status, seconds);
    });
    next();
  };
}

/**
 * Uses the path template, never the URL, so that clients cannot invent labels. Routes are declared with their whole
 * path, so the template needs no prefix.
 */
const toLabel = (path: unknown): string => (typeof path === 'string' ? path : 'unknown');
