import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openEmbedded } from '../database/embedded-database.ts';
import { listMissingMigrations, migrate } from '../database/migrate.ts';
import { openDatabase } from '../database/open-database.ts';
import { UnsuitableDatabase } from '../database/unsuitable-database.ts';
import { formatReason, ImportError } from './import-error.ts';
import { formatLocation } from './legacy-database.ts';

/** This service's database, in one session. */
export interface Target {
  location: string;
  query<Row>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

type Database = { mode: 'embedded'; directory: string | undefined } | { mode: 'postgres'; databaseUrl: string };

/** Migrated. A dry run leaves an embedded database alone that is not there yet, and takes an empty one for it. */
export async function openTarget(database: Database, isDryRun: boolean): Promise<Target> {
  const target =
    database.mode === 'postgres'
      ? await openPostgres(database.databaseUrl)
      : await openDirectory(database.directory, isDryRun);
  try {
    const missing = await listMissingMigrations((text) => target.query(text));
    if (missing.length === 0) return target;
    const names = missing.join(', ');
    throw new ImportError(
      `The database at ${target.location} lacks migrations (${names}): run "npm run migrate" first`,
    );
  } catch (error) {
    await target.close();
    throw error;
  }
}

const lockTimeoutMs = 30_000;

async function openPostgres(url: string): Promise<Target> {
  const location = formatLocation(url);
  const { client } = await openDatabase(url, {
    limits: { statementTimeoutMs: 0, lockTimeoutMs, idleInTransactionTimeoutMs: 0 },
    application: 'nano-messaging import',
    connectTimeoutMs: 10_000,
  }).catch((error: unknown) => {
    const what = error instanceof UnsuitableDatabase ? 'cannot be used' : 'cannot be reached';
    throw new ImportError(`The database of this service at ${location} ${what}: ${formatReason(error)}`, error);
  });
  return {
    location,
    query: async <Row>(text: string, values: unknown[] = []) => (await client.query(text, values)).rows as Row[],
    close: () => client.end().catch(() => {}),
  };
}

async function openDirectory(directory: string | undefined, isDryRun: boolean): Promise<Target> {
  const path = directory && join(directory, 'pglite');
  const exists = path !== undefined && existsSync(path);
  const usesDirectory = path !== undefined && (exists || !isDryRun);
  const database = await openEmbedded(usesDirectory ? directory : undefined);
  const { orm, pglite, assertUsable, assertWritable, release } = database;
  try {
    if (!isDryRun || !exists) {
      assertWritable();
      await migrate(orm);
    }
    return {
      location: directory === undefined ? 'memory' : `${directory} (embedded)`,
      query: async <Row>(text: string, values: unknown[] = []) => {
        assertUsable();
        return (await pglite.query<Row>(text, values)).rows;
      },
      close: () => orm.close(true).finally(release),
    };
  } catch (error) {
    await orm.close(true).catch(() => {});
    release();
    throw error;
  }
}
