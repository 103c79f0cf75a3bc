import { ChatError } from '../protocol/errors.ts';

/** The SQLSTATE. What the server itself answered carries a severity. */
export function stateOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, severity } = at as { code?: unknown; severity?: unknown };
    if (severity !== undefined && typeof code === 'string') return code;
  }
  return undefined;
}

/** Connection exceptions, too many connections, shutting down or crashed, time limits, locks that were not had. */
const passing = /^(08...|53...|57...|40...|25P..|55P03)$/;

/** A statement that the server has judged and does not take; the connection is as good as before. */
export function isRefusal(error: unknown): boolean {
  const state = stateOf(error);
  return state !== undefined && !/^(08|57)/.test(state);
}

/** Data or a constraint: the same statement without the row at fault may well be taken. */
export function isAboutData(error: unknown): boolean {
  return /^2[23]/.test(stateOf(error) ?? '');
}

/**
 * The database itself being away is `UNAVAILABLE`: whether the work was done is then not known. A refusal of ours and
 * a constraint that did not hold pass through.
 */
export function unavailable(error: unknown): never {
  if (isAway(error)) throw new ChatError('UNAVAILABLE', { cause: error });
  throw error;
}

/** The database has not answered, or not this time. */
export function isAway(error: unknown): boolean {
  if (error instanceof ChatError) return false;
  const state = stateOf(error);
  return state ? passing.test(state) : isConnectionError(error);
}

/** What `pg`, its pool and PGlite say of a connection that failed, was slow, or is closed. */
const connectionLost =
  /^(Connection terminated|Query read timeout|timeout exceeded|Client (was|has)|Cannot use a pool|PGlite is clos)/;

function isConnectionError(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, message } = at as { code?: unknown; message: string };
    if ((typeof code === 'string' && /^E[A-Z]+$/.test(code)) || connectionLost.test(message)) return true;
  }
  return false;
}
