import { isUtf8 } from 'node:buffer';
import express, { type RequestHandler } from 'express';
import { ChatError } from '../../core/errors.ts';

const encodings = new Set(['identity', 'gzip', 'deflate', 'br', 'zstd']);

/**
 * Parses JSON bodies, and rejects unsupported headers with a reason. The limit applies to the body before and after
 * decompression; 0 means no limit.
 */
export function createJsonBodyParser(maxBytes: number): RequestHandler[] {
  const limit = maxBytes || Number.MAX_SAFE_INTEGER;
  const empty = new WeakSet<object>();
  const verify = (request: object, _response: unknown, body: Buffer) => {
    assertUtf8(body);
    if (body.length === 0) empty.add(request);
  };
  // The parser would turn an empty body into an empty object, and a request without its body might succeed.
  const removeEmptyBody: RequestHandler = (request, _response, next) => {
    if (empty.has(request)) request.body = undefined;
    next();
  };
  return [createHeaderCheck(limit), express.json({ limit, strict: false, type: () => true, verify }), removeEmptyBody];
}

function createHeaderCheck(limit: number): RequestHandler {
  return ({ headers }, _response, next) => {
    const length = headers['content-length'];
    if ((length === undefined || length === '0') && headers['transfer-encoding'] === undefined) return next();
    // The parser would read the whole body before it rejects it.
    if (Number(length) > limit) throw new ChatError('TOO_LARGE', { message: 'The body is too large' });
    const [type = '', ...parameters] = (headers['content-type'] ?? '').toLowerCase().split(';');
    if (type.trim() !== 'application/json') {
      const given = type.trim() ? `not ${type.trim()}` : 'but is missing';
      throwBadRequest('Content-Type', `must be application/json, ${given}`);
    }
    const charset = /^\s*charset\s*=\s*"?([^"\s]*)"?\s*$/.exec(
      parameters.find((parameter) => parameter.includes('charset')) ?? '',
    );
    if (charset && !/^utf-?8$/.test(charset[1]!))
      throwBadRequest('Content-Type', `charset must be utf-8, not ${charset[1]}`);
    const encoding = (headers['content-encoding'] ?? 'identity').toLowerCase();
    if (!encodings.has(encoding)) {
      throwBadRequest('Content-Encoding', `must be gzip, deflate, br or zstd, or absent, not ${encoding}`);
    }
    next();
  };
}

function throwBadRequest(field: string, message: string): never {
  throw new ChatError('BAD_REQUEST', { field, message });
}

/** Without this check, the parser would replace invalid bytes with U+FFFD. */
function assertUtf8(body: Buffer): void {
  if (!isUtf8(body)) throw new ChatError('BAD_REQUEST', { message: 'The body is not valid UTF-8' });
}
