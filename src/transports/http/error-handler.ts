import type { ErrorRequestHandler, RequestHandler } from 'express';
import type { Logger } from 'pino';
import { ChatError } from '../../core/errors.ts';
import type { RequestLimits } from '../../core/limits/request-limits.ts';
import { getActor } from './authenticate-request.ts';
import { answerError } from './envelope.ts';
import type { HttpMetrics } from './request-metrics.ts';

export const rejectUnknownRoute: RequestHandler = (request) => {
  throw new ChatError('NOT_FOUND', { message: `There is no ${request.method} ${request.path}` });
};

/** What Express and the body parser throw carries an HTTP status; what is none of ours is `INTERNAL`. */
function toChatError(thrown: unknown): ChatError {
  const { status, type } = (thrown ?? {}) as { status?: unknown; type?: unknown };
  if (thrown instanceof ChatError || typeof status !== 'number') return ChatError.from(thrown);
  if (type === 'entity.too.large') return new ChatError('TOO_LARGE', { message: 'The body is too large' });
  if (type === 'entity.parse.failed') return new ChatError('BAD_REQUEST', { message: 'The body is not valid JSON' });
  if (type === 'request.size.invalid')
    return new ChatError('BAD_REQUEST', { message: 'The body is not as long as Content-Length says' });
  if (thrown instanceof URIError)
    return new ChatError('BAD_REQUEST', { message: 'The path is not valid UTF-8, percent-encoded' });
  if (String((thrown as { code?: unknown }).code).startsWith('Z_'))
    return new ChatError('BAD_REQUEST', { message: 'The body is not what Content-Encoding says' });
  if (status < 500) return new ChatError('BAD_REQUEST', { message: 'The request is malformed', cause: thrown });
  return ChatError.from(thrown);
}

export function createErrorHandler(
  logger: Logger,
  metrics: Pick<HttpMetrics, 'refused'>,
  limits: Pick<RequestLimits, 'chargeRefusal'>,
): ErrorRequestHandler {
  return (thrown, request, response, next) => {
    // The rest of the request turned out to be unreadable, and that was answered.
    if (response.writableEnded) return;
    const error = toChatError(thrown);
    metrics.refused(error.code);
    // Where nobody is known by a token, the balancer limits.
    if (request.user) limits.chargeRefusal(getActor(request).user, error.code);
    if (error.code === 'INTERNAL' || error.code === 'UNAVAILABLE') {
      logger.error({ err: error.cause ?? error, method: request.method, path: request.path }, 'a request failed');
    }
    if (response.headersSent) return next(thrown);
    answerError(response, error);
  };
}
