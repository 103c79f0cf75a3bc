import { readFileSync } from 'node:fs';

/** How many open files are reserved for the database, Redis, the log and the rest of the process. */
export const reservedFiles = 256;

/** Returns the limit of this process, or Infinity if it is unknown, as on systems other than Linux. */
export function readMaxOpenFiles(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}
