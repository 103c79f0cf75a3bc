import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { closeLater } from './cleanup.ts';
import { aptInstall } from './debian.ts';
import { freePort } from './free-port.ts';

export type BalancerKind = 'nginx' | 'haproxy';

export interface Balancer {
  url: string;
  /** The output of the program. */
  log(): string;
}

interface Setup {
  file: string;
  /** Texts of the file and what replaces them in the tests: addresses, ports and paths. */
  replacements(home: string, port: number): [string, string][];
  run(file: string, home: string): string[];
  check(file: string, home: string): string[];
}

const setups: Record<BalancerKind, Setup> = {
  nginx: {
    file: 'nginx.conf',
    replacements: (home, port) => [
      ['listen 80 ', `listen 127.0.0.1:${port} `],
      ['/tmp/', `${home}/`],
      ['/var/log/nginx/', `${home}/`],
    ],
    // `-e` sets the log that nginx uses until it has read the configuration.
    run: (file, home) => ['-p', home, '-c', file, '-e', 'stderr', '-g', 'daemon off;'],
    check: (file, home) => ['-t', '-p', home, '-c', file, '-e', 'stderr'],
  },
  haproxy: {
    file: 'haproxy.cfg',
    replacements: (_home, port) => [['bind :80\n', `bind 127.0.0.1:${port}\n`]],
    run: (file) => ['-db', '-f', file],
    check: (file) => ['-c', '-f', file],
  },
};

/** Other texts of the file that a test replaces, such as limits and timeouts. */
export type Replacements = readonly (readonly [string, string])[];

/** A test sends more requests per second than the limit per address allows. */
export const highLimits: Record<BalancerKind, Replacements> = {
  nginx: [['rate=200r/s', 'rate=100000r/s']],
  haproxy: [['gt 3000', 'gt 300000']],
};

/**
 * For nodes in the process of the test, which on a busy machine answer health checks late. A failed request still marks a
 * node as down at once.
 */
export const patientChecks: Record<BalancerKind, Replacements> = {
  nginx: [],
  haproxy: [['check inter 1s fall 2', 'check inter 1s fall 100']],
};

interface Prepared {
  program: string;
  file: string;
  home: string;
  port: number;
}

/** Starts the balancer with the configuration of `deploy/` in front of these nodes, in a separate directory. */
export async function startBalancer(
  kind: BalancerKind,
  nodePorts: readonly [number, number],
  changes: Replacements = [],
): Promise<Balancer> {
  const { program, file, home, port } = await prepare(kind, nodePorts, changes);
  const child = spawn(program, setups[kind].run(file, home), { cwd: home, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      log = (log + text).slice(-100_000);
    });
  }
  stopAfterTest(child);
  await waitUntilListening(child, port, () => log);
  return { url: `http://127.0.0.1:${port}`, log: () => log };
}

/** Starts the program with a test's own configuration in front of one node. */
export async function startProxy(
  kind: BalancerKind,
  configuration: (port: number, node: number) => string,
  node: number,
): Promise<string> {
  const program = findProgram(kind);
  const port = await freePort();
  const home = mkdtempSync(join(tmpdir(), `nano-${kind}-`));
  closeLater(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
  chmodSync(home, 0o755);
  const file = join(home, setups[kind].file);
  writeFileSync(file, configuration(port, node));
  const child = spawn(program, setups[kind].run(file, home), { cwd: home, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (text: Buffer) => {
    log = (log + text).slice(-100_000);
  });
  stopAfterTest(child);
  await waitUntilListening(child, port, () => log);
  return `http://127.0.0.1:${port}`;
}

/** Returns the output of the program's own check; throws if it rejects the file. */
export async function validateConfiguration(kind: BalancerKind): Promise<string> {
  const { program, file, home } = await prepare(kind, [1, 2]);
  const { status, stdout, stderr } = spawnSync(program, setups[kind].check(file, home), {
    cwd: home,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${kind} rejects its configuration:\n${stdout}${stderr}`);
  return stdout + stderr;
}

async function prepare(
  kind: BalancerKind,
  nodePorts: readonly [number, number],
  changes: Replacements = [],
): Promise<Prepared> {
  const [first, second] = nodePorts;
  const setup = setups[kind];
  const program = findProgram(kind);
  const port = await freePort();
  const home = mkdtempSync(join(tmpdir(), `nano-${kind}-`));
  closeLater(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
  // The workers of nginx run as another account than the root user that starts them.
  chmodSync(home, 0o755);
  let text = readFileSync(new URL(`../../deploy/${setup.file}`, import.meta.url), 'utf8');
  const nodes = [first, second].map((node, n): [string, string] => [`chat-${n + 1}:7777`, `127.0.0.1:${node}`]);
  for (const [there, here] of [...nodes, ...setup.replacements(home, port), ...changes]) {
    if (!text.includes(there))
      throw new Error(`deploy/${setup.file} no longer contains ${JSON.stringify(there)}: adapt the replacements`);
    text = text.replaceAll(there, here);
  }
  const file = join(home, setup.file);
  writeFileSync(file, text);
  return { program, file, home, port };
}

function findProgram(kind: BalancerKind): string {
  const found = installed(kind);
  if (found) return found;
  if (aptInstall(`The tests need ${kind} and there is none`, kind)) {
    const fresh = installed(kind);
    if (fresh) return fresh;
  }
  throw new Error(
    `The tests need ${kind}. Give one of these ways: ${kind} on the PATH or in /usr/sbin; ` +
      'or run the tests as root on Debian, where they install it with apt-get.',
  );
}

function installed(kind: BalancerKind): string | undefined {
  const directories = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/local/sbin',
    '/usr/sbin',
    '/opt/homebrew/bin',
  ];
  return directories.map((directory) => join(directory, kind)).find((path) => existsSync(path));
}

function stopAfterTest(child: ChildProcess): void {
  const exited = new Promise((resolve) => child.once('exit', resolve));
  // Not SIGKILL: the workers of nginx would survive it.
  const stop = () => child.kill('SIGTERM');
  process.once('exit', stop);
  closeLater(async () => {
    process.off('exit', stop);
    stop();
    if (child.exitCode === null && child.signalCode === null) await exited;
  });
}

async function waitUntilListening(child: ChildProcess, port: number, log: () => string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await acceptsConnections(port))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`The balancer does not listen:\n${log()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function acceptsConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Installs the program if it is missing. This can take longer than the timeout of a test. */
export function findBalancer(kind: BalancerKind): void {
  execFileSync(findProgram(kind), ['-v'], { stdio: 'ignore' });
}
