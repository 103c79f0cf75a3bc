import type { Logger } from 'pino';

/** A loop that retries reports every failure and every success to it. */
export interface FailureLog {
  failed(error: unknown, fields?: object): void;
  /** Cheap if nothing has failed, so call it after every success. True if something had failed. */
  recovered(fields?: object): boolean;
}

interface Texts {
  failing: string;
  recovered: string;
  level?: 'warn' | 'error';
}

/** The same cause is logged again after this. */
const defaultRepeatMs = 60_000;
/** Different causes that are logged within `repeatMs`; further ones are only counted. */
const maxCauses = 20;

/**
 * Logs the first failure, every new cause, a persistent cause once a minute, and the recovery. A failure that comes and
 * goes is logged once a minute, too.
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

/** The innermost cause of the error, as text. */
function findCause(error: unknown): string {
  let deepest = error;
  while (deepest instanceof Error && deepest.cause) deepest = deepest.cause;
  if (!(deepest instanceof Error)) return String(deepest);
  const { code } = deepest as { code?: unknown };
  return `${code ?? deepest.name} ${deepest.message}`;
}
