import { escapeIdentifier, escapeLiteral } from 'pg';

export interface DatabaseLocation {
  /** Contains all tables and functions of the service. */
  schema: string;
  /** `server_version_num`, such as 150004. */
  serverVersion: number;
}

/** 0 is off. The server itself ends the work, so that abandoned statements do not go on. */
export interface SessionLimits {
  statementTimeoutMs: number;
  lockTimeoutMs: number;
  /** A node that is frozen in a transaction must not hold its locks. */
  idleInTransactionTimeoutMs: number;
}

/** Settings that the service relies on, whatever the defaults of the server, the database or the account. */
const requiredSettings: Record<string, string> = {
  client_encoding: 'UTF8',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  // Otherwise a backslash in a string literal would be an escape character.
  standard_conforming_strings: 'on',
  // Otherwise a null in an array parameter would be the text "NULL".
  array_nulls: 'on',
  bytea_output: 'hex',
  extra_float_digits: '1',
  // `append_messages` reads again after it waited for a lock, and must see what was committed meanwhile.
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
};

const transactionTimeoutVersion = 170_000;

/**
 * One statement that makes a session independent of defaults. It is sent after connecting, because poolers such as
 * PgBouncer refuse most parameters in the startup message.
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

/** The settings for reading a foreign database of any version: its own search path, and no limits. */
export function formatReaderSetup(): string {
  const limits = { statement_timeout: '0', lock_timeout: '0', idle_in_transaction_session_timeout: '0' };
  return formatSettings({ ...requiredSettings, ...limits });
}

function formatSettings(settings: Record<string, string>): string {
  const calls = Object.entries(settings).map(
    ([name, value]) => `set_config(${escapeLiteral(name)}, ${escapeLiteral(value)}, false)`,
  );
  // This comes first, because the account's limit may be too tight for the rest.
  return `set statement_timeout = 0; select ${calls.join(', ')}`;
}
