import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPglite } from '../../src/database/open-store.ts';
import { closeAfterRun, closeLater } from './cleanup.ts';

/** Where the workers find the one that was made for the whole run. */
const variable = 'NANO_TEST_TEMPLATE';
let template: Promise<string> | undefined;

/** Makes it in a directory of its own; resolves with how to remove that. */
export async function makeTemplate(): Promise<() => Promise<void>> {
  const home = await mkdtemp(join(tmpdir(), 'nano-template-'));
  const directory = join(home, 'data');
  await (await openPglite(directory)).close();
  process.env[variable] = directory;
  return () => rm(home, { recursive: true, force: true });
}

/** Where there is no run around it, as when a single file is tested. */
async function ownTemplate(): Promise<string> {
  closeAfterRun(await makeTemplate());
  return process.env[variable]!;
}

/**
 * A data directory with an empty, migrated database in it. Making one costs PGlite seconds of the processor, copying
 * one a tenth of that. The copies have one identity, so they are for nodes without Redis.
 */
export async function migratedDirectory(closing = closeLater): Promise<string> {
  template ??= process.env[variable] ? Promise.resolve(process.env[variable]) : ownTemplate();
  const home = await mkdtemp(join(tmpdir(), 'nano-pglite-'));
  closing(() => rm(home, { recursive: true, force: true }));
  const directory = join(home, 'data');
  await cp(await template, directory, { recursive: true });
  return directory;
}
