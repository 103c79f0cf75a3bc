import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The major version of PostgreSQL in PGlite. PGlite cannot open a directory of another major version. */
const postgresVersion = '18';
const controlFileBytes = 8_192;

/**
 * Directories that PostgreSQL needs even if they are empty. They may be missing, because some tools do not copy empty
 * directories.
 */
const requiredDirectories = [
  ...['base', 'global', 'pg_commit_ts', 'pg_dynshmem', 'pg_logical/mappings', 'pg_logical/snapshots'],
  ...['pg_multixact/members', 'pg_multixact/offsets', 'pg_notify', 'pg_replslot', 'pg_serial', 'pg_snapshots'],
  ...['pg_stat', 'pg_stat_tmp', 'pg_subtrans', 'pg_tblspc', 'pg_twophase', 'pg_wal', 'pg_xact'],
];

/** Throws an error with advice if the directory is not empty but contains no complete database. */
export function inspectDirectory(directory: string): void {
  if (readdirSync(directory).length === 0) return;
  const fail = (problem: string, advice: string): never => {
    throw new Error(`The embedded database in ${directory} cannot be opened: ${problem}. ${advice}`);
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
      `it was written by PostgreSQL ${found}, but this version of the service contains PostgreSQL ${postgresVersion}`,
      'Start the version of the service that created it, or set DATA_DIR to another directory',
    );
  }
  const missing = requiredDirectories.filter(
    (name) => !statSync(join(directory, name), { throwIfNoEntry: false })?.isDirectory(),
  );
  if (missing.length > 0)
    fail(`it is an incomplete copy without ${missing.join(', ')} (empty directories are needed, too)`, restoreAdvice);
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
