import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { MikroORM } from '@mikro-orm/pglite';
import type { Logger } from 'pino';
import { guardEmbedded } from '../patches/pglite-guard.ts';
import { keepByteOrderMarks } from './byte-order-marks.ts';
import { type DirectoryLock, lockDataDirectory, makePrivate } from './data-directory.ts';
import { inspectDirectory } from './inspect-directory.ts';
import { createPgliteOptions } from './orm-options.ts';

export interface EmbeddedOptions {
  logger?: Logger | undefined;
  /** Called once if the database cannot be used any more until the process is started again. */
  onFailure?: ((error: Error) => void) | undefined;
}

const mebibyte = 1_048_576;
/** PostgreSQL takes 16 MiB at once for the next segment of its log, and cannot go on if it does not get them. */
const minFreeBytes = 24 * mebibyte;
/** How long a look at the free space holds. */
const freeSpaceMaxAgeMs = 100;

/** PGlite in `directory`, which no other process uses meanwhile, or in memory. Not migrated. */
export async function openEmbedded(
  directory: string | undefined,
  { logger, onFailure = () => {} }: EmbeddedOptions = {},
) {
  const onWait = (message: string) => logger?.info(message);
  const lock =
    directory === undefined ? inMemoryLock : await lockDataDirectory(directory, { onLost: onFailure, onWait });
  try {
    const path = directory && makePrivate(join(directory, 'pglite'));
    if (path !== undefined) inspectDirectory(path);
    const { orm, pglite } = await openPath(path);
    const guard = guardEmbedded(pglite, onFailure);
    keepByteOrderMarks(pglite);
    const assertUsable = () => {
      lock.assertHeld();
      guard.assertRunning();
    };
    const assertSpace = directory === undefined ? () => {} : createSpaceCheck(directory);
    return {
      orm,
      pglite,
      /** Throws if this process may not use the database any more. */
      assertUsable,
      /** Throws if there is no space for what is to be written, too. */
      assertWritable() {
        assertUsable();
        assertSpace();
      },
      release: lock.release,
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function openPath(path: string | undefined) {
  try {
    const orm = await MikroORM.init(createPgliteOptions(path));
    return { orm, pglite: await orm.em.getConnection().getNativeClient() };
  } catch (error) {
    if (path === undefined) throw error;
    const message =
      `The embedded database in ${path} cannot be opened: it is damaged, an incomplete copy, or its disk is full or read-only. ` +
      'Make room, or restore a copy that was made while the server was stopped';
    throw new Error(message, { cause: error });
  }
}

const inMemoryLock: DirectoryLock = { assertHeld: () => {}, release: () => {} };

function createSpaceCheck(directory: string): () => void {
  let checkedAt = Number.NEGATIVE_INFINITY;
  let freeBytes = 0;
  return () => {
    if (performance.now() - checkedAt > freeSpaceMaxAgeMs) {
      const { bavail, bsize } = statfsSync(directory);
      freeBytes = bavail * bsize;
      checkedAt = performance.now();
    }
    if (freeBytes < minFreeBytes) throw createNoSpaceError(directory, freeBytes);
  };
}

/** As PostgreSQL reports it, so that it counts as a disk that is full, and reads go on. */
function createNoSpaceError(directory: string, freeBytes: number): Error {
  const message =
    `The disk of the data directory ${directory} has ${Math.floor(freeBytes / mebibyte)} MiB left, ` +
    `and the embedded database needs ${minFreeBytes / mebibyte} to go on writing. Make room`;
  return Object.assign(new Error(message), { severity: 'ERROR', code: '53100' });
}
