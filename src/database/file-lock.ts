import { accessSync, closeSync, constants, openSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

export interface FileLock {
  release(): void;
}

/** A database that is collected as garbage loses its lock. */
const heldLocks = new Set<DatabaseSync>();

/**
 * Locks a file until the release or the end of the process, however it ends. The kernel keeps the lock, so it also
 * excludes processes in other containers of the machine. Node.js has no interface to such locks except SQLite, whose
 * database here stays empty. A process that opens the file by other means and closes it loses the lock (POSIX).
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

/** Does not open a file that exists: closing it would release a lock of this process. */
function createFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    accessSync(path, constants.R_OK | constants.W_OK);
  }
}
