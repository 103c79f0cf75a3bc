import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { MikroORM } from '@mikro-orm/pglite';
import type { Logger } from 'pino';
import { keepByteOrderMarks } from '../patches/pglite-byte-order-marks.ts';
import { guardEmbedded } from '../patches/pglite-guard.ts';
import { type DirectoryLock, lockDataDirectory } from './data-directory.ts';
import { inspectDirectory } from './inspect-directory.ts';
import { makePrivate } from './make-directory.ts';
import { createPgliteOptions } from './orm-options.ts';

export interface EmbeddedOptions {
  logger?: Logger | undefined;
  /** Called at most once, if the database has become unusable. Only a restart of the process helps. */
  onFailure?: ((error: Error) => void) | undefined;
}

const mebibyte = 1_048_576;
/**
 * Writes are refused if the disk has less free space than this. PostgreSQL allocates its write-ahead log in segments of
 * 16 MiB, and would stop if the disk had no space for the next segment.
 */
const minFreeBytes = 24 * mebibyte;
/** How long a measurement of the free space is reused. */
const freeSpaceMaxAgeMs = 100;

/**
 * Opens PGlite in `directory`, which it locks against other processes, or in memory if `directory` is undefined. Does
 * not apply migrations.
 */
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
      /** Throws if this process may no longer use the database. */
      assertUsable,
      /** Throws if this process may no longer use the database, or if the disk is too full for writes. */
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
      'Free disk space, or restore a copy that was made while the server was stopped';
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

/**
 * Creates an error with the SQLSTATE of a full disk, so that the store handles it like the error of PostgreSQL: writes
 * are refused, and reads still work.
 */
function createNoSpaceError(directory: string, freeBytes: number): Error {
  const message =
    `The disk of the data directory ${directory} has ${Math.floor(freeBytes / mebibyte)} MiB left, ` +
    `and the embedded database needs ${minFreeBytes / mebibyte} MiB to write. Free disk space`;
  return Object.assign(new Error(message), { severity: 'ERROR', code: '53100' });
}
