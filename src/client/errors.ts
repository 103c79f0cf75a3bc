import type { ErrorCode, RefusedAck, RemovalCode, WireMessage } from './wire.ts';

/** The error codes of the service, and those that the client adds. */
export type ClientErrorCode =
  | ErrorCode
  | 'TIMEOUT'
  | 'UNREACHABLE'
  | 'WRONG_SERVER'
  | 'NO_TOKEN'
  | 'WRONG_USER'
  | 'CLOSED'
  | 'LIMIT'
  | 'EXPIRED';

/**
 * The codes after which the same request, unchanged, may succeed later: those that have `retry: true` in the service's
 * table of errors, which a test compares, and `TIMEOUT`.
 */
const retryableCodes: readonly ClientErrorCode[] = [
  'RATE_LIMITED',
  'TOO_MANY_CONNECTIONS',
  'INTERNAL',
  'UNAVAILABLE',
  'TIMEOUT',
];

interface Details {
  field?: string | undefined;
  retryAfterMs?: number | undefined;
  current?: WireMessage | undefined;
  cause?: unknown;
}

/**
 * An error of the service or of the client. The errors of the client are `TIMEOUT` (no answer in time), `UNREACHABLE` (no
 * connection), `WRONG_SERVER` (another server answers at the URL), `NO_TOKEN` (the token function failed), `WRONG_USER` (it
 * returned a token of another user), `CLOSED` (`close()` or `leave()` was called), `LIMIT` (the outbox is full) and
 * `EXPIRED` (the message is older than `outboxHours`).
 */
export class ChatClientError extends Error {
  declare readonly code: ClientErrorCode;
  declare readonly field: string | undefined;
  declare readonly retryAfterMs: number | undefined;
  /** With `CONFLICT`: the message as it is now. */
  declare readonly current: WireMessage | undefined;

  constructor(code: ClientErrorCode, message: string, { cause, ...details }: Details = {}) {
    super(message, { cause });
    Object.assign(this, details, { name: 'ChatClientError', code });
  }

  /** Whether the same request, unchanged, may succeed later. */
  get isRetryable(): boolean {
    return retryableCodes.includes(this.code);
  }

  /** Whether the request got no answer because the connection was lost or closed. */
  get isConnectionLoss(): boolean {
    return this.code === 'UNREACHABLE' || this.code === 'CLOSED';
  }

  static fromRefusal({
    code,
    message,
    retry_after_ms: retryAfterMs,
    ...details
  }: RefusedAck['error']): ChatClientError {
    return new ChatClientError(code, message, { ...details, retryAfterMs });
  }

  /** Creates an error with the code that the service would return if the user tried to join the room again. */
  static fromRemoval(reason: RemovalCode): ChatClientError {
    const code = reason === 'BANNED' ? 'BANNED' : reason === 'ROOM_DELETED' ? 'NOT_FOUND' : 'FORBIDDEN';
    return new ChatClientError(code, `You were removed from the room: ${reason}`);
  }
}
