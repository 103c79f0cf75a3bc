import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
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

/**
 * One file of a Debian package, taken out of it: what installs the package may start a service, and bring a dozen others.
 * Undefined where it cannot be had. It is gone with the process.
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
