import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { lockFile } from './file-lock.ts';
import { makeDirectory } from './make-directory.ts';

export interface DirectoryLock {
  /** Throws if another process has taken the directory over: from then on nothing may be written. */
  assertHeld(): void;
  release(): void;
}

export interface LockOptions {
  /** Called once if another process has taken the directory over. */
  onLost?: (error: Error) => void;
  /** Called before a wait for a holder on another machine. */
  onWait?: (message: string) => void;
  /** How often the holder touches its file. */
  beatIntervalMs?: number;
  /** A holder on another machine that has not touched its file for this long is gone. */
  foreignTimeoutMs?: number;
}

/** The content of the file `lock`: the process that holds the directory. */
interface Holder {
  pid: number;
  /** Distinguishes a living holder from a later process with the same id. */
  started: string;
  /** Differs on every machine and after every boot. */
  boot: string;
  host: string;
  /** Unique to each lock. */
  id: string;
}

/**
 * Locks the embedded data directory for this process, and creates it if it is missing. Two processes on one PGlite
 * directory would silently lose each other's rows. On one machine the kernel decides, even between containers. Between
 * machines that share a file system without locks the holder's heartbeat decides; a holder that was suspended and
 * replaced notices it at its next statement.
 */
export async function lockDataDirectory(directory: string, options: LockOptions = {}): Promise<DirectoryLock> {
  const { onLost = () => {}, onWait = () => {}, beatIntervalMs = 2_000, foreignTimeoutMs = 10_000 } = options;
  const path = join(directory, 'lock');
  const fileLock = acquireFileLock(directory);
  if (fileLock === 'taken') throw createInUseError(directory, readHolder(path));
  try {
    const found = readHolder(path);
    // Process ids and start times repeat between containers. The kernel's lock proves that this holder is dead.
    const isNamesake = found?.pid === process.pid && found.started === readProcessStart(process.pid);
    if (found && isAlive(found) && !(isNamesake && fileLock !== 'unsupported'))
      throw createInUseError(directory, found);
    const isForeign = found !== undefined && found.boot !== '' && found.boot !== readBootId();
    if (isForeign || (found && fileLock === 'unsupported')) {
      onWait(
        `the data directory was last used on ${found.host}; waiting ${foreignTimeoutMs / 1_000} s to see whether it still is`,
      );
      if (await isTouchedWithin(path, foreignTimeoutMs)) throw createInUseError(directory, readHolder(path));
    }
    const mine: Holder = {
      pid: process.pid,
      started: readProcessStart(process.pid),
      boot: readBootId(),
      host: hostname(),
      id: randomUUID(),
    };
    writeHolder(path, mine);
    if (fileLock === 'unsupported') {
      // Another process that found the same dead holder has written by then; the last writer holds the lock.
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
        // onLost has reported a loss; statements report a disk that fails.
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

/** Creates the directory and its lock file, the first file in it. */
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

/** Creates the database directory, or closes it to other users: PGlite creates its files readable for all. */
export function makePrivate(directory: string): string {
  makeDirectory(directory);
  if (statSync(directory).mode & 0o077) chmodSync(directory, 0o700);
  return directory;
}

/** The code makes the error count as an outage of the database. */
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

function describeHolder({ pid, host, boot }: Holder): string {
  const isHere = host === '' || (host === hostname() && boot === readBootId());
  return isHere ? `process ${pid}` : `process ${pid} of ${host} (another container or machine)`;
}

/** Writes the file atomically, so that nobody reads half of it. */
function writeHolder(path: string, holder: Holder): number {
  const draft = `${path}.${holder.id}.draft`;
  try {
    writeFileSync(draft, JSON.stringify(holder), { mode: 0o600 });
    const { ino } = statSync(draft);
    renameSync(draft, path);
    return ino;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Whether the file is touched, replaced or removed within the time. Compares file times with each other, not with a clock. */
async function isTouchedWithin(path: string, withinMs: number): Promise<boolean> {
  const first = readStamp(path);
  for (const until = Date.now() + withinMs; Date.now() < until; ) {
    await pause(Math.min(500, withinMs / 10));
    if (readStamp(path) !== first) return true;
  }
  return false;
}

/** Opens the file, because network file systems answer for a closed file from a cache. */
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

/** Changes if the file is touched or replaced. The inode alone is not enough, because it may be reused. */
const formatStamp = (stats: Stats | undefined): string => (stats ? `${stats.ino} ${stats.mtimeMs}` : 'gone');

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Fields that older versions did not write are empty. */
function readHolder(path: string): Holder | undefined {
  try {
    const holder = JSON.parse(readText(path) ?? '') as Partial<Holder> | null;
    if (typeof holder?.pid !== 'number') return undefined;
    const { pid, started = '', boot = '', host = '', id = '' } = holder;
    return { pid, started: String(started), boot: String(boot), host: String(host), id: String(id) };
  } catch {
    return undefined;
  }
}

function isAlive({ pid, started }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return readProcessStart(pid) === started;
}

/** The boot id on Linux, elsewhere the host name. */
function readBootId(): string {
  return readText('/proc/sys/kernel/random/boot_id')?.trim() ?? hostname();
}

/** Boot id and start time of a process on Linux, elsewhere the same for all processes. */
function readProcessStart(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`);
  // The second field, a name in parentheses, may hold spaces; the start time is the 22nd.
  return stat ? `${readBootId()}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}` : 'unknown';
}
