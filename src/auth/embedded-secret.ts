import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../database/make-directory.ts';

/** The key that signs and verifies tokens if none is configured and the database is embedded. */
export const loadEmbeddedSecret = (directory: string): string => loadOrCreateSecret(directory, 'jwt-secret');

/** The key in the link to the playground. A client that has this key can get tokens from the playground's route. */
export const loadPlaygroundKey = (directory: string): string => loadOrCreateSecret(directory, 'playground-key');

/** Reads the secret from the data directory; the first start creates it. Only the owner of the file can read it. */
function loadOrCreateSecret(directory: string, name: string): string {
  const path = join(directory, name);
  makeDirectory(directory);
  const draft = `${path}.${process.pid}`;
  try {
    writeFileSync(draft, randomBytes(32).toString('base64url'), { mode: 0o600 });
    // The link makes the complete file appear at once. If another process was faster, this fails with EEXIST, and the
    // key of that process is used.
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  const secret = readFileSync(path, 'utf8').trim();
  if (secret.length < 32)
    throw new Error(`${path} does not contain a valid key. Delete the file, then the next start creates a new key`);
  return secret;
}
