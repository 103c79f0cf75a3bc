import { escapeIdentifier, escapeLiteral } from 'pg';

export interface DatabaseLocation {
  /** The schema that contains all tables and functions of the service. */
  schema: string;
  /** `server_version_num`, such as 150004. */
  serverVersion: number;
}

/**
 * Time limits of a session; 0 means no limit. The server enforces them, so they also end a statement whose client has
 * crashed.
 */
export interface SessionLimits {
  statementTimeoutMs: number;
  lockTimeoutMs: number;
  /** Limits how long a node that is frozen within a transaction can hold locks. */
  idleInTransactionTimeoutMs: number;
}

/** Settings that the service relies on. They override the defaults of the server, the database and the account. */
const requiredSettings: Record<string, string> = {
  client_encoding: 'UTF8',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  // With `off`, a backslash in a string literal would be an escape character.
  standard_conforming_strings: 'on',
  // With `off`, a null in an array parameter would become the text "NULL".
  array_nulls: 'on',
  bytea_output: 'hex',
  extra_float_digits: '1',
  // When `append_messages` has waited for a lock, its next statement must see what other transactions have committed in
  // the meantime.
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
};

const transactionTimeoutVersion = 170_000;

/**
 * Returns a query that sets everything in a session on which the service relies. It is sent after connecting, not as
 * part of the startup message, because poolers such as PgBouncer refuse most parameters there.
 */
export function formatSessionSetup({ schema, serverVersion }: DatabaseLocation, limits: SessionLimits): string {
  const settings: Record<string, string> = {
    ...requiredSettings,
    idle_session_timeout: '0',
    search_path: escapeIdentifier(schema),
    statement_timeout: String(limits.statementTimeoutMs),
    lock_timeout: String(limits.lockTimeoutMs),
    idle_in_transaction_session_timeout: String(limits.idleInTransactionTimeoutMs),
    ...(serverVersion >= transactionTimeoutVersion && { transaction_timeout: '0' }),
  };
  return formatSettings(settings);
}

/**
 * Returns a query that prepares a session for reading a database of another program. It works with every version of
 * PostgreSQL. The session keeps its search path and has no time limits.
 */
export function formatReaderSetup(): string {
  const limits = { statement_timeout: '0', lock_timeout: '0', idle_in_transaction_session_timeout: '0' };
  return formatSettings({ ...requiredSettings, ...limits });
}

function formatSettings(settings: Record<string, string>): string {
  const calls = Object.entries(settings).map(
    ([name, value]) => `set_config(${escapeLiteral(name)}, ${escapeLiteral(value)}, false)`,
  );
  // The account may have a statement timeout that is too short even for this query, so it is turned off first.
  return `set statement_timeout = 0; select ${calls.join(', ')}`;
}
