import type { EntityManager } from './store.ts';

/** The database's clock, so that all nodes write times of one clock. */
export async function readDatabaseTime(em: EntityManager): Promise<Date> {
  const [row] = await em.execute<{ now: number }[]>(
    `select (extract(epoch from date_trunc('milliseconds', clock_timestamp())) * 1000)::float8 as now`,
  );
  return new Date(Number(row!.now));
}
