import { createClient, createCluster, defineScript, ErrorReply } from 'redis';
import type { SharedCommands } from './shared-store.ts';

/** An error reply from Redis. A failed connection causes errors of other classes. */
export { ErrorReply };

type ChannelListener = (message: Buffer, channel: Buffer) => void;

/** The part of a Redis client that we use. It is the same for one server and for a Cluster. */
export interface RedisConnection extends SharedCommands {
  connect(): Promise<unknown>;
  /** Closes the connection after the commands in flight have been answered. */
  close(): Promise<unknown>;
  destroy(): void;
  on(event: string, listener: (...args: never[]) => void): unknown;
  publish(channel: string, message: string | Buffer): Promise<number>;
  sPublish(channel: string, message: string | Buffer): Promise<number>;
  subscribe(channel: string, listener: ChannelListener, buffers: true): Promise<unknown>;
  pSubscribe(pattern: string, listener: ChannelListener, buffers: true): Promise<unknown>;
  sSubscribe(channel: string, listener: ChannelListener, buffers: true): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  pUnsubscribe(pattern: string): Promise<unknown>;
  sUnsubscribe(channel: string): Promise<unknown>;
}

/** Describes how to connect to Redis, and what this Redis supports. */
export interface RedisKind {
  urls: readonly string[];
  isCluster: boolean;
  /**
   * True for Redis 7 or later and Valkey. With sharded pub/sub, a node receives only the messages of rooms that it
   * serves.
   */
  hasShardedPubSub: boolean;
}

const connectTimeoutMs = 5_000;
/**
 * A frozen server accepts a connection but never answers, so `connectTimeoutMs` alone is not enough. This timeout is
 * longer, so that a failed connection is reported with its own, more precise error.
 */
const answerTimeoutMs = 6_000;
const maxRetryDelayMs = 1_000;

/**
 * Removes expired leases, counts the others, and acquires or renews one. Uses the clock of Redis, because the clocks of
 * the nodes may differ.
 */
const lease = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local max = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if max > 0 and not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= max then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`,
  parseCommand(parser, key: string, holder: string, maxLeases: number, leaseMs: number) {
    parser.pushKey(key);
    parser.push(holder, String(maxLeases), String(leaseMs));
  },
  transformReply: (reply: number) => reply,
});

const countLeases = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `
local time = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000 + math.floor(time[2] / 1000))
return redis.call('ZCARD', KEYS[1])`,
  parseCommand(parser, key: string) {
    parser.pushKey(key);
  },
  transformReply: (reply: number) => reply,
});

/**
 * Takes tokens from a bucket: moves the time at which the bucket will be full again further into the future. The time
 * comes from the clock of Redis. It is stored as the score of the only member of a sorted set, because the leases use
 * sorted sets, too: in this way the Redis account needs no permissions for further commands.
 */
const spend = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local full = math.max(tonumber(redis.call('ZSCORE', KEYS[1], 'full') or '0'), now) + tonumber(ARGV[1])
full = math.min(full, now + tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], string.format('%.0f', full), 'full')
redis.call('PEXPIRE', KEYS[1], full - now + 1)
return full - now`,
  parseCommand(parser, key: string, spentMs: number, maxMs: number) {
    parser.pushKey(key);
    parser.push(String(Math.ceil(spentMs)), String(Math.ceil(maxMs)));
  },
  transformReply: (reply: number) => reply,
});

