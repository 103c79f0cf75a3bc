import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Holder {
  pid: number;
  /** Tells a living holder from another process that was given its number later. */
  started: string;
}

const attempts = 50;
const waitMs = 20;
const abandonedMs = 500;

/**
 * Takes the embedded data directory for this process, making it where it is missing: two processes on one PGlite
 * directory silently lose each other's rows. A lock whose process is gone is taken over. Returns the release.
 */
export function lockDataDirectory(directory: string): () => void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, 'lock');
  const mine = JSON.stringify({ pid: process.pid, started: startOf(process.pid) } satisfies Holder);
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (linkWhole(path, mine)) {
      return () => {
        if (readText(path) === mine) rmSync(path, { force: true });
      };
    }
    const holder = readHolder(readText(path));
    if (holder && isAlive(holder)) {
      throw new Error(
        `The data directory ${directory} is in use by process ${holder.pid}. Stop that server first, ` +
          'or set DATA_DIR to another directory, or use DATABASE_URL to run several processes on one PostgreSQL.',
      );
    }
    removeStale(path);
  }
  throw new Error(`The data directory ${directory} could not be locked: other processes keep taking it.`);
}

/** Makes the file with its text in one step, so that nobody ever reads half a lock; false where there is one. */
function linkWhole(path: string, text: string): boolean {
  const draft = `${path}.${process.pid}.draft`;
  writeFileSync(draft, text, { mode: 0o600 });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * One process at a time removes a lock, and looks again before it does: while the stale one stands nobody can take the
 * lock, so what is removed is what was looked at.
 */
function removeStale(path: string): void {
  const turn = `${path}.takeover`;
  try {
    mkdirSync(turn);
  } catch {
    return waitForTurn(turn);
  }
  try {
    const found = readText(path);
    const holder = readHolder(found);
    if (found !== undefined && !(holder && isAlive(holder))) rmSync(path, { force: true });
  } finally {
    rmSync(turn, { recursive: true, force: true });
  }
}

/** A turn takes microseconds; one that lasts was left by a process that died in it. */
function waitForTurn(turn: string): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, waitMs);
  const since = statSync(turn, { throwIfNoEntry: false })?.mtimeMs;
  if (since !== undefined && Date.now() - since > abandonedMs) rmSync(turn, { recursive: true, force: true });
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function readHolder(text: string | undefined): Holder | undefined {
  try {
    const holder = JSON.parse(text ?? '') as Partial<Holder> | null;
    return typeof holder?.pid === 'number' ? { pid: holder.pid, started: String(holder.started) } : undefined;
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

/** Boot and start time of a process where the system tells them (Linux), otherwise the same for all. */
function startOf(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`);
  const boot = readText('/proc/sys/kernel/random/boot_id')?.trim();
  // The second field, a name in parentheses, may hold spaces; the start time is the 22nd.
  return stat ? `${boot}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}` : 'unknown';
}
