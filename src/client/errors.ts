import type { ErrorCode, RefusedAck, RemovalCode } from './wire.ts';

/** The service's codes, and the client's own. */
export type ClientErrorCode = ErrorCode | 'TIMEOUT' | 'UNREACHABLE' | 'NO_TOKEN' | 'CLOSED' | 'LIMIT';

/** `retry: true` in the service's table of errors; a test compares the two. */
const retryableCodes: ReadonlySet<ClientErrorCode> = new Set<ClientErrorCode>([
  'RATE_LIMITED',
  'TOO_MANY_CONNECTIONS',
  'INTERNAL',
  'UNAVAILABLE',
]);

interface Details {
  field?: string | undefined;
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/**
 * An error of the service, or one of the client's own: `TIMEOUT` (no answer in time), `UNREACHABLE` (no connection),
 * `NO_TOKEN` (the token function failed), `CLOSED` (after `close()` or `leave()`), `LIMIT` (the outbox or the room's
 * messages are full).
 */
export class ChatClientError extends Error {
  readonly code: ClientErrorCode;
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ClientErrorCode, message: string, { field, retryAfterMs, cause }: Details = {}) {
    super(message, { cause });
    this.name = 'ChatClientError';
    this.code = code;
    this.field = field;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may succeed later without a change. */
  get isRetryable(): boolean {
    return this.code === 'TIMEOUT' || retryableCodes.has(this.code);
  }

  /** Whether the connection that would have carried the answer is gone. */
  get isConnectionLoss(): boolean {
    return this.code === 'UNREACHABLE' || this.code === 'CLOSED';
  }

  static fromRefusal({ code, message, field, retry_after_ms: retryAfterMs }: RefusedAck['error']): ChatClientError {
    return new ChatClientError(code, message, { field, retryAfterMs });
  }

  /** The code is the one with which the service would refuse the next join. */
  static fromRemoval(reason: RemovalCode): ChatClientError {
    const code = reason === 'BANNED' ? 'BANNED' : reason === 'ROOM_DELETED' ? 'NOT_FOUND' : 'FORBIDDEN';
    return new ChatClientError(code, `You were removed from the room: ${reason}`);
  }
}
