import pg from 'pg';
import { readerSetup } from '../database/session-settings.ts';
import { ImportError, reasonOf } from './import-error.ts';
import { originalOver } from './legacy-reads.ts';
import type { Original } from './legacy-rows.ts';
import { type FoundColumn, findColumns, findTables } from './legacy-tables.ts';

/** Host, port and name; never the password. */
export function placeOf(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `postgres://${hostname || 'localhost'}:${port || 5432}${pathname}`;
}

export async function openOriginal(url: string): Promise<Original> {
  const place = placeOf(url);
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
    await client.query(readerSetup());
    await client.query(`set work_mem = '64MB'`);
    await client.query('begin isolation level repeatable read read only');
    const tables = findTables((await client.query<FoundColumn>(findColumns)).rows);
    return originalOver(client, place, tables);
  } catch (error) {
    await client.end().catch(() => {});
    throw new ImportError(`The original at ${place} cannot be read: ${reasonOf(error)}`, error);
  }
}
