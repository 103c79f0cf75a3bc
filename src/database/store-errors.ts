import { ChatError } from '../core/errors.ts';

/** Thrown if the service cannot work with the database. The message explains why, and what to do. */
export class UnsuitableDatabase extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnsuitableDatabase';
  }
}

/** Thrown if no connection to the database could be opened. */
export class ConnectionFailed extends Error {
  /**
   * Check this property, not the class: the ORM wraps errors in its own classes and copies only their properties.
   */
  readonly noConnection = true;

  constructor(cause: unknown) {
    super(cause instanceof Error && cause.message ? cause.message : 'No connection to the database', { cause });
    this.name = 'ConnectionFailed';
  }
}

/**
 * Returns the SQLSTATE of an error that the database server has sent. Other errors may have a `code`, too, but it is not
 * a SQLSTATE. They are recognized by their lack of a `severity`.
 */
export function sqlState(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, severity } = at as { code?: unknown; severity?: unknown };
    if (severity !== undefined && typeof code === 'string') return code;
  }
  return undefined;
}

/** SQLSTATEs of conflicts that also occur on a healthy server: serialization failures, deadlocks and lock timeouts. */
const conflictState = /^(40...|55P03)$/;

/**
 * SQLSTATEs of outages in which the connection works, but some statements fail. Reads may still succeed, so a
 * successful read does not prove that writes work again.
 */
const partialOutage = new RegExp(
  [
    '25006', // read-only: a standby after a failover, or a provider that has locked a full disk
    '53...', // disk full, out of memory, too many connections
    '58...', // I/O errors
    'XX00[12]', // a damaged table or index
    '42501', // a privilege was revoked
    '42P01|42703|42883|3F000', // a table, column, function or schema is missing, as during a restore
  ].join('|'),
);

/** SQLSTATEs of errors after which this session, or every session, is unusable. */
const lostSession = new RegExp(
  [
    '08...', // connection exceptions
    '57...', // a time limit, or a server that is starting, shutting down or crashed
    '25P..', // a transaction that was ended by a time limit
    '28...', // the account may not log in, or its password was changed
    '3D000', // the database does not exist
    '55000|55006', // the database accepts no connections
    '26000|42P05|0A000', // a prepared statement is missing on the server, or has another definition there
  ].join('|'),
);

const queryCanceledState = '57014';

const matches = (pattern: RegExp, state: string) => new RegExp(`^(${pattern.source})$`).test(state);

/** Returns true if the server rejected only this statement, so that the connection is still usable. */
export function isRejectedStatement(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && (isConflict(error) || !isOutage(state));
}

/**
 * Returns true if a value or a constraint caused the error. Without the row that caused it, the statement may succeed.
 */
export function isDataError(error: unknown): boolean {
  return /^2[23]/.test(sqlState(error) ?? '');
}

export function isConflict(error: unknown): boolean {
  return conflictState.test(sqlState(error) ?? '');
}

/** Returns true for an outage in which reads may still succeed. A successful read does not prove that it is over. */
export function affectsWrites(error: unknown): boolean {
  if (error instanceof UnsuitableDatabase) return true;
  return !isConnectionFailure(error) && matches(partialOutage, sqlState(error) ?? '');
}

/** Returns true if all other sessions must be replaced too, because they are lost or lead to the wrong server. */
export function affectsAllSessions(error: unknown): boolean {
  // If only a new connection fails, the existing sessions may still work.
  if (isConnectionFailure(error) || error instanceof UnsuitableDatabase) return false;
  const state = sqlState(error);
  if (state === undefined) return isUnavailable(error);
  return state !== queryCanceledState && (state === '25006' || /^(08|57)/.test(state));
}

/**
 * Throws `UNAVAILABLE` if the error means that the database is unavailable. The work may have been done all the same.
 * Other errors, such as a `ChatError` or a violated constraint, are thrown unchanged.
 */
export function rethrowAsUnavailable(error: unknown): never {
  if (isUnavailable(error)) throw new ChatError('UNAVAILABLE', { cause: error });
  throw error;
}

/** Returns true if the database did not answer, or could not do the work at that moment. A later retry may succeed. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof ChatError) return false;
  if (isConnectionFailure(error) || error instanceof UnsuitableDatabase) return true;
  const state = sqlState(error);
  return state ? conflictState.test(state) || isOutage(state) : isConnectionError(error);
}

function isOutage(state: string): boolean {
  return matches(partialOutage, state) || matches(lostSession, state);
}

function isConnectionFailure(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if ('noConnection' in at) return true;
  return false;
}

/** Messages with which `pg`, its pool and PGlite report that a connection failed, timed out or was closed. */
const connectionLostMessage =
  /^(Connection terminated|Query read timeout|timeout exceeded|Client (was|has)|Cannot use a pool|PGlite is clos)/;

/** Error codes of the operating system and of TLS. */
const connectionErrorCode = /^(E[A-Z]+|ERR_(SSL|TLS)_\w+)$/;

function isConnectionError(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, message } = at as { code?: unknown; message: string };
    if ((typeof code === 'string' && connectionErrorCode.test(code)) || connectionLostMessage.test(message))
      return true;
  }
  return false;
}
