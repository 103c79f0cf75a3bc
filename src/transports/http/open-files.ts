import { readFileSync } from 'node:fs';

/** Open files that connections must leave: for the database, Redis, the log and the rest of the process. */
export const reservedFiles = 256;

/** Of this process, after Node.js has raised the soft limit to the hard one. Known on Linux only. */
export function readMaxOpenFiles(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}
