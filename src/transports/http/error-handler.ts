import type { ErrorRequestHandler, RequestHandler } from 'express';
import type { Logger } from 'pino';
import { ChatError } from '../../core/errors.ts';
import type { RequestLimits } from '../../core/limits/request-limits.ts';
import { getActor } from './authenticate-request.ts';
import { answerError } from './envelope.ts';
import type { HttpMetrics } from './request-metrics.ts';

export const rejectUnknownRoute: RequestHandler = (request) => {
  throw new ChatError('NOT_FOUND', { message: `No route matches ${request.method} ${request.baseUrl}${request.path}` });
};

/** Converts errors of Express and the body parser, which have an HTTP status. Other unknown errors become `INTERNAL`. */
function toChatError(thrown: unknown): ChatError {
  const { status, type } = (thrown ?? {}) as { status?: unknown; type?: unknown };
  if (thrown instanceof ChatError || typeof status !== 'number') return ChatError.from(thrown);
  if (type === 'entity.too.large') return new ChatError('TOO_LARGE', { message: 'The body is too large' });
  if (type === 'entity.parse.failed') return new ChatError('BAD_REQUEST', { message: 'The body is not valid JSON' });
  if (type === 'request.size.invalid')
    return new ChatError('BAD_REQUEST', { message: 'The body has another length than Content-Length' });
  if (thrown instanceof URIError)
    return new ChatError('BAD_REQUEST', { message: 'The path must be percent-encoded UTF-8' });
  if (String((thrown as { code?: unknown }).code).startsWith('Z_'))
    return new ChatError('BAD_REQUEST', { message: 'The body cannot be decoded with its Content-Encoding' });
  if (status < 500) return new ChatError('BAD_REQUEST', { message: 'The request is malformed', cause: thrown });
  return ChatError.from(thrown);
}

export function createErrorHandler(
  logger: Logger,
  metrics: Pick<HttpMetrics, 'refused'>,
  limits: Pick<RequestLimits, 'chargeRefusal'>,
): ErrorRequestHandler {
  return (thrown, request, response, next) => {
    // A malformed body has already been answered, see `answerMalformedRequests`.
    if (response.writableEnded) return;
    const error = toChatError(thrown);
    metrics.refused(error.code);
    // Requests without a valid token have no user to charge. Limiting them is the balancer's task.
    if (request.user) limits.chargeRefusal(getActor(request).user, error.code);
    // An outage is logged once, with its cause, by what became unavailable.
    if (error.code === 'INTERNAL') {
      logger.error({ err: error.cause ?? error, method: request.method, path: request.path }, 'request failed');
    }
    if (response.headersSent) return next(thrown);
    answerError(response, error);
  };
}
