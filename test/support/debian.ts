import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const isRoot = process.getuid?.() === 0;

/** One at a time, whichever worker of the tests it is that wants something. */
const lock = join(tmpdir(), 'nano-apt.lock');

/** Installs Debian packages where we may; false where we may not. Says so, for it takes a while. */
export function aptInstall(why: string, ...packages: string[]): boolean {
  if (!isRoot || !existsSync('/usr/bin/apt-get')) return false;
  console.error(`${why}: apt-get install -y ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const words of [
    ['update', '-q'],
    ['install', '-y', '-q', '--no-install-recommends', ...packages],
  ]) {
    execFileSync('flock', [lock, 'apt-get', ...words], { stdio: ['ignore', 2, 2], env });
  }
  return true;
}
