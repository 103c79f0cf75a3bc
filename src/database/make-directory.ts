import { existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Creates the directory and its parents for this user only, or throws the system's error. `mkdirSync` with `recursive`
 * never returns for a path at which nothing can be created, such as below `/proc`.
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
