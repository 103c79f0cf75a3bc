import { closeSync, fstatSync, openSync, rmSync, type Stats, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { lockFile } from './file-lock.ts';
import {
  createHolder,
  describeHolder,
  type Holder,
  isAlive,
  isForeign,
  isNamesake,
  readHolder,
  writeHolder,
} from './lock-holder.ts';
import { makeDirectory } from './make-directory.ts';

export interface DirectoryLock {
  /**
   * Throws if another process has taken over the directory. This process must not write to the directory after that.
   */
  assertHeld(): void;
  release(): void;
}

export interface LockOptions {
  /** Called at most once, when this process notices that another process has taken over the directory. */
  onLost?: (error: Error) => void;
  /** Called before the process waits to see whether a holder on another machine is still alive. */
  onWait?: (message: string) => void;
  /** How often the holder updates the modification time of its lock file. */
  beatIntervalMs?: number;
  /** A holder on another machine counts as dead if it has not updated its lock file for this long. */
  foreignTimeoutMs?: number;
}

/**
 * Locks the embedded data directory for this process, and creates it if it is missing. Without the lock, two processes
 * on one PGlite directory would silently lose each other's rows. On one machine, a file lock of the kernel excludes
 * other processes, even those in other containers. On a file system without file locks that several machines share, the
 * holder regularly updates its lock file to show that it is alive. If the holder was suspended and another process has
 * taken over the directory, the holder notices this at its next statement.
 */
export async function lockDataDirectory(directory: string, options: LockOptions = {}): Promise<DirectoryLock> {
  const { onLost = () => {}, onWait = () => {}, beatIntervalMs = 2_000, foreignTimeoutMs = 10_000 } = options;
  const path = join(directory, 'lock');
  const fileLock = acquireFileLock(directory);
  if (fileLock === 'taken') throw createInUseError(directory, readHolder(path));
  try {
    const found = readHolder(path);
    // If this process has the file lock, a holder that looks like this process must be a dead process in another
    // container.
    const isDead = found && (!isAlive(found) || (isNamesake(found) && fileLock !== 'unsupported'));
    if (found && !isDead) throw createInUseError(directory, found);
    if (found && (isForeign(found) || fileLock === 'unsupported')) {
      onWait(
        `the data directory was last used on ${found.host}; waiting ${foreignTimeoutMs / 1_000} s to see whether it still is`,
      );
      if (await isTouchedWithin(path, foreignTimeoutMs)) throw createInUseError(directory, readHolder(path));
    }
    const mine = createHolder();
    writeHolder(path, mine);
    if (fileLock === 'unsupported') {
      // Another process may have found the same dead holder and written its own name at the same time. After this delay
      // both have written, and the process that wrote last holds the lock.
      await pause(beatIntervalMs);
      if (readHolder(path)?.id !== mine.id) throw createInUseError(directory, readHolder(path));
    }

    let lossError: Error | undefined;
    let lastStamp = readStamp(path);
    const assertUnchanged = (stamp: string) => {
      if (lossError) throw lossError;
      if (stamp === lastStamp) return;
      const holder = readHolder(path);
      if (holder?.id !== mine.id) {
        lossError = createLossError(directory, holder);
        onLost(lossError);
        throw lossError;
      }
      lastStamp = stamp;
    };
    const assertHeld = () => assertUnchanged(formatStamp(statSync(path, { throwIfNoEntry: false })));
    const beat = setInterval(() => {
      try {
        assertUnchanged(readStamp(path));
        const now = new Date();
        utimesSync(path, now, now);
        lastStamp = readStamp(path);
      } catch {
        // No error is reported here: `onLost` has already reported a lost lock, and if the disk fails, the statements
        // fail too.
        if (lossError) clearInterval(beat);
      }
    }, beatIntervalMs).unref();
    return {
      assertHeld,
      release() {
        clearInterval(beat);
        if (readHolder(path)?.id === mine.id) rmSync(path, { force: true });
        if (fileLock !== 'unsupported') fileLock.release();
      },
    };
  } catch (error) {
    if (fileLock !== 'unsupported') fileLock.release();
    throw error;
  }
}

/**
 * Creates the directory, and locks a file in it. No other file is created before it: if the directory is not writable,
 * the error comes from here.
 */
function acquireFileLock(directory: string): ReturnType<typeof lockFile> {
  try {
    makeDirectory(directory);
    return lockFile(join(directory, 'lock.db'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const user = process.getuid ? `user ${process.getuid()}` : 'this user';
    const message =
      `The data directory ${directory} cannot be written by ${user} (${code}). ` +
      'Make it writable (chown, or free disk space), set DATA_DIR to another directory, or use DATABASE_URL';
    throw new Error(message, { cause: error });
  }
}

/** Creates the error for a lost lock. Its `code` makes the store treat it as an outage of the database. */
function createLossError(directory: string, holder: Holder | undefined): Error {
  const by = holder ? ` by ${describeHolder(holder)}` : ': its file "lock" is gone';
  const message = `The data directory ${directory} was taken over${by}. Run one process only, or use DATABASE_URL.`;
  return Object.assign(new Error(message), { code: 'ELOST' });
}

function createInUseError(directory: string, holder: Holder | undefined): Error {
  return new Error(
    `The data directory ${directory} is in use by ${holder ? describeHolder(holder) : 'another process'}. Stop that server first, ` +
      'or set DATA_DIR to another directory, or use DATABASE_URL to run several processes on one PostgreSQL.',
  );
}

/**
 * Returns whether the file is touched, replaced or removed within the time. Only compares times of the file with each
 * other, because the clocks of two machines may differ.
 */
async function isTouchedWithin(path: string, withinMs: number): Promise<boolean> {
  const first = readStamp(path);
  for (const until = Date.now() + withinMs; Date.now() < until; ) {
    await pause(Math.min(500, withinMs / 10));
    if (readStamp(path) !== first) return true;
  }
  return false;
}

/**
 * Opens the file before reading its times, because a network file system may answer from a cache for a file that is not
 * open.
 */
function readStamp(path: string): string {
  try {
    const file = openSync(path, 'r');
    try {
      return formatStamp(fstatSync(file));
    } finally {
      closeSync(file);
    }
  } catch {
    return formatStamp(undefined);
  }
}

/**
 * Formats a value that changes when the file is touched or replaced. The inode alone is not enough, because a new file
 * may reuse it.
 */
const formatStamp = (stats: Stats | undefined): string => (stats ? `${stats.ino} ${stats.mtimeMs}` : 'gone');
