import { spawnSync } from 'node:child_process';
import { aptInstall } from './debian.ts';

export const python = '/usr/bin/python3';
const packages = ['python3-socketio', 'python3-websocket', 'python3-requests'];

const isInstalled = () => spawnSync(python, ['-c', 'import socketio, websocket, requests']).status === 0;

/** The tests of this suite use Debian's python3-socketio; they are skipped where it cannot be had. */
export function withPythonClient(): void {
  before(function () {
    this.timeout(300_000);
    if (isInstalled()) return;
    const mayInstall = aptInstall('The tests use a client in Python', ...packages);
    if (!mayInstall) this.skip(); // not on Debian, or not root
    if (!isInstalled())
      throw new Error(`The tests need Debian's ${packages.join(', ')}, or to run as root to install them`);
  });
}
