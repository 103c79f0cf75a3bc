import { ChatError } from '../core/errors.ts';

/** The service cannot work with the database. The message names the reason and what to do. */
export class UnsuitableDatabase extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnsuitableDatabase';
  }
}

/** No connection could be had, for whatever reason. */
export class ConnectionFailed extends Error {
  /** The ORM copies the properties of an error to one of a class of its own. */
  readonly noConnection = true;

  constructor(cause: unknown) {
    super(cause instanceof Error && cause.message ? cause.message : 'No connection to the database', { cause });
    this.name = 'ConnectionFailed';
  }
}

/** The SQLSTATE. What the server itself answered carries a severity. */
export function sqlState(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, severity } = at as { code?: unknown; severity?: unknown };
    if (severity !== undefined && typeof code === 'string') return code;
  }
  return undefined;
}

/** The server is well, and this work met other work: serialization failures, deadlocks, locks that were not free in time. */
const conflictState = /^(40...|55P03)$/;

/**
 * The server answers on this connection, and what it answers is no good for now. Reads may go on, so that their success
 * says nothing about writes.
 */
const partialOutage = new RegExp(
  [
    '25006', // read-only: a standby after a failover, or a provider that has locked a full disk
    '53...', // disk full, out of memory, too many connections
    '58...', // I/O errors
    'XX00[12]', // a damaged table or index
    '42501', // a privilege was revoked
    '42P01|42703|42883|3F000', // a table, column, function or schema is not there, as during a restore
  ].join('|'),
);

/** This session, or all of them, are of no use any more. */
const lostSession = new RegExp(
  [
    '08...', // connection exceptions
    '57...', // a time limit, shutting down, starting, crashed, dropped database
    '25P..', // a transaction that was ended by a time limit
    '28...', // the account may not log in, or its password was changed
    '3D000', // no such database
    '55000|55006', // the database takes no connections
    '26000|42P05|0A000', // prepared statements that the server does not have, or has otherwise
  ].join('|'),
);

const queryCanceledState = '57014';

const matches = (pattern: RegExp, state: string) => new RegExp(`^(${pattern.source})$`).test(state);

/** A statement that the server has judged and does not take; the connection is as good as before. */
export function isRejectedStatement(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && (isConflict(error) || !isOutage(state));
}

/** Data or a constraint: the same statement without the row at fault may well be taken. */
export function isDataError(error: unknown): boolean {
  return /^2[23]/.test(sqlState(error) ?? '');
}

export function isConflict(error: unknown): boolean {
  return conflictState.test(sqlState(error) ?? '');
}

/** Reads that succeed do not show that this is over. */
export function affectsWrites(error: unknown): boolean {
  if (error instanceof UnsuitableDatabase) return true;
  return !isConnectionFailure(error) && matches(partialOutage, sqlState(error) ?? '');
}

/** Other sessions that are there are lost, too, or lead to the wrong server. */
export function affectsAllSessions(error: unknown): boolean {
  // What there is may well go on if only a new connection cannot be had.
  if (isConnectionFailure(error) || error instanceof UnsuitableDatabase) return false;
  const state = sqlState(error);
  if (state === undefined) return isUnavailable(error);
  return state !== queryCanceledState && (state === '25006' || /^(08|57)/.test(state));
}

/**
 * The database itself being away is `UNAVAILABLE`: whether the work was done is then not known. A refusal of ours and
 * a constraint that did not hold pass through.
 */
export function rethrowAsUnavailable(error: unknown): never {
  if (isUnavailable(error)) throw new ChatError('UNAVAILABLE', { cause: error });
  throw error;
}

/** The database has not answered, or not this time. */
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

/** What `pg`, its pool and PGlite say of a connection that failed, was slow, or is closed. */
const connectionLostMessage =
  /^(Connection terminated|Query read timeout|timeout exceeded|Client (was|has)|Cannot use a pool|PGlite is clos)/;

/** Of the system, and of TLS. */
const connectionErrorCode = /^(E[A-Z]+|ERR_(SSL|TLS)_\w+)$/;

function isConnectionError(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, message } = at as { code?: unknown; message: string };
    if ((typeof code === 'string' && connectionErrorCode.test(code)) || connectionLostMessage.test(message))
      return true;
  }
  return false;
}
