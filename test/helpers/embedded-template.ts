import { cpSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPglite } from '../../src/database/open-store.ts';
import { closeAfterRun, closeLater } from './cleanup.ts';

/** The variable that names the template for the workers of a run. */
const variable = 'NANO_TEST_TEMPLATE';
let template: Promise<string> | undefined;

/** Creates the template in a separate directory. Resolves with a function that removes it. */
export async function makeTemplate(): Promise<() => Promise<void>> {
  const home = await mkdtemp(join(tmpdir(), 'nano-template-'));
  const directory = join(home, 'data');
  await (await openPglite(directory)).close();
  process.env[variable] = directory;
  return () => rm(home, { recursive: true, force: true });
}

/** For a process without a surrounding run, as when a single file is tested. */
async function ownTemplate(): Promise<string> {
  closeAfterRun(await makeTemplate());
  return process.env[variable]!;
}

/**
 * A data directory with an empty, migrated database. Creating a database takes PGlite seconds of CPU time; a copy takes
 * a fraction of that. All copies have the same identity, so they are only for nodes without Redis.
 */
export async function migratedDirectory(closing = closeLater): Promise<string> {
  template ??= process.env[variable] ? Promise.resolve(process.env[variable]) : ownTemplate();
  const home = await mkdtemp(join(tmpdir(), 'nano-pglite-'));
  closing(() => rm(home, { recursive: true, force: true }));
  const directory = join(home, 'data');
  // The asynchronous `cp` takes five times as much CPU time for these thousand files.
  cpSync(await template, directory, { recursive: true });
  return directory;
}
