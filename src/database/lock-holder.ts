import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** The content of the file `lock`, which describes the process that holds the directory. */
export interface Holder {
  pid: number;
  /**
   * The start time of the process. It distinguishes the holder from a later process that received the same process id.
   */
  started: string;
  /** Identifies the machine and its boot: the value differs between machines and changes with every boot. */
  boot: string;
  host: string;
  /** Unique to each lock. */
  id: string;
}

/** Describes this process as the holder of a new lock. */
export const createHolder = (): Holder => ({
  pid: process.pid,
  started: readProcessStart(process.pid),
  boot: readBootId(),
  host: hostname(),
  id: randomUUID(),
});

/** Reads the holder. Fields that older versions did not write become empty strings. */
export function readHolder(path: string): Holder | undefined {
  try {
    const holder = JSON.parse(readText(path) ?? '') as Partial<Holder> | null;
    if (typeof holder?.pid !== 'number') return undefined;
    const { pid, started = '', boot = '', host = '', id = '' } = holder;
    return { pid, started: String(started), boot: String(boot), host: String(host), id: String(id) };
  } catch {
    return undefined;
  }
}

/** Writes the file atomically, so that no process reads an incomplete file. */
export function writeHolder(path: string, holder: Holder): void {
  const draft = `${path}.${holder.id}.draft`;
  try {
    writeFileSync(draft, JSON.stringify(holder), { mode: 0o600 });
    renameSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
}

export function isAlive({ pid, started }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return readProcessStart(pid) === started;
}

/**
 * Whether the holder looks like this process. A process in another container can have the same process id and start
 * time.
 */
export const isNamesake = ({ pid, started }: Holder): boolean =>
  pid === process.pid && started === readProcessStart(process.pid);

/** Whether the holder ran on another machine, or before this machine was restarted. */
export const isForeign = ({ boot }: Holder): boolean => boot !== '' && boot !== readBootId();

export function describeHolder({ pid, host, boot }: Holder): string {
  const isHere = host === '' || (host === hostname() && boot === readBootId());
  return isHere ? `process ${pid}` : `process ${pid} of ${host} (another container or machine)`;
}

/** Returns the boot id on Linux, and the host name on other systems. */
function readBootId(): string {
  return readText('/proc/sys/kernel/random/boot_id')?.trim() ?? hostname();
}

/**
 * Returns the boot id and the start time of a process on Linux. On other systems, returns the same text for all
 * processes.
 */
function readProcessStart(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`);
  // The second field is the name of the process in parentheses, which may contain spaces, so the fields are counted
  // from its end. The start time is field 22.
  return stat ? `${readBootId()}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}` : 'unknown';
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
