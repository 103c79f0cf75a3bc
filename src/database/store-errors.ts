import { ChatError } from '../core/errors.ts';

/** The service cannot work with the database. The message names the reason and what to do. */
export class UnsuitableDatabase extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnsuitableDatabase';
  }
}

/** No connection was available, for any reason. */
export class ConnectionFailed extends Error {
  /** A property, because the ORM copies an error's properties to an error of another class. */
  readonly noConnection = true;

  constructor(cause: unknown) {
    super(cause instanceof Error && cause.message ? cause.message : 'No connection to the database', { cause });
    this.name = 'ConnectionFailed';
  }
}

/** The SQLSTATE of an error that the server answered; only those have a severity. */
export function sqlState(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, severity } = at as { code?: unknown; severity?: unknown };
    if (severity !== undefined && typeof code === 'string') return code;
  }
  return undefined;
}

/** Conflicts on a healthy server: serialization failures, deadlocks and lock timeouts. */
const conflictState = /^(40...|55P03)$/;

/**
 * Outages in which the connection works, but statements fail. Reads may succeed, so their success proves nothing about
 * writes.
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

/** Errors after which this session, or every session, is unusable. */
const lostSession = new RegExp(
  [
    '08...', // connection exceptions
    '57...', // a time limit, shutting down, starting, crashed, dropped database
    '25P..', // a transaction that was ended by a time limit
    '28...', // the account may not log in, or its password was changed
    '3D000', // no such database
    '55000|55006', // the database takes no connections
    '26000|42P05|0A000', // prepared statements that the server lacks or has with another definition
  ].join('|'),
);

const queryCanceledState = '57014';

const matches = (pattern: RegExp, state: string) => new RegExp(`^(${pattern.source})$`).test(state);

/** Whether the server rejected the statement itself; the connection remains usable. */
export function isRejectedStatement(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && (isConflict(error) || !isOutage(state));
}

/** An error of data or of a constraint: the statement may succeed without the row at fault. */
export function isDataError(error: unknown): boolean {
  return /^2[23]/.test(sqlState(error) ?? '');
}

export function isConflict(error: unknown): boolean {
  return conflictState.test(sqlState(error) ?? '');
}

/** Successful reads do not prove that such an outage is over. */
export function affectsWrites(error: unknown): boolean {
  if (error instanceof UnsuitableDatabase) return true;
  return !isConnectionFailure(error) && matches(partialOutage, sqlState(error) ?? '');
}

/** Whether the other sessions are lost, too, or lead to the wrong server. */
export function affectsAllSessions(error: unknown): boolean {
  // Existing sessions may still work if only a new connection fails.
  if (isConnectionFailure(error) || error instanceof UnsuitableDatabase) return false;
  const state = sqlState(error);
  if (state === undefined) return isUnavailable(error);
  return state !== queryCanceledState && (state === '25006' || /^(08|57)/.test(state));
}

/**
 * Turns an outage into `UNAVAILABLE`, in which case the outcome of the work is unknown. Other errors, such as `ChatError`s
 * and violated constraints, pass through.
 */
export function rethrowAsUnavailable(error: unknown): never {
  if (isUnavailable(error)) throw new ChatError('UNAVAILABLE', { cause: error });
  throw error;
}

/** The database did not answer, or could not do the work this time. */
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

/** Messages of `pg`, its pool and PGlite for connections that failed, timed out or are closed. */
const connectionLostMessage =
  /^(Connection terminated|Query read timeout|timeout exceeded|Client (was|has)|Cannot use a pool|PGlite is clos)/;

/** Error codes of the system and of TLS. */
const connectionErrorCode = /^(E[A-Z]+|ERR_(SSL|TLS)_\w+)$/;

function isConnectionError(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, message } = at as { code?: unknown; message: string };
    if ((typeof code === 'string' && connectionErrorCode.test(code)) || connectionLostMessage.test(message))
      return true;
  }
  return false;
}
