import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { closeLater } from '../../test/helpers/cleanup.ts';
import { aptExtract } from '../../test/helpers/debian.ts';

/** Core publish and subscribe on free ports; nothing is stored. */
const configuration = `listen: "127.0.0.1:-1"
websocket { listen: "127.0.0.1:-1", no_tls: true, compression: false }
`;

const startMs = 10_000;

/**
 * Starts nats-server with its WebSocket listener. Returns undefined if it is not installed and cannot be downloaded.
 */
export async function startNatsServer(): Promise<{ url: string; pid: number } | undefined> {
  const program = installed() ?? aptExtract('The benchmark needs nats-server', 'nats-server', 'usr/sbin/nats-server');
  if (program === undefined) return undefined;
  const home = mkdtempSync(join(tmpdir(), 'nano-nats-'));
  const file = join(home, 'nats.conf');
  writeFileSync(file, configuration);
  const server = spawn(program, ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const killAtExit = () => void server.kill('SIGKILL');
  process.once('exit', killAtExit);
  const exited = new Promise<void>((resolve) => {
    server.once('close', () => {
      process.off('exit', killAtExit);
      rmSync(home, { recursive: true, force: true });
      resolve();
    });
  });
  closeLater(() => {
    server.kill('SIGKILL');
    return exited;
  });
  return new Promise((resolve, reject) => {
    let log = '';
    const fail = (why: string) => reject(new Error(`nats-server ${why}:\n${log}`));
    const timer = setTimeout(() => fail('did not start'), startMs);
    server.once('error', reject);
    server.once('close', (code) => fail(`ended with ${code}`));
    server.stderr.on('data', (text: Buffer) => {
      if (log.length < 100_000) log += text;
      const url = /websocket clients on (ws:\S+).*Server is ready/s.exec(log)?.[1];
      if (!url) return;
      clearTimeout(timer);
      resolve({ url, pid: server.pid! });
    });
  });
}

function installed(): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/bin'];
  return directories.map((directory) => join(directory, 'nats-server')).find((path) => existsSync(path));
}
