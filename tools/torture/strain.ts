import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { createClient } from 'redis';
import type { Delay, Evidence } from './record.ts';

const timerMs = 50;
const probeMs = 200;
const timeoutMs = 10_000;

interface Targets {
  urls: string[];
  databaseUrl: () => string;
  redisUrl: string | undefined;
}

/** A connection to a server, over which trivial requests are sent. */
interface ProbeConnection {
  ping(): Promise<unknown>;
  close(): Promise<unknown>;
}

async function connectToDatabase(connectionString: string): Promise<ProbeConnection> {
  const client = new Client({ connectionString, connectionTimeoutMillis: 5_000 });
  // The next query fails.
  client.on('error', () => {});
  await client.connect();
  return { ping: () => client.query('select 1'), close: () => client.end() };
}

async function connectToRedis(url: string): Promise<ProbeConnection> {
  const client = createClient({ url, socket: { reconnectStrategy: false } });
  // The next command fails.
  client.on('error', () => {});
  await client.connect();
  return { ping: () => client.ping(), close: async () => client.destroy() };
}

/**
 * Measures how long the machine lets everybody wait: a timer in this process, and a trivial request to each node, to
 * PostgreSQL and to Redis. Requests that fail are no measurements. Returns a function that stops it.
 */
export function measureStrain(
  { urls, databaseUrl, redisUrl }: Targets,
  { delays }: Pick<Evidence, 'delays'>,
): () => void {
  let isOver = false;
  const note = (from: number, ms: number) => void delays.push({ from, to: from + ms, ms });

  let due = performance.now() + timerMs;
  const timer = setInterval(() => {
    const now = performance.now();
    if (now > due) note(due, now - due);
    due = now + timerMs;
  }, timerMs);

  async function probe(task: () => Promise<unknown>): Promise<void> {
    while (!isOver) {
      const from = performance.now();
      await task().then(
        () => note(from, performance.now() - from),
        () => {},
      );
      await delay(probeMs);
    }
  }

  for (const url of urls) {
    void probe(async () => {
      const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(timeoutMs) });
      await answer.arrayBuffer();
    });
  }

  async function probeConnection(connect: () => Promise<ProbeConnection>): Promise<void> {
    while (!isOver) {
      const connection = await connect().catch(() => undefined);
      let isLost = connection === undefined;
      while (!isOver && !isLost) {
        const from = performance.now();
        await connection!.ping().then(
          () => note(from, performance.now() - from),
          () => {
            isLost = true;
          },
        );
        await delay(probeMs);
      }
      await connection?.close().catch(() => {});
      await delay(probeMs);
    }
  }
  void probeConnection(() => connectToDatabase(databaseUrl()));
  if (redisUrl !== undefined) void probeConnection(() => connectToRedis(redisUrl));

  return () => {
    isOver = true;
    clearInterval(timer);
  };
}

const sliceMs = 250;

/** The longest delays by time. */
export class DelayIndex {
  readonly #longest = new Map<number, number>();

  constructor(delays: readonly Delay[]) {
    for (const { from, to, ms } of delays) {
      for (let slice = toSlice(from); slice <= toSlice(to); slice++) {
        this.#longest.set(slice, Math.max(ms, this.#longest.get(slice) ?? 0));
      }
    }
  }

  /** The longest delay that anybody had to wait between these times, in ms. */
  longest(from: number, to: number): number {
    let longest = 0;
    for (let slice = toSlice(from); slice <= toSlice(to); slice++) {
      longest = Math.max(longest, this.#longest.get(slice) ?? 0);
    }
    return longest;
  }
}

const toSlice = (at: number) => Math.floor(at / sliceMs);
