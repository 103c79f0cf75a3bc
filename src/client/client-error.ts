import type { ErrorCode, RefusedAck, RemovalCode } from './wire.ts';

/** Those of the service, and the client's own. */
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
 * What the service refused, or one of the client's own: `TIMEOUT` (no answer in time), `UNREACHABLE` (no connection),
 * `NO_TOKEN` (the token function failed), `CLOSED` (by `close()` or `leave()`), `LIMIT` (the client keeps no more).
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

  /** Whether the same request may succeed later by itself. */
  get isRetryable(): boolean {
    return this.code === 'TIMEOUT' || retryableCodes.has(this.code);
  }

  /** Whether there is no line any more that could bring an answer. */
  get isConnectionLoss(): boolean {
    return this.code === 'UNREACHABLE' || this.code === 'CLOSED';
  }

  static fromRefusal({ code, message, field, retry_after_ms: retryAfterMs }: RefusedAck['error']): ChatClientError {
    return new ChatClientError(code, message, { field, retryAfterMs });
  }

  /** What joining the room would be refused with. */
  static fromRemoval(reason: RemovalCode): ChatClientError {
    const code = reason === 'BANNED' ? 'BANNED' : reason === 'ROOM_DELETED' ? 'NOT_FOUND' : 'FORBIDDEN';
    return new ChatClientError(code, `Taken out of the room: ${reason}`);
  }
}
