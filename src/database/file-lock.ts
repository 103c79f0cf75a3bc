import { accessSync, closeSync, constants, openSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

export interface FileLock {
  release(): void;
}

/** Keeps the databases referenced: a lock would be released if its database were garbage-collected. */
const heldLocks = new Set<DatabaseSync>();

/**
 * Locks a file until the lock is released or the process ends, even by a crash. The kernel holds the lock, so processes
 * in other containers on the same machine are excluded too. The lock belongs to an SQLite database, which stays empty,
 * because SQLite is the only way to such locks in Node.js. This process must not open and close the file in any other
 * way, because closing it would release the lock (a rule of POSIX).
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
 * Creates the file if it is missing. An existing file is not opened, because closing it again would release a lock that
 * this process may hold on it.
 */
function createFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    accessSync(path, constants.R_OK | constants.W_OK);
  }
}
