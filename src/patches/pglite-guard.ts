/**
 * Patches: @electric-sql/pglite@0.5.8
 *
 * Change: replaces `execProtocolRawSync` and `close` of the instance, and wraps the operations of its file system.
 * Reason: after a fatal error PostgreSQL would restart, but PGlite keeps locks that nothing releases, and waits
 * for them forever.
 * Test: test/database/embedded-disk.test.ts
 */

import type { PGlite } from '@electric-sql/pglite';

type Instance = Pick<PGlite, 'execProtocolRawSync' | 'close'> & { Module?: Pick<PGlite['Module'], 'FS'> };

export interface EmbeddedGuard {
  /** Throws once the database has stopped. */
  assertRunning(): void;
}

/**
 * Stops PGlite for good at an error after which PostgreSQL itself would restart. A failing disk ends the statement before
 * PostgreSQL sees the error, and nothing is executed after that. Every statement passes `execProtocolRawSync`, including
 * those with which PGlite ends a transaction.
 */
export function guardEmbedded(pglite: Instance, onStopped: (error: Error) => void): EmbeddedGuard {
  const execute = pglite.execProtocolRawSync.bind(pglite);
  const close = pglite.close.bind(pglite);
  let stopped: Error | undefined;
  let diskFailure: string | undefined;

  function stop(cause: unknown): Error {
    const reason = cause instanceof Error ? cause.message : String(cause);
    // With a code it counts as a database that is unavailable.
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
      // A RuntimeError is one of WebAssembly: `Aborted()`, or memory that is not there.
      const isFatal = error instanceof DiskFailure || (error instanceof Error && error.name === 'RuntimeError');
      throw isFatal ? stop(error) : error;
    }
    // PGlite may have taken the failure for an error of the statement.
    const fatal = diskFailure ?? findFatal(response);
    if (fatal !== undefined) throw stop(new Error(fatal));
    return response;
  };
  failOnDiskErrors(pglite, (reason) => {
    diskFailure ??= reason;
    return new DiskFailure(reason);
  });
  // It would wait for a last checkpoint.
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
/** By the numbers of WASI. */
const diskErrors: Record<number, string> = {
  19: 'the disk quota is exceeded (EDQUOT)',
  22: 'a file has become too large for its disk (EFBIG)',
  29: 'the disk has an input/output error (EIO)',
  [enospc]: 'no space left on the disk (ENOSPC)',
  69: 'the disk has become read-only (EROFS)',
};

type Operations = Record<string, (...args: unknown[]) => unknown>;

/** Emscripten hands its own errors to PostgreSQL, and lets others through to the caller of the statement. */
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
    // Less than was asked for is written onto the last bytes of a disk, without an error.
    if ((written as number) < (args[3] as number)) throw createFailure(diskErrors[enospc]!);
    return written;
  };
}

const errorResponse = 'E'.charCodeAt(0);
/** Disk full, and I/O errors. */
const fatalSqlState = /^(53100|58030)$/;

/** The message of an error after which the database cannot go on, among the messages of a response. */
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
