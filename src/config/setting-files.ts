import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { fileSettings } from './settings.ts';

type Settings = Record<string, string | undefined>;

const maxBytes = 65_536;

/**
 * Replaces each setting `NAME_FILE` by `NAME`, whose value is the text of the file without trailing line ends. The files
 * are read only once, so a changed file takes effect at the next start.
 */
export function readSettingFiles(given: Settings): { settings: Settings; mistakes: string[] } {
  const settings = { ...given };
  const mistakes: string[] = [];
  for (const name of fileSettings) {
    const file = `${name}_FILE`;
    const path = given[file];
    delete settings[file];
    if (path === undefined) continue;
    if (path === '') mistakes.push(`${file}: must be the path of a file`);
    else if (given[name] !== undefined) mistakes.push(`${file}: ${name} is set, too; set only one of them`);
    else {
      try {
        settings[name] = readText(path);
      } catch (error) {
        mistakes.push(`${file}: ${path} ${(error as Error).message}`);
      }
    }
  }
  return { settings, mistakes };
}

const reasons: Record<string, string> = {
  ENOENT: 'does not exist',
  EACCES: 'cannot be read: permission denied for the user of this process',
  EISDIR: 'is a directory',
  EFIFO: 'is a named pipe; give a file',
};

/** The paths of files and pipes that this process has inherited, such as those of `<(command)` in a shell. */
const inheritedReason = /^\/(dev|proc\/self)\/fd\//;

function readText(path: string): string {
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
