import type { PGlite } from '@electric-sql/pglite';

type Instance = Pick<PGlite, 'execProtocolRawSync' | 'close'>;

export interface EmbeddedGuard {
  /** Throws once the database has stopped. */
  assertRunning(): void;
}

/**
 * Stops PGlite for good at an error after which PostgreSQL itself would restart: PGlite goes on with locks that nobody
 * holds any more, and the next statement never returns. Every statement passes `execProtocolRawSync`, also those with
 * which PGlite ends a transaction.
 */
export function guardEmbedded(pglite: Instance, onStopped: (error: Error) => void): EmbeddedGuard {
  const execute = pglite.execProtocolRawSync.bind(pglite);
  const close = pglite.close.bind(pglite);
  let stopped: Error | undefined;

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
      // Of WebAssembly: `Aborted()`, or memory that is not there.
      throw error instanceof Error && error.name === 'RuntimeError' ? stop(error) : error;
    }
    const fatal = findFatal(response);
    if (fatal !== undefined) stop(new Error(fatal));
    return response;
  };
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

const errorResponse = 'E'.charCodeAt(0);
/** Disk full, and I/O errors. */
const fatalState = /^(53100|58030)$/;

/** The message of an error after which the database cannot go on, among the messages of a response. */
function findFatal(response: Uint8Array): string | undefined {
  const view = new DataView(response.buffer, response.byteOffset, response.byteLength);
  for (let at = 0; at + 5 <= response.length; at += 1 + view.getInt32(at + 1)) {
    if (response[at] !== errorResponse) continue;
    const fields = Buffer.from(response.subarray(at + 5, at + 1 + view.getInt32(at + 1)))
      .toString('utf8')
      .split('\0');
    const field = (letter: string) => fields.find((text) => text.startsWith(letter))?.slice(1) ?? '';
    if (fatalState.test(field('C')) || /^(FATAL|PANIC)$/.test(field('V'))) return field('M');
  }
  return undefined;
}
