import { ChatError } from '../protocol/errors.ts';

/** The SQLSTATE of a database error, through what the ORM wraps around it. */
export function sqlState(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = (at as { code?: unknown }).code;
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return undefined;
}

export const uniqueViolation = '23505';

/** Connection exceptions, too many connections, shutting down or crashed, and statements over their time. */
const passing = /^(08...|53...|57...|40...|55P03|25006)$/;

/**
 * The database itself being away is `UNAVAILABLE`: whether the work was done is then not known. A refusal of ours and
 * a constraint that did not hold pass through.
 */
export function unavailable(error: unknown): never {
  if (error instanceof ChatError) throw error;
  const state = sqlState(error);
  if (state ? passing.test(state) : isConnectionError(error)) throw new ChatError('UNAVAILABLE', { cause: error });
  throw error;
}

function isConnectionError(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as { code?: unknown };
    if (typeof code === 'string' && /^(E[A-Z]+|DEPTH_ZERO|ERR_)/.test(code)) return true;
    if (/connection|timeout|timed out|socket|closed|ended|pool/i.test(at.message)) return true;
  }
  return false;
}
