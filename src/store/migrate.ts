import { readdirSync } from 'node:fs';
import type { MikroORM } from '@mikro-orm/core';
import { MikroORM as PostgresORM } from '@mikro-orm/postgresql';
import { migrationsDirectory, postgresOptions } from './orm-options.ts';

const noTimeout = 0;
/** Any fixed number: whoever holds this advisory lock migrates, the others wait. */
const migrationLock = 7_777_001;

/** Applies what is missing. Several nodes may start at once: one migrates, the others find nothing left to do. */
export async function migratePostgres(databaseUrl: string): Promise<string[]> {
  const orm = await PostgresORM.init(postgresOptions(databaseUrl, 3, noTimeout));
  try {
    const pool = await orm.em.getConnection().getNativeClient();
    const holder = await pool.connect();
    try {
      await holder.query('select pg_advisory_lock($1)', [migrationLock]);
      return await migrate(orm);
    } finally {
      holder.release(true); // ends the session, and the lock with it
    }
  } finally {
    await orm.close(true);
  }
}

/** The names of the migrations that were applied. */
export async function migrate(orm: Pick<MikroORM, 'migrator'>): Promise<string[]> {
  return (await orm.migrator.up()).map((migration) => migration.name);
}

/** The migrations of this program that a database lacks; all of them where it was never migrated. Writes nothing. */
export async function missingMigrations(query: (text: string) => Promise<unknown[]>): Promise<string[]> {
  const [known] = (await query(`select to_regclass('mikro_orm_migrations') is not null as known`)) as {
    known: boolean;
  }[];
  const rows = known!.known ? ((await query('select name from mikro_orm_migrations')) as { name: string }[]) : [];
  const applied = new Set(rows.map(({ name }) => name));
  const names = readdirSync(migrationsDirectory).map((file) => /^(Migration\w+)\.[jt]s$/.exec(file)?.[1]);
  return names.filter((name) => name !== undefined && !applied.has(name)) as string[];
}
