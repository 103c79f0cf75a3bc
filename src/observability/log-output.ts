import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

/**
 * An output for log lines. `write` never throws and never waits; if a line cannot be written, it is dropped and
 * counted.
 */
export interface LogOutput {
  write(line: string): void;
  /** Resolves when every line is written, at the latest after `withinMs`. */
  flush(withinMs: number): Promise<void>;
}

const maxBufferedBytes = 1_048_576;

/** One listener for all outputs of the process, because an application may create many servers. */
const ignoreError = () => {};

/** After lines were lost, `formatLostLine` formats a line with their number, which is written before the next line. */
export function createLogOutput(fd: 1 | 2, formatLostLine: (count: number) => string): LogOutput {
  let lost = 0;
  const writer = isStream(fd) ? createStreamWriter(fd) : createFileWriter(fd);
  return {
    write(line) {
      if (lost > 0) {
        if (!writer.write(formatLostLine(lost))) {
          lost += 1;
          return;
        }
        lost = 0;
      }
      if (!writer.write(line)) lost += 1;
    },
    flush: writer.flush,
  };
}

interface Writer {
  /** Returns false if the line was lost. */
  write(line: string): boolean;
  flush(withinMs: number): Promise<void>;
}

function isStream(fd: number): boolean {
  if (isatty(fd)) return true;
  try {
    const stats = fstatSync(fd);
    return stats.isFIFO() || stats.isSocket();
  } catch {
    return false;
  }
}

/**
 * Writes to a terminal, pipe or socket. If the reader is too slow, the stream buffers the lines in memory. Beyond
 * `maxBufferedBytes`, further lines are lost.
 */
function createStreamWriter(fd: 1 | 2): Writer {
  const stream = fd === 1 ? process.stdout : process.stderr;
  // An unhandled 'error' event would end the process. EPIPE is harmless: the reader has gone, the stream is destroyed,
  // and `write` returns false from then on.
  if (!stream.listeners('error').includes(ignoreError)) stream.on('error', ignoreError);
  return {
    write(line) {
      if (stream.destroyed || stream.writableLength > maxBufferedBytes) return false;
      stream.write(line);
      return true;
    },
    flush: (withinMs) =>
      new Promise((resolve) => {
        if (stream.destroyed || stream.writableLength === 0) return resolve();
        const timer = setTimeout(resolve, withinMs);
        stream.write('', () => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

/**
 * Writes to a file. Does not use a stream of Node.js, which would be unusable after its first error, even if the error is
 * temporary, such as a full disk.
 */
function createFileWriter(fd: number): Writer {
  /** Whether the file ends with an incomplete line. If so, a line feed is written before the next line. */
  let isTorn = false;
  return {
    write(line) {
      const bytes = Buffer.from(isTorn ? `\n${line}` : line);
      try {
        for (let at = 0; at < bytes.length; ) {
          at += writeSync(fd, bytes, at);
          isTorn = at < bytes.length;
        }
        return true;
      } catch {
        return false;
      }
    },
    flush: async () => {},
  };
}
