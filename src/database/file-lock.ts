import { accessSync, closeSync, constants, openSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

export interface FileLock {
  release(): void;
}

/** Keeps a reference to each database. If a database were garbage-collected, its lock would be released. */
const heldLocks = new Set<DatabaseSync>();

/**
 * Locks a file until `release` is called or the process ends. The kernel holds the lock, so it ends even with a crash,
 * and it also excludes processes in other containers on the same machine. Node.js has no function for such locks, but
 * SQLite uses them, so the file is an empty SQLite database. By a rule of POSIX, the lock is released when this process
 * closes the file, even if it has opened the file a second time. So nothing else in this process may open the file.
 */
export function lockFile(path: string): FileLock | 'taken' | 'unsupported' {
  const sqlite = process.getBuiltinModule('node:sqlite');
  if (sqlite === undefined) return 'unsupported';
  createFile(path);
  const database = new sqlite.DatabaseSync(path);
  try {
    database.exec('pragma busy_timeout = 0; pragma journal_mode = memory; begin exclusive');
  } catch (error) {
    database.close();
    const primary = ((error as { errcode?: number }).errcode ?? 0) & 0xff;
    if (primary === sqliteBusy) return 'taken';
    if (primary === sqliteIoError || primary === sqliteProtocol) return 'unsupported';
    throw error;
  }
  heldLocks.add(database);
  return {
    release() {
      if (heldLocks.delete(database)) database.close();
    },
  };
}

const sqliteBusy = 5;
const sqliteIoError = 10;
const sqliteProtocol = 15;

/**
 * Creates the file if it is missing. An existing file is not opened: if this process already holds the lock, closing the
 * file would release it.
 */
function createFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    accessSync(path, constants.R_OK | constants.W_OK);
  }
}
