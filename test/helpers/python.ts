import { spawnSync } from 'node:child_process';
import { aptInstall } from './debian.ts';

export const python = '/usr/bin/python3';
const packages = ['python3-socketio', 'python3-websocket', 'python3-requests'];

const isInstalled = () => spawnSync(python, ['-c', 'import socketio, websocket, requests']).status === 0;

/** Installs Debian's python3-socketio, which the tests of this suite use, or skips them if it cannot be installed. */
export function withPythonClient(): void {
  before(function () {
    this.timeout(300_000);
    if (isInstalled()) return;
    const isAllowed = aptInstall('The tests use a client in Python', ...packages);
    if (!isAllowed) this.skip(); // not on Debian, or not root
    if (!isInstalled())
      throw new Error(`The tests need Debian's ${packages.join(', ')}, or to run as root to install them`);
  });
}
