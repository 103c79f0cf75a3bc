import { closeSync, openSync, readSync, statSync } from 'node:fs';

const maxBytes = 65_536;

const reasons: Record<string, string> = {
  ENOENT: 'does not exist',
  EACCES: 'cannot be read: permission denied for the user of this process',
  EISDIR: 'is a directory',
  EFIFO: 'is a named pipe; give a file',
};

/** The paths of files and pipes that this process has inherited, such as those of `<(command)` in a shell. */
const inheritedReason = /^\/(dev|proc\/self)\/fd\//;

/** Reads a file without its trailing line ends. Throws an error whose message can follow the path. */
export function readText(path: string): string {
  let bytes: Buffer;
  try {
    bytes = readAtMost(path, maxBytes + 1);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new Error(reasons[code] ?? `cannot be read (${code})`);
  }
  if (bytes.length > maxBytes) throw new Error(`has more than ${maxBytes} bytes`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error('is not UTF-8 text');
  }
  const value = text.replace(/[\r\n]+$/, '');
  if (value === '') throw new Error('is empty');
  return value;
}

/** Reads at most `size` bytes. `readFileSync` would read a device such as /dev/zero until the memory is full. */
function readAtMost(path: string, size: number): Buffer {
  // Opening a named pipe without a writer would block the whole process forever, including its signal handlers.
  if (!inheritedReason.test(path) && statSync(path).isFIFO()) throw Object.assign(new Error(), { code: 'EFIFO' });
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(size);
    let length = 0;
    for (let read = -1; read !== 0 && length < size; length += read)
      read = readSync(file, buffer, length, size - length, null);
    return buffer.subarray(0, length);
  } finally {
    closeSync(file);
  }
}
