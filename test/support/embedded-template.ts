import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPglite } from '../../src/store/store.ts';
import { closeAtTheEnd, closeLater } from './cleanup.ts';

let template: Promise<string> | undefined;

async function temporaryDirectory(closing: typeof closeLater): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'nano-pglite-'));
  closing(() => rm(home, { recursive: true, force: true }));
  return home;
}

async function makeTemplate(): Promise<string> {
  const directory = join(await temporaryDirectory(closeAtTheEnd), 'data');
  await (await openPglite(directory)).close();
  return directory;
}

/**
 * A data directory with an empty, migrated database in it. Making one costs PGlite seconds of the processor, copying
 * one a tenth of that. The copies have one identity, so they are for nodes without Redis.
 */
export async function migratedDirectory(): Promise<string> {
  template ??= makeTemplate();
  const directory = join(await temporaryDirectory(closeLater), 'data');
  await cp(await template, directory, { recursive: true });
  return directory;
}
