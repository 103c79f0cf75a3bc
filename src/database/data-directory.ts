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
  beatMs?: number;
  /** A holder on another machine that has not touched its file for this long is gone. */
  foreignMs?: number;
}

/** What `lock` says of the process that holds the directory. */
interface Holder {
  pid: number;
  /** Tells a living holder from another process that was given its number later. */
  started: string;
  /** Differs on every machine and after every boot. */
  boot: string;
  host: string;
  /** Differs for every lock that was ever taken. */
  id: string;
}

/**
 * Takes the embedded data directory for this process, making it where it is missing: two processes on one PGlite
 * directory silently lose each other's rows. On one machine the kernel decides, whatever container a process is in.
 * Between machines that share a file system without locks the holder's heartbeat decides: a holder that was suspended
 * and taken over notices by its next statement.
 */
export async function lockDataDirectory(directory: string, options: LockOptions = {}): Promise<DirectoryLock> {
  const { onLost = () => {}, onWait = () => {}, beatMs = 2_000, foreignMs = 10_000 } = options;
  const path = join(directory, 'lock');
  const fileLock = openLock(directory);
  if (fileLock === 'taken') throw inUse(directory, readHolder(path));
  try {
    const found = readHolder(path);
    if (found && isAlive(found)) throw inUse(directory, found);
    const isForeign = found !== undefined && found.boot !== '' && found.boot !== bootId();
    if (isForeign || (found && fileLock === 'unsupported')) {
      onWait(
        `the data directory was last used on ${found.host}; waiting ${foreignMs / 1_000} s to see whether it still is`,
      );
      if (await beats(path, foreignMs)) throw inUse(directory, readHolder(path));
    }
    const mine: Holder = {
      pid: process.pid,
      started: startOf(process.pid),
      boot: bootId(),
      host: hostname(),
      id: randomUUID(),
    };
    writeHolder(path, mine);
    if (fileLock === 'unsupported') {
      // Whoever found the same dead holder has written by then, and the last one keeps it.
      await pause(beatMs);
      if (readHolder(path)?.id !== mine.id) throw inUse(directory, readHolder(path));
    }

    let lost: Error | undefined;
    let lastStamp = touchedAt(path);
    const assertUnchanged = (stamp: string) => {
      if (lost) throw lost;
      if (stamp === lastStamp) return;
      const holder = readHolder(path);
      if (holder?.id !== mine.id) {
        lost = lossOf(directory, holder);
        onLost(lost);
        throw lost;
      }
      lastStamp = stamp;
    };
    const assertHeld = () => assertUnchanged(stampOf(statSync(path, { throwIfNoEntry: false })));
    const beat = setInterval(() => {
      try {
        assertUnchanged(touchedAt(path));
        const now = new Date();
        utimesSync(path, now, now);
        lastStamp = touchedAt(path);
      } catch {
        // onLost has reported a loss; statements report a disk that fails.
        if (lost) clearInterval(beat);
      }
    }, beatMs).unref();
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

/** Makes the directory, and takes its lock: the first that is written there. */
function openLock(directory: string): ReturnType<typeof lockFile> {
  try {
    makeDirectory(directory);
    return lockFile(join(directory, 'lock.db'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const user = process.getuid ? `user ${process.getuid()}` : 'this user';
    const message =
      `The data directory ${directory} cannot be written by ${user} (${code}). ` +
      'Make it writable (chown, or room on its disk), or set DATA_DIR to another directory, or use DATABASE_URL';
    throw new Error(message, { cause: error });
  }
}

/** Makes the directory of the database, or closes an existing one to other users: PGlite makes its files readable for all. */
export function makePrivate(directory: string): string {
  makeDirectory(directory);
  if (statSync(directory).mode & 0o077) chmodSync(directory, 0o700);
  return directory;
}

/** With a code it counts as a database that is unavailable. */
function lossOf(directory: string, holder: Holder | undefined): Error {
  const by = holder ? ` by ${nameOf(holder)}` : ': its file "lock" is gone';
  const message = `The data directory ${directory} was taken over${by}. Run one process only, or use DATABASE_URL.`;
  return Object.assign(new Error(message), { code: 'ELOST' });
}

function inUse(directory: string, holder: Holder | undefined): Error {
  return new Error(
    `The data directory ${directory} is in use by ${holder ? nameOf(holder) : 'another process'}. Stop that server first, ` +
      'or set DATA_DIR to another directory, or use DATABASE_URL to run several processes on one PostgreSQL.',
  );
}

function nameOf({ pid, host, boot }: Holder): string {
  const isHere = host === '' || (host === hostname() && boot === bootId());
  return isHere ? `process ${pid}` : `process ${pid} of ${host} (another container or machine)`;
}

/** Makes the file with its text in one step, so that nobody ever reads half of it. */
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

/** Whether the file is touched, replaced or removed within the time. Compares its times with each other, not with a clock. */
async function beats(path: string, withinMs: number): Promise<boolean> {
  const first = touchedAt(path);
  for (const until = Date.now() + withinMs; Date.now() < until; ) {
    await pause(Math.min(500, withinMs / 10));
    if (touchedAt(path) !== first) return true;
  }
  return false;
}

/** Opens the file: network file systems answer for an open file from the server, otherwise from a cache. */
function touchedAt(path: string): string {
  try {
    const file = openSync(path, 'r');
    try {
      return stampOf(fstatSync(file));
    } finally {
      closeSync(file);
    }
  } catch {
    return stampOf(undefined);
  }
}

/** Differs once the file has been touched or replaced. A number of a file alone may be given again. */
const stampOf = (stats: Stats | undefined): string => (stats ? `${stats.ino} ${stats.mtimeMs}` : 'gone');

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Of versions that wrote less, what is missing is empty. */
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
  return startOf(pid) === started;
}

/** Linux says which boot this is; elsewhere the name of the machine stands in. */
function bootId(): string {
  return readText('/proc/sys/kernel/random/boot_id')?.trim() ?? hostname();
}

/** Boot and start time of a process where the system has them (Linux), otherwise the same for all. */
function startOf(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`);
  // The second field, a name in parentheses, may hold spaces; the start time is the 22nd.
  return stat ? `${bootId()}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}` : 'unknown';
}
