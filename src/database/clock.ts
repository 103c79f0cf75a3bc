import { runPeriodically, type TaskReport } from '../core/periodic.ts';
import type { EntityManager, Store } from './store.ts';

const compareIntervalMs = 30_000;
const attempts = 3;

const nowStatement = {
  name: 'now',
  text: 'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now',
};

/**
 * Measures how far the clock of the database is ahead of the clock of this node. Needed to compare times in the log with
 * local times, because all times in the log come from the clock of the database.
 */
export interface DatabaseClock {
  readonly offsetMs: number;
  /** Measures the offset again. The measurement is wrong by at most half of the fastest round trip. */
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

/** Reads the clock of the database. Stored times come from this clock, because the clocks of the nodes may differ. */
export async function readDatabaseTime(em: EntityManager): Promise<Date> {
  const [row] = await em.execute<{ now: number }[]>(
    `select (extract(epoch from date_trunc('milliseconds', clock_timestamp())) * 1000)::float8 as now`,
  );
  return new Date(Number(row!.now));
}
