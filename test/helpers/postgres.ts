import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { migratePostgres } from '../../src/database/migrate.ts';
import { closeAfterRun } from './cleanup.ts';
import { freePort } from './free-port.ts';
import { findPostgres, serverAccount } from './postgres-binaries.ts';

let server: Promise<string> | undefined;
let template: Promise<string> | undefined;

/**
 * Creates a separate, migrated database without rows on a real PostgreSQL, which the first call starts. Returns its URL.
 * It is a copy: migrating each database would take several times as long. A service on a copy has its own identity.
 */
export async function freshDatabase(): Promise<string> {
  template ??= emptyDatabase().then(async (url) => {
    await migratePostgres(url);
    return new URL(url).pathname.slice(1);
  });
  return emptyDatabase(`template ${await template}`);
}

/** Creates a separate database that is not migrated. `options` follow the name in `create database`. */
export async function emptyDatabase(options = ''): Promise<string> {
  server ??= process.env.TEST_DATABASE_URL
    ? Promise.resolve(process.env.TEST_DATABASE_URL)
    : startPostgres().then(({ url }) => url);
  const url = new URL(await server);
  const name = `nano_test_${randomBytes(6).toString('hex')}`;
  await execute(url.href, `create database ${name} ${options}`);
  if (process.env.TEST_DATABASE_URL) closeAfterRun(() => execute(process.env.TEST_DATABASE_URL!, dropping(name)));
  url.pathname = `/${name}`;
  return url.href;
}

const dropping = (name: string) => `drop database if exists ${name} with (force)`;

/** Runs statements on a separate connection. */
export async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/**
 * Commits survive a crash of PostgreSQL, but not of the machine: they are written at once, but never flushed to the disk.
 * Everything else behaves as in production.
 */
const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  fsync: 'off',
  full_page_writes: 'off',
};

/** A PostgreSQL that can be stopped. It keeps its port and its data across restarts. */
export interface PostgresServer {
  url: string;
  /** Undefined while it is stopped. */
  readonly pid: number | undefined;
  start(): Promise<void>;
  /** `SIGINT` ends all connections and writes everything to disk. `SIGQUIT` ends the server at once, like a crash. */
  stop(signal: 'SIGINT' | 'SIGQUIT'): Promise<void>;
}

/**
 * Starts a separate PostgreSQL, which is stopped after the run. `wish` has settings by their names in postgresql.conf.
 */
export async function startPostgres(wish: Record<string, string> = {}): Promise<PostgresServer> {
  const place = createInstallation();
  const words = ['-D', place.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
  place.run('initdb', words);
  return serve(place, wish);
}

/** Starts a standby of a server, which follows it until it is promoted. */
export async function startStandby(primary: PostgresServer): Promise<PostgresServer> {
  const place = createInstallation();
  place.run('pg_basebackup', [
    '-d',
    primary.url,
    '-D',
    place.data,
    '--write-recovery-conf',
    '--checkpoint=fast',
    '--no-sync',
  ]);
  return serve(place, {});
}

interface Installation {
  home: string;
  data: string;
  program(name: string): string;
  how: { cwd: string; uid?: number; gid?: number };
  run(name: string, words: string[]): void;
}

function createInstallation(): Installation {
  const bin = findPostgres();
  const account = serverAccount();
  const home = mkdtempSync(join(tmpdir(), 'nano-postgres-'));
  if (account) chownSync(home, account.uid, account.gid);
  const program = (name: string) => join(bin, name);
  const how = { cwd: home, ...account };
  return {
    ...{ home, data: join(home, 'data'), program, how },
    run: (name, words) => void execFileSync(program(name), words, { ...how, stdio: ['ignore', 'ignore', 'inherit'] }),
  };
}

async function serve(
  { home, data, program, how }: Installation,
  wish: Record<string, string>,
): Promise<PostgresServer> {
  const port = await freePort();
  const given = Object.entries({ ...settings, ...wish, port });
  const options = given.flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    child = spawn(program('postgres'), ['-D', data, ...options], { ...how, stdio: ['ignore', 'ignore', 'pipe'] });
    await ready(child);
  }

  async function stop(signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const exited = new Promise((resolve) => running.once('exit', resolve));
    running.kill(signal);
    await exited;
  }

  stopAfterRun({ kill: () => child?.kill('SIGQUIT'), stop }, home);
  await start();
  return {
    ...{ url: `postgresql://postgres@127.0.0.1:${port}/postgres`, start, stop },
    get pid() {
      return child?.pid;
    },
  };
}

/** The server must not outlive mocha, and mocha must not wait for it. */
function stopAfterRun({ kill, stop }: { kill: () => void } & Pick<PostgresServer, 'stop'>, home: string): void {
  const atExit = () => {
    kill();
    waitUntilGone(join(home, 'data', 'postmaster.pid'));
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once('exit', atExit);
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
  closeAfterRun(async () => {
    process.off('exit', atExit);
    await stop('SIGINT');
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });
}

/** At the exit of a process nothing can be awaited, and a server that is shutting down still writes files. */
function waitUntilGone(file: string): void {
  const step = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; tries < 200 && existsSync(file); tries++) Atomics.wait(step, 0, 0, 10);
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    child.stderr!.on('data', (text: Buffer) => {
      log = (log + text).slice(-10_000);
      if (!/ready to accept (read-only )?connections/.test(log)) return;
      child.stderr!.removeAllListeners('data').resume();
      resolve();
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}:\n${log}`)));
  });
}
