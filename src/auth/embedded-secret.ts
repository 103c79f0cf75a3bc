import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../database/make-directory.ts';

/** The key that the embedded default signs and verifies tokens with. */
export const loadEmbeddedSecret = (directory: string): string => loadOrCreateSecret(directory, 'jwt-secret');

/** The key in the link to the playground. With it, anyone gets tokens from the playground's route. */
export const loadPlaygroundKey = (directory: string): string => loadOrCreateSecret(directory, 'playground-key');

/** Created at the first start and kept in the data directory, readable by its owner only. */
function loadOrCreateSecret(directory: string, name: string): string {
  const path = join(directory, name);
  makeDirectory(directory);
  const draft = `${path}.${process.pid}`;
  try {
    writeFileSync(draft, randomBytes(32).toString('base64url'), { mode: 0o600 });
    linkSync(draft, path); // whole or not at all; a second process uses the key of the first
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  const secret = readFileSync(path, 'utf8').trim();
  if (secret.length < 32) throw new Error(`${path} does not hold a key; remove it and a new one is made`);
  return secret;
}
