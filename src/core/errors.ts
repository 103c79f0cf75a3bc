import { z } from 'zod';

/**
 * The errors that clients receive, the same on all transports. `http` is the status of the REST response, and `chat` is
 * the `data` of the status frame on `/chat`. `retry` is true if the same request may succeed later.
 */
export const errors = {
  BAD_REQUEST: { http: 400, chat: 'ERROR', retry: false, message: 'The request is invalid' },
  TOO_MANY_CHANGES: {
    http: 400,
    chat: 'ERROR',
    retry: false,
    message: 'The request changes too many rules at once: send them in parts',
  },
  UNAUTHENTICATED: { http: 401, chat: 'ERROR', retry: false, message: 'A valid token is required' },
  TOKEN_EXPIRED: { http: 401, chat: 'ERROR', retry: false, message: 'The token has expired' },
  TOKEN_REVOKED: { http: 401, chat: 'ERROR', retry: false, message: 'The token has been revoked' },
  FORBIDDEN: { http: 403, chat: 'NOTAUTHORIZED', retry: false, message: 'Your rights do not allow this' },
  BANNED: { http: 403, chat: 'NOTAUTHORIZED', retry: false, message: 'You are banned from this room' },
  TOO_MANY_RULES: { http: 403, chat: 'ERROR', retry: false, message: 'The room has reached its rule limit' },
  EDIT_CLOSED: { http: 403, chat: 'ERROR', retry: false, message: 'The message is too old to be edited' },
  NOT_FOUND: { http: 404, chat: 'NOTAUTHORIZED', retry: false, message: 'Not found, or you have no access to it' },
  NO_MESSAGE: { http: 404, chat: 'ERROR', retry: false, message: 'The room has no such message' },
  ID_REUSED: {
    http: 409,
    chat: 'ERROR',
    retry: false,
    message: 'This client_msg_id belongs to a message with different content',
  },
  DELETED: { http: 409, chat: 'ERROR', retry: false, message: 'The message has been deleted' },
  CONFLICT: {
    http: 409,
    chat: 'ERROR',
    retry: false,
    message: 'The message has changed since this version: apply the edit to the current message',
  },
  OUT_OF_ORDER: {
    http: 409,
    chat: 'ERROR',
    retry: false,
    message: 'The message is older than the last change of the room: import messages in the order of their times',
  },
  TOO_MANY_REACTIONS: {
    http: 409,
    chat: 'ERROR',
    retry: false,
    message: 'The message has reached its limit of different emojis: use one that it already has',
  },
  LAST_ADMIN: {
    http: 409,
    chat: 'ERROR',
    retry: false,
    message: 'The room needs at least one rule that administers it',
  },
  ROOM_FULL: { http: 409, chat: 'ERROR', retry: false, message: 'The user2user room already has its two users' },
  PAIR_EXISTS: { http: 409, chat: 'ERROR', retry: false, message: 'These two users already have a room' },
  KEY_CONFLICT: { http: 409, chat: 'ERROR', retry: false, message: 'The key and the room do not belong together' },
  TOO_LARGE: { http: 413, chat: 'ERROR', retry: false, message: 'The request is larger than the server accepts' },
  RATE_LIMITED: { http: 429, chat: 'ERROR', retry: true, message: 'Too many messages or requests, retry later' },
  TOO_MANY_ROOMS: { http: 429, chat: 'ERROR', retry: false, message: 'The room limit has been reached' },
  TOO_MANY_CONNECTIONS: { http: 429, chat: 'ERROR', retry: true, message: 'This user has too many connections' },
  INTERNAL: { http: 500, chat: 'ERROR', retry: true, message: 'Internal server error, retry later' },
  UNAVAILABLE: { http: 503, chat: 'ERROR', retry: true, message: 'The server is temporarily unavailable, retry later' },
} as const satisfies Record<string, { http: number; chat: 'ERROR' | 'NOTAUTHORIZED'; retry: boolean; message: string }>;

export type ErrorCode = keyof typeof errors;
export const ErrorCode = z.enum(Object.keys(errors) as [ErrorCode, ...ErrorCode[]]).meta({ id: 'ErrorCode' });

/** The codes for a missing or rejected token. */
export const tokenErrorCodes: readonly ErrorCode[] = ErrorCode.options.filter((code) => errors[code].http === 401);
export const isTokenError = (code: ErrorCode): boolean => tokenErrorCodes.includes(code);

export const listChatCodes = (status: 'ERROR' | 'NOTAUTHORIZED'): ErrorCode[] =>
  ErrorCode.options.filter((code) => errors[code].chat === status);

/**
 * The close codes of `/chat`, and whether the client should reconnect. The library `ws` may itself close a connection
 * with 1002, 1007, 1008 or 1009, without the reason text.
 */
export const closeCodes = {
  quit: { code: 1000, reason: 'Goodbye', reconnect: false },
  draining: { code: 1001, reason: 'Server shutting down', reconnect: true },
  protocol_error: { code: 1002, reason: 'Protocol error', reconnect: false },
  not_utf8: { code: 1007, reason: 'Not UTF-8', reconnect: false },
  too_many_frames: { code: 1008, reason: 'Too many frames', reconnect: false },
  frame_too_large: { code: 1009, reason: 'Frame too large', reconnect: false },
  not_json: { code: 4400, reason: 'Not JSON', reconnect: false },
  invalid_tokens: { code: 4401, reason: 'Too many invalid tokens', reconnect: false },
  token_ended: { code: 4403, reason: 'Token expired or revoked', reconnect: true },
  does_not_read: { code: 4408, reason: 'Client reads too slowly', reconnect: true },
  no_token: { code: 4409, reason: 'Authentication timeout', reconnect: true },
  too_many_connections: { code: 4429, reason: 'Too many connections', reconnect: true },
} as const;

export type CloseReason = keyof typeof closeCodes;

export const RemovalCode = z
  .enum(['BANNED', 'RULE_REMOVED', 'NO_READ', 'LEVEL_TOO_LOW', 'DECLINED', 'ROOM_DELETED'])
  .meta({ id: 'RemovalCode', description: 'Why the member was removed from the room.' });
export type RemovalCode = z.infer<typeof RemovalCode>;

interface Details {
  /** Replaces the message from the table of errors. Clients receive it. */
  message?: string;
  /** The invalid field of the request. */
  field?: string;
  retryAfterMs?: number;
  /** The current state that the request conflicts with. It is sent to the client. */
  current?: object;
  /** The cause is logged, but not sent to clients. */
  cause?: unknown;
}

/**
 * The only error that use cases throw on purpose. `from` converts schema errors to `BAD_REQUEST` and all other errors
 * to `INTERNAL`.
 */
export class ChatError extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly current: object | undefined;

  constructor(code: ErrorCode, { message, field, retryAfterMs, current, cause }: Details = {}) {
    super(message ?? errors[code].message, { cause });
    this.name = 'ChatError';
    this.code = code;
    this.field = field;
    this.retryAfterMs = retryAfterMs;
    this.current = current;
  }

  static from(thrown: unknown): ChatError {
    if (thrown instanceof ChatError) return thrown;
    if (thrown instanceof z.ZodError) return badRequest(thrown);
    return new ChatError('INTERNAL', { cause: thrown });
  }

  /** The message, after the name of the invalid field if there is one: `field: message`. */
  get detail(): string {
    return this.field ? `${this.field}: ${this.message}` : this.message;
  }
}

function badRequest(error: z.ZodError): ChatError {
  const issue = error.issues[0];
  const field = issue?.path.join('.');
  return new ChatError('BAD_REQUEST', { message: issue?.message, field: field || undefined });
}
