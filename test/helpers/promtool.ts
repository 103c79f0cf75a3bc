import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { aptExtract } from './debian.ts';

let found: string | undefined;

/** Downloads promtool if it is missing. This can take longer than the timeout of a test. */
export function findPromtool(): string {
  found ??= installed() ?? aptExtract('The tests need promtool and there is none', 'prometheus', 'usr/bin/promtool');
  if (found) return found;
  throw new Error(
    'The tests need promtool. Give one of these ways: promtool on the PATH (it comes with Prometheus), ' +
      "or run the tests on Debian, as root or with the packages' lists there, where they fetch it with apt-get.",
  );
}

/** Returns the output of promtool, stdout and stderr together. Throws if promtool reports an error. */
export function promtool(words: string[], { input, cwd }: { input?: string; cwd?: URL } = {}): string {
  const { status, stdout, stderr }: SpawnSyncReturns<string> = spawnSync(findPromtool(), words, {
    ...{ input, cwd, encoding: 'utf8' },
  });
  if (status !== 0) throw new Error(`promtool ${words.join(' ')}:\n${stdout}${stderr}`);
  return stdout + stderr;
}

function installed(): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/bin', '/opt/homebrew/bin'];
  return directories.map((directory) => join(directory, 'promtool')).find((path) => existsSync(path));
}
