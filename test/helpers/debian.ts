import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const isRoot = process.getuid?.() === 0;

/** Only one process at a time may run apt, whichever test worker it is. */
const lock = join(tmpdir(), 'nano-apt.lock');

/**
 * Installs Debian packages if the user may do so. Prints a message, because this takes a while. Returns whether it
 * succeeded.
 */
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

/**
 * Extracts one file from a Debian package without installing it, because an installation may start a service and bring
 * many other packages. Returns undefined if the package is unavailable. The file is removed when the process ends.
 */
export function aptExtract(why: string, name: string, file: string): string | undefined {
  if (!existsSync('/usr/bin/apt-get')) return undefined;
  console.error(`${why}: apt-get download ${name}`);
  const home = mkdtempSync(join(tmpdir(), 'nano-apt-'));
  process.once('exit', () => rmSync(home, { recursive: true, force: true }));
  const run = { cwd: home, stdio: ['ignore', 2, 2] as ['ignore', number, number] };
  try {
    if (isRoot) execFileSync('flock', [lock, 'apt-get', 'update', '-q'], run);
    const asWhoWeAre = isRoot ? ['-o', 'APT::Sandbox::User=root'] : [];
    execFileSync('apt-get', ['download', '-q', ...asWhoWeAre, name], run);
    const [archive] = readdirSync(home).filter((entry) => entry.endsWith('.deb'));
    execFileSync('dpkg-deb', ['--extract', archive!, 'package'], run);
  } catch {
    return undefined;
  }
  const found = join(home, 'package', file);
  return existsSync(found) ? found : undefined;
}
