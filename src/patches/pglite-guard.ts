/**
 * Patches: @electric-sql/pglite@0.5.8
 *
 * Change: replaces `execProtocolRawSync` and `close` of the instance, and wraps the operations of its file system.
 * Reason: after a fatal error, a PostgreSQL server would restart. PGlite continues instead, but its locks are never
 * released, and later statements wait for them forever.
 * Test: test/database/embedded-disk.test.ts
 */

import type { PGlite } from '@electric-sql/pglite';

type Instance = Pick<PGlite, 'execProtocolRawSync' | 'close'> & { Module?: Pick<PGlite['Module'], 'FS'> };

export interface EmbeddedGuard {
  /** Throws an error if the database has stopped. */
  assertRunning(): void;
}

/**
 * Stops PGlite permanently after an error that would make a PostgreSQL server restart. An error of the disk aborts the
 * statement at once, before PostgreSQL can handle the error, and no further statement is executed. The guard replaces
 * `execProtocolRawSync`, because all statements use it, including those with which PGlite itself ends a transaction.
 */
export function guardEmbedded(pglite: Instance, onStopped: (error: Error) => void): EmbeddedGuard {
  const execute = pglite.execProtocolRawSync.bind(pglite);
  const close = pglite.close.bind(pglite);
  let stopped: Error | undefined;
  let diskFailure: string | undefined;

  function stop(cause: unknown): Error {
    const reason = cause instanceof Error ? cause.message : String(cause);
    // The store recognizes this code and treats the database as unavailable.
    const error = Object.assign(new Error(`The embedded database has stopped: ${reason}`, { cause }), {
      code: 'ESTOPPED',
    });
    stopped = error;
    onStopped(error);
    return error;
  }

  pglite.execProtocolRawSync = (message) => {
    if (stopped) throw stopped;
    let response: Uint8Array;
    try {
      response = execute(message);
    } catch (error) {
      // A `RuntimeError` of WebAssembly means that the program has aborted or has accessed invalid memory.
      const isFatal = error instanceof DiskFailure || (error instanceof Error && error.name === 'RuntimeError');
      throw isFatal ? stop(error) : error;
    }
    // PGlite may have caught the failure of the disk, so that it looks like an ordinary error of the statement.
    const fatal = diskFailure ?? findFatal(response);
    if (fatal !== undefined) throw stop(new Error(fatal));
    return response;
  };
  failOnDiskErrors(pglite, (reason) => {
    diskFailure ??= reason;
    return new DiskFailure(reason);
  });
  // After a stop, `close` of PGlite would wait forever for a last checkpoint.
  pglite.close = async () => {
    if (!stopped) await close();
  };
  return {
    assertRunning() {
      if (stopped) throw stopped;
    },
  };
}

class DiskFailure extends Error {}

const enospc = 51;
/** Texts for errors of the disk. The keys are the error numbers of WASI. */
const diskErrors: Record<number, string> = {
  19: 'the disk quota is exceeded (EDQUOT)',
  22: 'a file has become too large for its disk (EFBIG)',
  29: 'the disk has an input/output error (EIO)',
  [enospc]: 'no space left on the disk (ENOSPC)',
  69: 'the disk has become read-only (EROFS)',
};

type Operations = Record<string, (...args: unknown[]) => unknown>;

/**
 * Makes disk errors abort the statement. Normally, Emscripten catches the errors of its file system, which have a
 * special class, and returns them to PostgreSQL. The wrapped operations throw a `DiskFailure` instead, which Emscripten
 * does not catch, so it reaches the caller of the statement.
 */
function failOnDiskErrors({ Module }: Instance, createFailure: (reason: string) => DiskFailure): void {
  const { NODEFS } = (Module?.FS as { filesystems?: Record<string, unknown> } | undefined)?.filesystems ?? {};
  if (NODEFS === undefined) return;
  const { stream_ops, node_ops } = NODEFS as { stream_ops: Operations; node_ops: Operations };
  for (const operations of [stream_ops, node_ops]) {
    for (const [name, operate] of Object.entries(operations)) {
      operations[name] = function (this: unknown, ...args) {
        try {
          return operate.apply(this, args);
        } catch (error) {
          const reason = diskErrors[(error as { errno?: number }).errno ?? -1];
          throw reason === undefined ? error : createFailure(reason);
        }
      };
    }
  }
  const write = stream_ops.write!;
  stream_ops.write = (...args) => {
    const written = write.apply(stream_ops, args);
    // If the disk becomes full during a write, only a part of the data is written, and there is no error.
    if ((written as number) < (args[3] as number)) throw createFailure(diskErrors[enospc]!);
    return written;
  };
}

const errorResponse = 'E'.charCodeAt(0);
/** The SQLSTATE codes of a full disk (53100) and of an I/O error (58030). */
const fatalSqlState = /^(53100|58030)$/;

/** Returns the message of the first error in the response after which the database must stop. */
function findFatal(response: Uint8Array): string | undefined {
  const view = new DataView(response.buffer, response.byteOffset, response.byteLength);
  for (let at = 0; at + 5 <= response.length; at += 1 + view.getInt32(at + 1)) {
    if (response[at] !== errorResponse) continue;
    const fields = Buffer.from(response.subarray(at + 5, at + 1 + view.getInt32(at + 1)))
      .toString('utf8')
      .split('\0');
    const field = (letter: string) => fields.find((text) => text.startsWith(letter))?.slice(1) ?? '';
    if (fatalSqlState.test(field('C')) || /^(FATAL|PANIC)$/.test(field('V'))) return field('M');
  }
  return undefined;
}