/** Uses the same commands as the leases, so the Redis account needs no further permissions. */
const enlist = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])`,
  parseCommand(parser, key: string, member: string, leaseMs: number) {
    parser.pushKey(key);
    parser.push(member, String(leaseMs));
  },
  transformReply: (reply: number) => reply,
});

const clientOptions = {
  // While the connection is down, commands fail instead of waiting in a queue. A message that is published late is
  // useless, because the other nodes have already read the change from the room log.
  disableOfflineQueue: true,
  // By default, the client starts a timer for each command, which costs more than the command itself. The timers are
  // not needed, because the heartbeat replaces a connection that does not answer.
  commandOptions: { timeout: 0 },
  scripts: { lease, countLeases, spend, enlist },
};

const socket = {
  connectTimeout: connectTimeoutMs,
  reconnectStrategy: (tries: number) => Math.min(2 ** tries * 25, maxRetryDelayMs) * (0.75 + Math.random() / 2),
};

/**
 * Creates a connection without connecting it. In a Cluster, the account and the TLS setting of the first URL are used
 * for all nodes.
 */
export function createRedisConnection({ urls, isCluster }: Pick<RedisKind, 'urls' | 'isCluster'>): RedisConnection {
  if (!isCluster) return createClient({ url: urls[0]!, socket, ...clientOptions }) as unknown as RedisConnection;
  const { username, password, protocol } = new URL(urls[0]!);
  const account = {
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
  };
  const defaults = {
    ...account,
    ...clientOptions,
    socket: protocol === 'rediss:' ? { ...socket, tls: true as const } : socket,
  };
  return createCluster({
    rootNodes: urls.map((url) => ({ url })),
    defaults,
    commandOptions: clientOptions.commandOptions,
    scripts: clientOptions.scripts,
    minimizeConnections: true,
  }) as unknown as RedisConnection;
}

/** Describes the first server that answers. Throws if none answers. Several URLs mean a Cluster. */
export async function describeRedis(urls: readonly string[]): Promise<RedisKind> {
  let failure: unknown;
  for (const url of urls) {
    const client = createClient({ url, socket: { connectTimeout: connectTimeoutMs, reconnectStrategy: false } });
    client.on('error', () => {}); // The error can be ignored here, because `connect()` rejects with it.
    try {
      const info = await withTimeout(client.connect().then(() => readServerInfo(client)));
      const major = Number(/^redis_version:(\d+)/m.exec(info)?.[1] ?? 0);
      const isCluster = urls.length > 1 || /^redis_mode:cluster/m.test(info);
      return { urls, isCluster, hasShardedPubSub: major >= 7 };
    } catch (error) {
      failure = error;
    } finally {
      client.destroy();
    }
  }
  throw failure;
}

/**
 * Reads the version and the mode of the server. Returns an empty text if the account may not use `INFO`; the service
 * then uses only features that every Redis supports.
 */
async function readServerInfo(client: { sendCommand(args: string[]): Promise<unknown> }): Promise<string> {
  try {
    return String(await client.sendCommand(['INFO', 'server']));
  } catch (error) {
    if (error instanceof ErrorReply && error.message.startsWith('NOPERM')) return '';
    throw error;
  }
}

async function withTimeout<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('Redis does not answer')), answerTimeoutMs);
  });
  try {
    return await Promise.race([answer, timedOut]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Returns the role of the server, such as `master`. Uses the command `HELLO`, because every account that can connect may
 * use it. Returns undefined for a Cluster, because the client of a Cluster finds the masters by itself.
 */
export async function readRole(
  connection: RedisConnection,
  { isCluster }: Pick<RedisKind, 'isCluster'>,
): Promise<string | undefined> {
  if (isCluster) return undefined;
  const { sendCommand } = connection as unknown as { sendCommand(args: string[]): Promise<unknown> };
  const reply = (await sendCommand.call(connection, ['HELLO'])) as { role?: unknown } | null;
  return typeof reply?.role === 'string' ? reply.role : undefined;
}

/** Advice for each failure of Redis, found by the error message. The first row that matches is used. */
const hints: readonly [RegExp, string][] = [
  [
    /NOPERM|executing the script can't run/,
    'The account in REDIS_URL lacks a permission: compare `ACL GETUSER` with the rule in docs/operations/requirements.md',
  ],
  [/WRONGPASS|NOAUTH|invalid password/, 'The user or the password in REDIS_URL is wrong'],
  [
    /^READONLY|is a replica|read only replica/,
    'REDIS_URL must lead to the master: check where its name resolves to, and whether a failover is under way',
  ],
  [/OOM/, 'Redis has reached maxmemory: raise it, or use an eviction policy that frees other keys'],
  [
    /MISCONF/,
    'Redis cannot save to its disk and refuses writes: see the log of Redis, or turn persistence off, which this service does not need',
  ],
  [/NOREPLICAS/, 'Redis has fewer replicas than min-replicas-to-write: start the missing replicas'],
  [/LOADING/, 'Redis is loading its data; wait until it has finished'],
  [
    /MASTERDOWN/,
    'REDIS_URL leads to a replica whose master is down: start the master, or set REDIS_URL to the new master',
  ],
  [/DENIED|protected mode/, 'Redis is in protected mode: set a password, or bind it to a private address'],
  [/max number of clients/, 'Redis has reached maxclients: raise it; each node uses two connections'],
  [/CLUSTERDOWN|NodeIsNotReady|RootNodesUnavailable/i, 'The Redis Cluster is not complete: see CLUSTER INFO'],
  [
    /DB index|SELECT is not allowed/,
    'The database number at the end of REDIS_URL does not exist in this Redis: remove it, or use another number',
  ],
  [
    /unknown command/,
    'This Redis lacks a command: the sharded adapter needs Redis 7 or Valkey; REDIS_ADAPTER=classic needs 6.2',
  ],
  [
    /ERR_TLS_CERT_ALTNAME|altnames/,
    'The certificate of Redis is for another host name: use the name in the certificate in REDIS_URL',
  ],
  [
    /certificate|CERT_/i,
    'The certificate of Redis is not trusted: set NODE_EXTRA_CA_CERTS to the file of your certificate authority',
  ],
  [/wrong version number|SSL|EPROTO/, 'Only one side uses TLS: use rediss:// with TLS, and redis:// without TLS'],
  [
    /Socket closed|ECONNRESET|Connection timeout/,
    'Redis or a proxy closed the connection: it stopped or restarted, a limit was reached (client-output-buffer-limit, timeout), or only one side uses TLS (rediss://)',
  ],
  [/does not answer/, 'Redis is paused, frozen or busy, or the network drops its packets'],
];

export function findHint(error: unknown): { hint?: string } {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  const text = `${String(message ?? error)} ${String(code ?? '')}`;
  const hint = hints.find(([pattern]) => pattern.test(text))?.[1];
  return hint === undefined ? {} : { hint };
}
