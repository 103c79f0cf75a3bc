import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openEmbedded } from '../database/embedded-database.ts';
import { migrate, missingMigrations } from '../database/migrate.ts';
import { openDatabase } from '../database/open-database.ts';
import { UnsuitableDatabase } from '../database/unsuitable-database.ts';
import { ImportError, reasonOf } from './import-error.ts';
import { placeOf } from './legacy-database.ts';

/** This service's database, in one session. */
export interface Target {
  place: string;
  query<Row>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

type Database = { mode: 'embedded'; directory: string | undefined } | { mode: 'postgres'; databaseUrl: string };

/** Migrated. A dry run leaves an embedded database alone that is not there yet, and takes an empty one for it. */
export async function openTarget(database: Database, dryRun: boolean): Promise<Target> {
  const target =
    database.mode === 'postgres'
      ? await openPostgres(database.databaseUrl)
      : await openDirectory(database.directory, dryRun);
  try {
    const missing = await missingMigrations((text) => target.query(text));
    if (missing.length === 0) return target;
    const names = missing.join(', ');
    throw new ImportError(`The database at ${target.place} lacks migrations (${names}): run "npm run migrate" first`);
  } catch (error) {
    await target.close();
    throw error;
  }
}

const lockTimeoutMs = 30_000;

async function openPostgres(url: string): Promise<Target> {
  const place = placeOf(url);
  const { client } = await openDatabase(url, {
    limits: { statementTimeoutMs: 0, lockTimeoutMs, idleInTransactionTimeoutMs: 0 },
    application: 'nano-messaging import',
    connectTimeoutMs: 10_000,
  }).catch((error: unknown) => {
    const what = error instanceof UnsuitableDatabase ? 'cannot be used' : 'cannot be reached';
    throw new ImportError(`The database of this service at ${place} ${what}: ${reasonOf(error)}`, error);
  });
  return {
    place,
    query: async <Row>(text: string, values: unknown[] = []) => (await client.query(text, values)).rows as Row[],
    close: () => client.end().catch(() => {}),
  };
}

async function openDirectory(directory: string | undefined, dryRun: boolean): Promise<Target> {
  const path = directory && join(directory, 'pglite');
  const isThere = path !== undefined && existsSync(path);
  const takesPart = path !== undefined && (isThere || !dryRun);
  const database = await openEmbedded(takesPart ? directory : undefined);
  const { orm, pglite, assertUsable, assertWritable, release } = database;
  try {
    if (!dryRun || !isThere) {
      assertWritable();
      await migrate(orm);
    }
    return {
      place: directory === undefined ? 'memory' : `${directory} (embedded)`,
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
