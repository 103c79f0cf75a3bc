import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The PostgreSQL version that PGlite contains. PGlite cannot open a directory of another version. */
const postgresVersion = '18';
const controlFileBytes = 8_192;

/** Directories that PostgreSQL needs even if they are empty. Some copy tools leave out empty directories. */
const requiredDirectories = [
  ...['base', 'global', 'pg_commit_ts', 'pg_dynshmem', 'pg_logical/mappings', 'pg_logical/snapshots'],
  ...['pg_multixact/members', 'pg_multixact/offsets', 'pg_notify', 'pg_replslot', 'pg_serial', 'pg_snapshots'],
  ...['pg_stat', 'pg_stat_tmp', 'pg_subtrans', 'pg_tblspc', 'pg_twophase', 'pg_wal', 'pg_xact'],
];

/** Throws an error with advice if a non-empty directory contains no complete database. */
export function inspectDirectory(directory: string): void {
  if (readdirSync(directory).length === 0) return;
  const fail = (what: string, advice: string): never => {
    throw new Error(`The embedded database in ${directory} cannot be opened: ${what}. ${advice}`);
  };
  const restoreAdvice =
    'Restore a copy that was made while the server was stopped, with everything in it (tar, cp -a, rsync -a)';
  const found = readText(join(directory, 'PG_VERSION'));
  if (found === undefined) {
    fail(
      'its file PG_VERSION is missing',
      `${restoreAdvice}; if the first start was interrupted, remove the directory`,
    );
  } else if (found !== postgresVersion) {
    fail(
      `it is a directory of PostgreSQL ${found}, but this version of the service needs ${postgresVersion}`,
      'Start the version that created it, or set DATA_DIR to another directory',
    );
  }
  const missing = requiredDirectories.filter(
    (name) => !statSync(join(directory, name), { throwIfNoEntry: false })?.isDirectory(),
  );
  if (missing.length > 0)
    fail(`the copy is incomplete, ${missing.join(', ')} is missing (empty directories count)`, restoreAdvice);
  const control = statSync(join(directory, 'global/pg_control'), { throwIfNoEntry: false })?.size ?? 0;
  if (control !== controlFileBytes)
    fail(`global/pg_control has ${control} bytes instead of ${controlFileBytes}`, restoreAdvice);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
