import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { closeAfterRun, closeLater } from './cleanup.ts';
import { aptInstall } from './debian.ts';
import { freePort } from './free-port.ts';

/** A Redis that a test may stop. It keeps its port across restarts, but no data. */
export interface RedisServer {
  url: string;
  port: number;
  /** Undefined while it is stopped. */
  readonly pid: number | undefined;
  start(): Promise<void>;
  /** Kills it, like a crash. */
  kill(): Promise<void>;
  /** It keeps its connections but answers nothing. */
  freeze(): void;
  thaw(): void;
}

let shared: Promise<string> | undefined;

/**
 * The URL of a Redis that all tests share and no test stops. It is always started here, never a Redis that happens to
 * listen.
 */
export function sharedRedis(): Promise<string> {
  shared ??= process.env.TEST_REDIS_URL
    ? Promise.resolve(process.env.TEST_REDIS_URL)
    : startRedis({}, closeAfterRun).then(({ url }) => url);
  return shared;
}

/** Settings by their names in redis.conf; a setting with several words is a list. */
export type RedisConf = Record<string, string | string[]>;

/** Starts a separate Redis for the caller. */
export async function startRedis(settings: RedisConf = {}, close = closeLater): Promise<RedisServer> {
  const program = findRedis();
  const port = await freePort();
  const home = mkdtempSync(join(tmpdir(), 'nano-redis-'));
  const given = { port, bind: '127.0.0.1', dir: home, save: '', appendonly: 'no', ...settings };
  const options = Object.entries(given).flatMap(([name, value]) => [`--${name}`, ...[value].flat().map(String)]);
  let child: ChildProcess | undefined;
  const endAtExit = () => {
    child?.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  };
  process.on('exit', endAtExit);

  async function kill(): Promise<void> {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const exited = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGKILL');
    await exited;
  }

  async function start(): Promise<void> {
    child = spawn(program, options, { stdio: ['ignore', 'pipe', 'pipe'] });
    await ready(child);
  }

  close(async () => {
    process.off('exit', endAtExit);
    await kill();
    rmSync(home, { recursive: true, force: true });
  });
  await start();
  return {
    ...{ url: `redis://127.0.0.1:${port}`, port, start, kill },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    get pid() {
      return child?.pid;
    },
  };
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    child.stdout!.on('data', (text: Buffer) => {
      log = (log + text).slice(-10_000);
      if (!log.includes('Ready to accept connections')) return;
      child.stdout!.removeAllListeners('data').resume();
      resolve();
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`Redis ended with ${code}:\n${log}`)));
  });
}

function findRedis(): string {
  const found = installed();
  if (found) return found;
  if (aptInstall('The tests need Redis and there is none', 'redis-server')) {
    const fresh = installed();
    if (fresh) return fresh;
  }
  throw new Error(
    'The tests need a real Redis. Give one of these ways: TEST_REDIS_URL, the URL of a server that the tests may use; ' +
      'redis-server or valkey-server on the PATH; or run the tests as root on Debian, where they install it with apt-get.',
  );
}

function installed(): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin'];
  return ['redis-server', 'valkey-server']
    .flatMap((name) => directories.map((directory) => join(directory, name)))
    .find((path) => existsSync(path));
}
