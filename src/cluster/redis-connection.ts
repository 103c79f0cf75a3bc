import { createClient, createCluster, defineScript, ErrorReply } from 'redis';

/** What Redis itself answered, as opposed to a connection that failed. */
export { ErrorReply };

type ChannelListener = (message: Buffer, channel: Buffer) => void;

/** What we ask of a Redis connection, be it to one server or to a Cluster. */
export interface RedisConnection {
  connect(): Promise<unknown>;
  /** Waits for what is on its way. */
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
  /** 1: the lease is taken or renewed; 0: there are `most` of them already (0: no limit). */
  lease(key: string, holder: string, maxLeases: number, leaseMs: number): Promise<number>;
  /** Takes so much from a bucket that all nodes share; how long it takes until it is full again. In ms. */
  spend(key: string, spentMs: number, maxMs: number): Promise<number>;
  zRem(key: string, member: string): Promise<number>;
}

/** How to reach it, and what it can do. */
export interface RedisKind {
  urls: readonly string[];
  isCluster: boolean;
  /** Redis 7 and Valkey: a node hears only the rooms that it serves. */
  hasShardedPubSub: boolean;
}

const connectTimeoutMs = 5_000;
/** A server that is paused or frozen takes a connection and answers nothing; longer than `connectTimeoutMs`, whose error says more. */
const answerTimeoutMs = 6_000;
const maxRetryDelayMs = 1_000;

/** Expired leases go, then it is counted; by the clock of Redis, so that those of the nodes may differ. */
const lease = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if most > 0 and not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= most then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`,
  parseCommand(parser, key: string, holder: string, maxLeases: number, leaseMs: number) {
    parser.pushKey(key);
    parser.push(holder, String(maxLeases), String(leaseMs));
  },
  transformReply: (reply: number) => reply,
});

/**
 * By the clock of Redis, as above. What is kept is when the bucket is full again, as a sorted set of one member: so that
 * an account needs no other commands than for the leases.
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

const clientOptions = {
  // What cannot go out now is refused now: a message of the past would wake nobody.
  disableOfflineQueue: true,
  // One timer a command costs more than the command; a connection that does not answer is given up as a whole.
  commandOptions: { timeout: 0 },
  scripts: { lease, spend },
};

const socket = {
  connectTimeout: connectTimeoutMs,
  reconnectStrategy: (tries: number) => Math.min(2 ** tries * 25, maxRetryDelayMs) * (0.75 + Math.random() / 2),
};

/** Not connected yet. A Cluster's other nodes are reached as the first one is: same account, same TLS. */
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

/** Asks the first server that answers; throws where none does. Several URLs are those of a Cluster. */
export async function describeRedis(urls: readonly string[]): Promise<RedisKind> {
  let failure: unknown;
  for (const url of urls) {
    const client = createClient({ url, socket: { connectTimeout: connectTimeoutMs, reconnectStrategy: false } });
    client.on('error', () => {}); // connect() says it
    try {
      const about = await withTimeout(client.connect().then(() => readServerInfo(client)));
      const major = Number(/^redis_version:(\d+)/m.exec(about)?.[1] ?? 0);
      const isCluster = urls.length > 1 || /^redis_mode:cluster/m.test(about);
      return { urls, isCluster, hasShardedPubSub: major >= 7 };
    } catch (error) {
      failure = error;
    } finally {
      client.destroy();
    }
  }
  throw failure;
}

/** An account that may not ask has what every server has. */
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
 * `master` or `replica`, by `HELLO`, which every account may use that may connect. Undefined for a Cluster, which sends
 * its clients to the masters by itself.
 */
export async function readRole(
  connection: RedisConnection,
  { isCluster }: Pick<RedisKind, 'isCluster'>,
): Promise<string | undefined> {
  if (isCluster) return undefined;
  const { sendCommand } = connection as unknown as { sendCommand(args: string[]): Promise<unknown> };
  const about = (await sendCommand.call(connection, ['HELLO'])) as { role?: unknown } | null;
  return typeof about?.role === 'string' ? about.role : undefined;
}
