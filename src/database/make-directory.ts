import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Creates the directory and its missing parents. Only this user can access them. Does not use the option `recursive` of
 * `mkdirSync`: with it, the call never returns if nothing can be created at the path, for example below `/proc`.
 */
export function makeDirectory(directory: string): void {
  const parent = dirname(resolve(directory));
  if (!existsSync(parent)) makeDirectory(parent);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * Creates the database directory if it is missing, and denies other users access to it, because PGlite makes its files
 * readable for everybody.
 */
export function makePrivate(directory: string): string {
  makeDirectory(directory);
  if (statSync(directory).mode & 0o077) chmodSync(directory, 0o700);
  return directory;
}
