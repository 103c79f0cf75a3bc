import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import type { Delay, Evidence } from './record.ts';

const timerMs = 50;
const probeMs = 200;
const timeoutMs = 10_000;

interface Targets {
  urls: string[];
  databaseUrl: () => string;
}

/**
 * Measures how long the machine lets everybody wait: a timer in this process, a trivial request to each node, and a
 * trivial query. Requests that fail are no measurements. Returns a function that stops it.
 */
export function measureStrain({ urls, databaseUrl }: Targets, { delays }: Pick<Evidence, 'delays'>): () => void {
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

  async function probeDatabase(): Promise<void> {
    while (!isOver) {
      const database = new Client({ connectionString: databaseUrl(), connectionTimeoutMillis: 5_000 });
      let isLost = false;
      database.on('error', () => {
        isLost = true;
      });
      await database.connect().catch(() => {
        isLost = true;
      });
      while (!isOver && !isLost) {
        const from = performance.now();
        await database.query('select 1').then(
          () => note(from, performance.now() - from),
          () => {
            isLost = true;
          },
        );
        await delay(probeMs);
      }
      await database.end().catch(() => {});
      await delay(probeMs);
    }
  }
  void probeDatabase();

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
