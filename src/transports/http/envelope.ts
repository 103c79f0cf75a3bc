import type { Response } from 'express';
import { type ChatError, errors } from '../../core/errors.ts';

interface Meta {
  code?: number;
  message?: string;
  /** Keys of the request that were not used. */
  ignored?: readonly string[];
  [more: string]: unknown;
}

/** Sends the content in the envelope that all answers have. */
export function answer(
  response: Response,
  content: unknown,
  { code = 200, message = 'OK', ignored = [], ...more }: Meta = {},
): void {
  // The answer depends on the user, and may be different at the next request.
  response.set('Cache-Control', 'no-store');
  response.status(code).json({ meta: { code, message, ...more, ...(ignored.length > 0 && { ignored }) }, content });
}

/** Sends an error. `status` replaces the status of the error code if HTTP has a more specific one. */
export function answerError(response: Response, error: ChatError, status?: number): void {
  const { message } = errors[error.code];
  const http = status ?? errors[error.code].http;
  if (error.retryAfterMs !== undefined) response.set('Retry-After', String(Math.ceil(error.retryAfterMs / 1_000)));
  if (http === 401) response.set('WWW-Authenticate', 'Bearer');
  // Clients without a valid token must not keep a connection open. An unread body makes the connection unusable.
  if (http === 401 || !response.req.complete) response.set('Connection', 'close');
  const meta: Meta = { code: http, message, reason: error.code };
  if (error.detail !== message) meta.detail = error.detail;
  if (error.retryAfterMs !== undefined) meta.retry_after_ms = error.retryAfterMs;
  answer(response, error.current ?? null, meta);
}
