import { runPeriodically, type TaskReport } from '../core/periodic.ts';
import type { Store } from './store.ts';

const everyMs = 30_000;
const tries = 3;

const now = {
  name: 'now',
  text: 'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now',
};

/** How far the database's clock, which all times in the log are of, is ahead of this node's. */
export interface DatabaseClock {
  readonly offsetMs: number;
  /** Looks at both clocks; the answer is right to half of the quickest round trip. */
  compare(): Promise<void>;
  close(): void;
}

export function databaseClock(store: Pick<Store, 'query'>, report: TaskReport): DatabaseClock {
  let offsetMs = 0;

  async function compare(): Promise<void> {
    let quickest = Number.POSITIVE_INFINITY;
    for (let n = 0; n < tries; n++) {
      const asked = performance.now();
      const [row] = await store.query<{ now: number }>(now, []);
      const tookMs = performance.now() - asked;
      if (tookMs >= quickest) continue;
      quickest = tookMs;
      offsetMs = row!.now - (Date.now() - tookMs / 2);
    }
  }

  const close = runPeriodically(everyMs, compare, report);
  return {
    get offsetMs() {
      return offsetMs;
    },
    compare,
    close,
  };
}
