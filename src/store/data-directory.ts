import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Holder {
  pid: number;
  /** Tells a living holder from another process that was given its number later. */
  started: string;
}

/**
 * Takes the embedded data directory for this process, making it where it is missing: two processes on one PGlite
 * directory silently lose each other's rows. A lock whose process is gone is taken over. Returns the release.
 */
export function lockDataDirectory(directory: string): () => void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, 'lock');
  const mine = JSON.stringify({ pid: process.pid, started: startOf(process.pid) } satisfies Holder);
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      linkWhole(path, mine);
      return () => {
        if (readText(path) === mine) rmSync(path, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const found = readText(path);
    const holder = readHolder(found);
    if (holder && isAlive(holder)) {
      throw new Error(
        `The data directory ${directory} is in use by process ${holder.pid}. Stop that server first, ` +
          'or set DATA_DIR to another directory, or use DATABASE_URL to run several processes on one PostgreSQL.',
      );
    }
    removeStale(path, found);
  }
  throw new Error(`The data directory ${directory} could not be locked: other processes keep taking it.`);
}

/** Makes the file with its text in one step, or throws `EEXIST`: nobody ever reads half a lock. */
function linkWhole(path: string, text: string): void {
  const draft = `${path}.${process.pid}.draft`;
  writeFileSync(draft, text, { mode: 0o600 });
  try {
    linkSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Moves the lock aside before removing it, so that a lock taken in the meantime can be put back. */
function removeStale(path: string, expected: string | undefined): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return; // another process was quicker; look again
  }
  if (readText(aside) === expected) rmSync(aside, { force: true });
  else renameSync(aside, path);
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
