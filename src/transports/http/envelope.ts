import type { Response } from 'express';
import { type ChatError, errors } from '../../core/errors.ts';

interface Meta {
  code?: number;
  message?: string;
  /** Keys of the request that were not used. */
  ignored?: readonly string[];
  [more: string]: unknown;
}

/** Every answer has this shape. */
export function answer(
  response: Response,
  content: unknown,
  { code = 200, message = 'OK', ignored = [], ...more }: Meta = {},
): void {
  // Of one person, and of this moment.
  response.set('Cache-Control', 'no-store');
  response.status(code).json({ meta: { code, message, ...more, ...(ignored.length > 0 && { ignored }) }, content });
}

/** `status`, where HTTP has a more exact one than the table. */
export function answerError(response: Response, error: ChatError, status?: number): void {
  const { message } = errors[error.code];
  const http = status ?? errors[error.code].http;
  if (error.retryAfterMs !== undefined) response.set('Retry-After', String(Math.ceil(error.retryAfterMs / 1_000)));
  if (http === 401) response.set('WWW-Authenticate', 'Bearer');
  // Who has no token keeps no connection; nor does a body that nobody reads.
  if (http === 401 || !response.req.complete) response.set('Connection', 'close');
  const meta: Meta = { code: http, message, reason: error.code };
  if (error.detail !== message) meta.detail = error.detail;
  if (error.retryAfterMs !== undefined) meta.retry_after_ms = error.retryAfterMs;
  answer(response, error.current ?? null, meta);
}
