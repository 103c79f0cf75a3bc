import { readConfig } from '../config/config.ts';
import { migratePostgres } from '../database/migrate.ts';
import { openPglite } from '../database/open-store.ts';
import { createLogger } from '../observability/logger.ts';
import { mayRun } from './command-line.ts';

const usage = `nano-messaging migrate, or npm run migrate

Applies the migrations that are missing in the database of DATABASE_URL (or DATABASE_URL_FILE). If neither is set, the
command migrates the embedded database in DATA_DIR.

  --help   prints this text`;

/** Applies the same migrations as the server does when it starts. */
async function main(): Promise<void> {
  if (!mayRun(usage)) return;
  const { database, logLevel, warnings } = readConfig(process.env, { needsKeys: false });
  for (const warning of warnings) console.error(warning);
  if (database.mode === 'postgres') {
    const applied = await migratePostgres(database.databaseUrl, createLogger(logLevel).logger);
    for (const name of applied) console.log(`applied ${name}`);
    console.log(applied.length === 0 ? 'Nothing to do: the database is up to date.' : 'The database is up to date.');
  } else {
    await (await openPglite(database.directory)).close();
    console.log(`The embedded database in ${database.directory} is up to date.`);
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
