import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readConfig } from '../config/config.ts';
import { migrateDatabase } from '../database/migrate.ts';
import { assertEmpty, type MovedTables, MoveError, moveDatabase } from '../database/move/move-database.ts';
import { readTables, sortParentsFirst } from '../database/move/tables.ts';
import { openDatabase } from '../database/open-database.ts';
import { UnsuitableDatabase } from '../database/store-errors.ts';
import { formatLocation } from '../legacy-import/legacy-database.ts';
import { formatReason } from '../legacy-import/report.ts';
import { openTarget as openOwnDatabase } from '../legacy-import/target.ts';

const usage = `npm run move -- postgres://user:password@host:port/database

Copies the embedded database in DATA_DIR to an empty PostgreSQL database: rooms, rules, messages, the log and the
revocations, with their numbers and times. Stop the server first. The move is one transaction: both databases are compared
before the commit, and a move that fails or is interrupted leaves no rows behind. The embedded database is not changed.

  --help   prints this text

Exit codes: 0 the move succeeded; 1 it failed, and nothing was moved`;

const limits = { statementTimeoutMs: 0, lockTimeoutMs: 30_000, idleInTransactionTimeoutMs: 0 };

function readOptions() {
  const { values, positionals } = parseArgs({ options: { help: { type: 'boolean' } }, allowPositionals: true });
  return { help: values.help, urls: positionals };
}

function parseTargetUrl(urls: readonly string[]): string {
  const [url, ...more] = urls;
  const isUrl = url !== undefined && URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol);
  if (!isUrl || more.length > 0)
    throw new MoveError(`Give exactly one URL, that of an empty PostgreSQL database.\n\n${usage}`);
  return url;
}

/** Opens the embedded database. Takes its lock and applies migrations, as the server does when it starts. */
async function openSource(directory: string) {
  if (!existsSync(join(directory, 'pglite'))) {
    throw new MoveError(
      `There is no embedded database in ${directory}. Set DATA_DIR to the data directory of the server`,
    );
  }
  const source = await openOwnDatabase({ mode: 'embedded', directory }, false);
  // The session in the target has the same settings. With different settings, the two databases could format equal values
  // differently, and the comparison would fail.
  await source.query(`select set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, MDY', false)`);
  return source;
}

async function openTarget(url: string) {
  const location = formatLocation(url);
  const database = await openDatabase(url, {
    limits,
    application: 'nano-messaging move',
    connectTimeoutMs: 10_000,
  }).catch((error: unknown) => {
    const what = error instanceof UnsuitableDatabase ? 'cannot be used' : 'cannot be reached';
    throw new MoveError(`The database at ${location} ${what}: ${formatReason(error)}`, error);
  });
  const { client } = database;
  return {
    location,
    query: async <Row>(text: string, values: unknown[] = []) => (await client.query(text, values)).rows as Row[],
    migrate: () => migrateDatabase(database),
    close: () => client.end().catch(() => {}),
  };
}

const formatNumber = (n: number) => n.toLocaleString('en');

function formatReport(
  moved: MovedTables,
  locations: { from: string; to: string },
  keyFile: string | undefined,
): string {
  const width = Math.max(...moved.map(({ rows }) => formatNumber(rows).length));
  return [
    `Moved from ${locations.from} to ${locations.to}; every row was compared:`,
    ...moved.map(({ table, rows }) => `  ${formatNumber(rows).padStart(width)} ${table}`),
    '',
    'Next, start the service with',
    '  DATABASE_URL      the URL that you gave to this command',
    ...(keyFile
      ? [`  JWT_SECRET_FILE   ${keyFile}`, 'With this key, current tokens remain valid.']
      : ['and with the same keys as before, so that current tokens remain valid.']),
    `The embedded database is unchanged. Do not start a server on it again: new data in it would not reach PostgreSQL.`,
  ].join('\n');
}

async function main(): Promise<void> {
  const { help, urls } = readOptions();
  if (help) return console.log(usage);
  const url = parseTargetUrl(urls);
  const { DATABASE_URL, DATABASE_URL_FILE, ...env } = process.env;
  const { dataDirectory, warnings } = readConfig(env, { needsKeys: false });
  for (const warning of warnings) console.error(warning);
  const directory = resolve(dataDirectory);
  const source = await openSource(directory);
  try {
    const target = await openTarget(url);
    try {
      const tables = sortParentsFirst(await readTables(source));
      // If the target is not empty, it must not be changed, so this is checked before it is migrated.
      await assertEmpty(target, tables);
      await target.migrate();
      const moved = await moveDatabase({ source, target, tables, print: (line) => console.error(line) });
      const keyFile = join(directory, 'jwt-secret');
      console.log(
        formatReport(moved, { from: source.location, to: target.location }, existsSync(keyFile) ? keyFile : undefined),
      );
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
