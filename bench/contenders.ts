import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { closeLater } from '../test/helpers/cleanup.ts';
import { createRoom } from '../test/helpers/rooms.ts';
import { createUser, type TestUser, testSecret } from '../test/helpers/users.ts';
import { startNatsServer } from './baselines/nats-server.ts';
import type { Databases } from './databases.ts';
import type { Dialect } from './load/connection.ts';
import { endProcess } from './machine/end-process.ts';

/** One of the servers that are compared, and how the load connects to it. */
export interface Contender {
  name: string;
  dialect: Dialect;
  urls: string[];
  /** The processes of the servers. The processes of their databases are in `behind`. */
  pids: number[];
  behind: number[];
  rooms(count: number): Promise<number[]>;
  /** Tokens of `count` different users, all with access to every room. */
  tokens(count: number): string[];
  /** Counts the stored messages; undefined if the contender stores none. */
  stored?: () => Promise<number>;
}

const project = join(import.meta.dirname, '..');
const collect = join(import.meta.dirname, 'baselines/collect.ts');
const watchStalls = ['--import', join(import.meta.dirname, 'machine/stalls.ts')];

const profileFile = process.env.BENCH_PROFILE;
/** Loads the profiler if BENCH_PROFILE is set, otherwise the code that collects garbage before memory is measured. */
const nodeArgs = profileFile
  ? ['--import', join(import.meta.dirname, 'profile/record.ts')]
  : ['--expose-gc', '--import', collect];

interface ServiceOptions {
  nodes?: number;
  settings?: Record<string, string>;
  /** Path of another checkout with its dependencies installed. */
  checkout?: string | undefined;
  /** The URL of a database to use instead of a fresh one. */
  database?: string;
  /** Whether the nodes report how long their event loops computed without a pause. */
  watchesStalls?: boolean;
}

/** Starts the service on PostgreSQL and Redis, as in production but without rate limits. */
export async function service(
  databases: Databases,
  { nodes = 1, settings = {}, checkout, ...options }: ServiceOptions = {},
) {
  const database = options.database ?? (await databases.freshDatabase());
  const env = {
    ...{ DATABASE_URL: database, REDIS_URL: databases.redis.url, JWT_SECRET: testSecret, HOST: '127.0.0.1', PORT: '0' },
    ...{ SEND_RATE: '0', REQUEST_RATE: '0', RULE_RATE: '0', LOG_LEVEL: 'info', ...settings },
  };
  const started: StartedNode[] = [];
  for (let n = 0; n < nodes; n++) started.push(await startService(env, checkout, options.watchesStalls));
  const urls = started.map(({ url }) => url);
  const owner = createUser({ level: 100 });
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  closeLater(() => client.end());
  const shared = {
    ...{ urls, pids: started.map(({ pid }) => pid), behind: databases.pids(), database, owner, nodes: started },
    rooms: (count: number) => newRooms(urls[0]!, owner, count),
    tokens: (count: number) =>
      Array.from({ length: count }, () => createUser({ user: randomUUID(), entity: owner.entity, level: 100 }).token),
    stored: async () => Number((await client.query('select count(*) from messages')).rows[0].count),
    query: (sql: string) => client.query(sql),
  };
  const over = (dialect: Dialect, name: string) => ({ ...shared, dialect, name: checkout ? `${name}, before` : name });
  return {
    ...shared,
    chat: over('chat', 'nano-messaging /chat'),
    socketio: over('socketio', 'nano-messaging Socket.IO'),
  };
}

export type Service = Awaited<ReturnType<typeof service>>;

/** Starts the service and, if `against` is set, the other checkout. Both are measured over both transports. */
export async function services(databases: Databases, against: string | undefined) {
  const ours = await service(databases);
  const before = against === undefined ? undefined : await service(databases, { checkout: against });
  return { ours, all: [ours, before].flatMap((one) => (one ? [one.chat, one.socketio] : [])) };
}

const maxAtOnce = 32;

/** Creates rooms that are open to the owner's organisation from level 100 on. */
async function newRooms(url: string, owner: TestUser, count: number): Promise<number[]> {
  const rooms: number[] = [];
  const make = async (): Promise<void> => {
    while (rooms.length < count) {
      const at = rooms.push(0) - 1;
      rooms[at] = (await createRoom(url, owner, { level_admin: 1_000 })).id;
    }
  };
  await Promise.all(Array.from({ length: maxAtOnce }, make));
  return rooms;
}

