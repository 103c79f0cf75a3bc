import pg from 'pg';
import { formatReaderSetup } from '../database/session-settings.ts';
import { formatReason, ImportError } from './import-error.ts';
import { createLegacyDatabase } from './legacy-reads.ts';
import type { LegacyDatabase } from './legacy-rows.ts';
import { type FoundColumn, findColumnsSql, findTables } from './legacy-tables.ts';

/** Host, port and name; never the password. */
export function formatLocation(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `postgres://${hostname || 'localhost'}:${port || 5432}${pathname}`;
}

export async function openLegacyDatabase(url: string): Promise<LegacyDatabase> {
  const place = formatLocation(url);
  const client = new pg.Client({
    connectionString: url,
    application_name: 'nano-messaging import',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  // What is asked next fails with it.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(formatReaderSetup());
    await client.query(`set work_mem = '64MB'`);
    await client.query('begin isolation level repeatable read read only');
    const tables = findTables((await client.query<FoundColumn>(findColumnsSql)).rows);
    return createLegacyDatabase(client, place, tables);
  } catch (error) {
    await client.end().catch(() => {});
    throw new ImportError(`The original at ${place} cannot be read: ${formatReason(error)}`, error);
  }
}
