import { runPeriodically, type TaskReport } from '../core/periodic.ts';
import type { EntityManager, Store } from './store.ts';

const compareIntervalMs = 30_000;
const attempts = 3;

const nowStatement = {
  name: 'now',
  text: 'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now',
};

/** The offset of the database's clock, the source of all times in the log, to this node's clock. */
export interface DatabaseClock {
  readonly offsetMs: number;
  /** Compares both clocks. The error is at most half of the fastest round trip. */
  compare(): Promise<void>;
  close(): void;
}

export function createDatabaseClock(store: Pick<Store, 'query'>, report: TaskReport): DatabaseClock {
  let offsetMs = 0;

  async function compare(): Promise<void> {
    let minRoundTripMs = Number.POSITIVE_INFINITY;
    for (let n = 0; n < attempts; n++) {
      const startedAt = performance.now();
      const [row] = await store.query<{ now: number }>(nowStatement, []);
      const roundTripMs = performance.now() - startedAt;
      if (roundTripMs >= minRoundTripMs) continue;
      minRoundTripMs = roundTripMs;
      offsetMs = row!.now - (Date.now() - roundTripMs / 2);
    }
  }

  const close = runPeriodically(compareIntervalMs, compare, report);
  return {
    get offsetMs() {
      return offsetMs;
    },
    compare,
    close,
  };
}

/** Reads the database's clock, so that all nodes write times of the same clock. */
export async function readDatabaseTime(em: EntityManager): Promise<Date> {
  const [row] = await em.execute<{ now: number }[]>(
    `select (extract(epoch from date_trunc('milliseconds', clock_timestamp())) * 1000)::float8 as now`,
  );
  return new Date(Number(row!.now));
}