export async function bareWs(): Promise<Contender> {
  return baseline('bare ws', 'bare-ws', await startBaseline('ws-server.ts'), []);
}

/** Returns undefined, after a message on stderr, if nats-server is missing. */
export async function natsServer(): Promise<Contender | undefined> {
  const started = await startNatsServer();
  if (started) return baseline('nats-server', 'nats', started, []);
  console.error('nats-server is skipped: it is not installed, and apt-get cannot download its Debian package');
  return undefined;
}

export async function bareSocketio(): Promise<Contender> {
  return baseline('bare socket.io, in memory', 'socketio', await startBaseline('socketio-server.ts'), []);
}

export async function bareSocketioRedis(databases: Databases, nodes = 1): Promise<Contender> {
  const all: Started[] = [];
  for (let n = 0; n < nodes; n++)
    all.push(await startBaseline('socketio-server.ts', { REDIS_URL: databases.redis.url }));
  const one = baseline('bare socket.io + Redis', 'socketio', all[0]!, [databases.redis.pid!]);
  return { ...one, urls: all.map(({ url }) => url), pids: all.map(({ pid }) => pid) };
}

let lastRoom = 0;

function baseline(name: string, dialect: Dialect, { url, pid }: Started, behind: number[]): Contender {
  return {
    ...{ name, dialect, urls: [url], pids: [pid], behind },
    rooms: async (count) => Array.from({ length: count }, () => ++lastRoom),
    tokens: () => ['none'],
  };
}

export interface Started {
  url: string;
  pid: number;
}

/** The process of a node of the service. */
export interface StartedNode extends Started {
  child: ChildProcess;
  /** Resolves to the longest stall since the last call; only if the stalls are watched. */
  stallMs(): Promise<number>;
}

const startMs = 30_000;

async function startService(
  env: Record<string, string>,
  checkout = project,
  watchesStalls = false,
): Promise<StartedNode> {
  const args = [...(watchesStalls ? watchStalls : []), startFile(checkout)];
  const child = run(args, env, ['ignore', 'pipe', 'inherit']);
  const started = await listening(child, (onUrl) => {
    let output = '';
    child.stdout!.on('data', (text: Buffer) => {
      if (output.length < 100_000) output += text;
      const url = /"url":"(http:[^"]+)"/.exec(output)?.[1];
      if (url) onUrl(url);
      if (/"level":[56]0/.test(text.toString())) process.stderr.write(text);
    });
  });
  const stallMs = () =>
    new Promise<number>((resolve) => {
      const onText = (text: Buffer) => {
        const found = /"stallMs":([\d.]+)/.exec(text.toString())?.[1];
        if (found === undefined) return;
        child.stdout!.off('data', onText);
        resolve(Number(found));
      };
      child.stdout!.on('data', onText);
      child.kill('SIGUSR1');
    });
  return { ...started, child, stallMs };
}

export function startBaseline(file: string, env: Record<string, string> = {}): Promise<Started> {
  const child = run([join('bench/baselines', file)], env, ['ignore', 'inherit', 'inherit', 'ipc']);
  return listening(child, (onUrl) => void child.once('message', ({ url }: { url: string }) => onUrl(url)));
}

function run(args: string[], env: Record<string, string>, stdio: ('ignore' | 'pipe' | 'inherit' | 'ipc')[]) {
  const child = spawn(process.execPath, [...nodeArgs, ...args], {
    cwd: project,
    env: { PATH: process.env.PATH, ...(profileFile && { BENCH_PROFILE: profileFile }), ...env },
    stdio,
  });
  const killAtExit = () => void child.kill('SIGKILL');
  process.once('exit', killAtExit);
  child.once('exit', () => process.off('exit', killAtExit));
  closeLater(() => endProcess(child));
  return child;
}

function listening(child: ChildProcess, listen: (onUrl: (url: string) => void) => void): Promise<Started> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('A server did not start')), startMs);
    child.once('exit', (code) => reject(new Error(`A server has ended with ${code}`)));
    listen((url) => {
      clearTimeout(timer);
      resolve({ url, pid: child.pid! });
    });
  });
}

/** Earlier versions start with `src/main.ts`. */
function startFile(checkout: string): string {
  const current = join(checkout, 'src/bin/start.ts');
  return existsSync(current) ? current : join(checkout, 'src/main.ts');
}
