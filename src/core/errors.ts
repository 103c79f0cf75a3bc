import { z } from 'zod';

/**
 * Every refusal, for all transports. `http` is the status on REST, `chat` the word of the `/chat` status frame,
 * `retry` whether the same request may succeed later.
 */
export const errors = {
  BAD_REQUEST: { http: 400, chat: 'ERROR', retry: false, message: 'The request is not understood' },
  UNAUTHENTICATED: { http: 401, chat: 'ERROR', retry: false, message: 'A valid token is needed' },
  TOKEN_EXPIRED: { http: 401, chat: 'ERROR', retry: false, message: 'The token has expired' },
  TOKEN_REVOKED: { http: 401, chat: 'ERROR', retry: false, message: 'The token has been revoked' },
  FORBIDDEN: { http: 403, chat: 'NOTAUTHORIZED', retry: false, message: 'Your rights do not allow this' },
  BANNED: { http: 403, chat: 'NOTAUTHORIZED', retry: false, message: 'You are banned from this room' },
  TOO_MANY_RULES: { http: 403, chat: 'ERROR', retry: false, message: 'The room has as many rules as it may have' },
  NOT_FOUND: { http: 404, chat: 'NOTAUTHORIZED', retry: false, message: 'There is no such thing for you' },
  ID_REUSED: {
    http: 409,
    chat: 'ERROR',
    retry: false,
    message: 'This client_msg_id already names a message with other content',
  },
  LAST_ADMIN: { http: 409, chat: 'ERROR', retry: false, message: 'The last rule that administers the room stays' },
  ROOM_FULL: { http: 409, chat: 'ERROR', retry: false, message: 'A user2user room has its two users' },
  PAIR_EXISTS: { http: 409, chat: 'ERROR', retry: false, message: 'These two users already have a room' },
  TOO_LARGE: { http: 413, chat: 'ERROR', retry: false, message: 'This is larger than the server takes' },
  RATE_LIMITED: { http: 429, chat: 'ERROR', retry: true, message: 'Too many messages or requests, wait a moment' },
  TOO_MANY_ROOMS: {
    http: 429,
    chat: 'ERROR',
    retry: false,
    message: 'There are as many rooms as there may be',
  },
  TOO_MANY_CONNECTIONS: { http: 429, chat: 'ERROR', retry: true, message: 'This user has too many connections' },
  INTERNAL: { http: 500, chat: 'ERROR', retry: true, message: 'Something went wrong here' },
  UNAVAILABLE: { http: 503, chat: 'ERROR', retry: true, message: 'Not possible right now, try again' },
} as const satisfies Record<string, { http: number; chat: 'ERROR' | 'NOTAUTHORIZED'; retry: boolean; message: string }>;

export type ErrorCode = keyof typeof errors;
export const ErrorCode = z.enum(Object.keys(errors) as [ErrorCode, ...ErrorCode[]]).meta({ id: 'ErrorCode' });

/** What is said of a token that is missing or does not hold. */
export const tokenErrorCodes: readonly ErrorCode[] = ErrorCode.options.filter((code) => errors[code].http === 401);

/** The codes that have this word on `/chat`. */
export const listChatCodes = (status: 'ERROR' | 'NOTAUTHORIZED'): ErrorCode[] =>
  ErrorCode.options.filter((code) => errors[code].chat === status);

/**
 * How a `/chat` connection ends, and whether coming back makes sense. `ws` sends 1002, 1007, 1008 and 1009 by itself, too,
 * without a reason.
 */
export const closeCodes = {
  quit: { code: 1000, reason: 'Goodbye', reconnect: false },
  draining: { code: 1001, reason: 'Server shutting down', reconnect: true },
  protocol_error: { code: 1002, reason: 'Protocol error', reconnect: false },
  not_utf8: { code: 1007, reason: 'Not UTF-8', reconnect: false },
  too_many_frames: { code: 1008, reason: 'Too many frames', reconnect: false },
  frame_too_large: { code: 1009, reason: 'Frame too large', reconnect: false },
  not_json: { code: 4400, reason: 'Not JSON', reconnect: false },
  bad_tokens: { code: 4401, reason: 'Too many bad tokens', reconnect: false },
  token_ended: { code: 4403, reason: 'Token expired or revoked', reconnect: true },
  does_not_read: { code: 4408, reason: 'Too much unread', reconnect: true },
  no_token: { code: 4409, reason: 'No token in time', reconnect: true },
  too_many_connections: { code: 4429, reason: 'Too many connections', reconnect: true },
} as const;

export type CloseReason = keyof typeof closeCodes;

/** Why a live member was taken out of a room. */
export const RemovalCode = z
  .enum(['BANNED', 'RULE_REMOVED', 'NO_READ', 'LEVEL_TOO_LOW', 'DECLINED', 'ROOM_DELETED'])
  .meta({ id: 'RemovalCode', description: 'Why the member was taken out of the room.' });
export type RemovalCode = z.infer<typeof RemovalCode>;

interface Details {
  /** Says more than the table's sentence; shown to the client. */
  message?: string;
  /** The field of the request that is wrong. */
  field?: string;
  retryAfterMs?: number;
  /** For the log only. */
  cause?: unknown;
}

/** The one error a use case throws; everything else that is caught becomes `INTERNAL`. */
export class ChatError extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, { message, field, retryAfterMs, cause }: Details = {}) {
    super(message ?? errors[code].message, { cause });
    this.name = 'ChatError';
    this.code = code;
    this.field = field;
    this.retryAfterMs = retryAfterMs;
  }

  static from(thrown: unknown): ChatError {
    if (thrown instanceof ChatError) return thrown;
    if (thrown instanceof z.ZodError) return badRequest(thrown);
    return new ChatError('INTERNAL', { cause: thrown });
  }

  /** `field: why`, or only why where no single field is at fault. */
  get detail(): string {
    return this.field ? `${this.field}: ${this.message}` : this.message;
  }
}

function badRequest(error: z.ZodError): ChatError {
  const issue = error.issues[0];
  const field = issue?.path.join('.');
  return new ChatError('BAD_REQUEST', { message: issue?.message, field: field || undefined });
}

/** Parses what came from outside, or throws `BAD_REQUEST` naming the first field that is wrong. */
export function parse<T extends z.ZodType>(schema: T, input: unknown): z.infer<T> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw badRequest(parsed.error);
}
