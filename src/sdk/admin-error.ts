import type { ErrorCode } from '../core/errors.ts';

/**
 * The codes of the service (docs/protocol/errors.md), and those of the client: `UNREACHABLE` (no connection, or something
 * in between answered instead of the service) and `TIMEOUT` (no answer in time; the call may have been carried out).
 */
export type AdminErrorCode = ErrorCode | 'UNREACHABLE' | 'TIMEOUT';

interface Details {
  status?: number | undefined;
  field?: string | undefined;
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** A call of the server API has failed, after the retries that make sense. */
export class AdminError extends Error {
  readonly code: AdminErrorCode;
  /** The HTTP status; undefined without an answer. */
  readonly status: number | undefined;
  /** The invalid field of the request, if it is one. */
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: AdminErrorCode, message: string, { status, field, retryAfterMs, cause }: Details = {}) {
    super(message, { cause });
    this.name = 'AdminError';
    this.code = code;
    this.status = status;
    this.field = field;
    this.retryAfterMs = retryAfterMs;
  }
}

interface RefusedMeta {
  reason: ErrorCode;
  message: string;
  detail?: string;
  retry_after_ms?: number;
}

const readMeta = (answer: unknown): RefusedMeta | undefined => {
  const meta = (answer as { meta?: RefusedMeta } | null)?.meta;
  return typeof meta?.reason === 'string' ? meta : undefined;
};

/** `answer` is the JSON of the answer, undefined if it is none: a balancer has answered, or it is another service. */
export function toAdminError(call: string, status: number, retryAfter: string | null, answer: unknown): AdminError {
  const meta = readMeta(answer);
  const seconds = retryAfter === null || retryAfter === '' ? Number.NaN : Number(retryAfter);
  const retryAfterMs = meta?.retry_after_ms ?? (Number.isFinite(seconds) ? seconds * 1_000 : undefined);
  if (!meta) {
    const message = `${call}: the answer with status ${status} is not from the service; check the url`;
    return new AdminError('UNREACHABLE', message, { status, retryAfterMs });
  }
  const field = /^([^\s:]+): /.exec(meta.detail ?? '')?.[1];
  return new AdminError(meta.reason, `${call}: ${meta.detail ?? meta.message}`, { status, field, retryAfterMs });
}
