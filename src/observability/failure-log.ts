import type { Logger } from 'pino';

/**
 * Logs the failures of an operation that is retried. Call `failed` after every failure, and `recovered` after every
 * success.
 */
export interface FailureLog {
  failed(error: unknown, fields?: object): void;
  /** This is cheap if nothing has failed. Returns true if something has failed since the last success. */
  recovered(fields?: object): boolean;
}

interface Texts {
  failing: string;
  recovered: string;
  level?: 'warn' | 'error';
}

/** The same cause is logged at most once within this time. */
const defaultRepeatMs = 60_000;
/** Within `repeatMs`, at most this many different causes are logged. Further failures are only counted. */
const maxCauses = 20;

/**
 * Logs the first failure, every new cause, and the recovery. A cause that persists or recurs is logged at most once a
 * minute, even if there were successes in between.
 */
export function createFailureLog(
  logger: Pick<Logger, 'warn' | 'error' | 'info'>,
  { failing, recovered, level = 'warn' }: Texts,
  repeatMs = defaultRepeatMs,
): FailureLog {
  const loggedAt = new Map<string, number>();
  let failingSince: number | undefined;
  let failures = 0;
  let isLogged = false;

  return {
    failed(error, fields) {
      const now = performance.now();
      failingSince ??= now;
      failures += 1;
      for (const [cause, at] of loggedAt) if (now - at >= repeatMs) loggedAt.delete(cause);
      const cause = findCause(error);
      if (loggedAt.has(cause) || loggedAt.size >= maxCauses) return;
      loggedAt.set(cause, now);
      isLogged = true;
      logger[level]({ err: error, failures, forMs: Math.round(now - failingSince), ...fields }, failing);
    },
    recovered(fields) {
      if (failingSince === undefined) return false;
      const forMs = Math.round(performance.now() - failingSince);
      if (isLogged) logger.info({ failures, forMs, ...fields }, recovered);
      failingSince = undefined;
      failures = 0;
      isLogged = false;
      return true;
    },
  };
}

/** Returns a text that identifies the innermost cause of the error. */
function findCause(error: unknown): string {
  let deepest = error;
  while (deepest instanceof Error && deepest.cause) deepest = deepest.cause;
  if (!(deepest instanceof Error)) return String(deepest);
  const { code } = deepest as { code?: unknown };
  return `${code ?? deepest.name} ${deepest.message}`;
}
