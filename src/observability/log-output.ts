import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

/** An output that never throws and never waits: a line that cannot be written is lost, and counted. */
export interface LogOutput {
  write(line: string): void;
  /** Resolves when everything is written, or after the time. */
  flush(withinMs: number): Promise<void>;
}

const maxBufferedBytes = 1_048_576;

/** `lostLine` makes the line that says how many were lost, written before the next one that can be. */
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
  /** False if the line is lost. */
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

/** A pipe whose reader stalls fills a buffer, not the process. */
function createStreamWriter(fd: 1 | 2): Writer {
  const stream = fd === 1 ? process.stdout : process.stderr;
  // Nobody reads any more (EPIPE).
  stream.on('error', () => {});
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

/** Node.js's own stream on a file ends at the first error, such as a disk that is full. */
function createFileWriter(fd: number): Writer {
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
