import { existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes the directory, and those above it, for this user only. Throws the error of the system if it cannot.
 * `mkdirSync` with `recursive` does not return for a place where nothing can be made, such as below `/proc`.
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
