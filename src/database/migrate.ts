import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MikroORM } from '@mikro-orm/core';
import { MikroORM as PostgresORM } from '@mikro-orm/postgresql';
import type { Client } from 'pg';
import type { Logger } from 'pino';
import { type OpenDatabase, openDatabase } from './open-database.ts';
import { createPostgresOptions, migrationsDirectory } from './orm-options.ts';
import { checkSequences } from './sequences.ts';
import { sqlState, UnsuitableDatabase } from './store-errors.ts';

/**
 * The key of an advisory lock; any fixed number would do. The node that holds the lock migrates the database, and the
 * other nodes wait.
 */
const migrationLock = 7_777_001;

const lockPollIntervalMs = 200;
const reportIntervalMs = 10_000;
/** How long a migration waits for a table lock. Meanwhile, all later statements on the table queue behind it. */
const tableLockTimeoutMs = 1_000;
const minRetryMs = 1_000;
const maxRetryMs = 10_000;

const limits = { statementTimeoutMs: 0, lockTimeoutMs: tableLockTimeoutMs, idleInTransactionTimeoutMs: 60_000 };

const lockNotAvailable = '55P03';
const insufficientPrivilege = '42501';

/** Migrates the database for `npm run migrate`. Returns the names of the applied migrations. */
export async function migratePostgres(databaseUrl: string, logger?: Logger): Promise<string[]> {
  const database = await openDatabase(databaseUrl);
  try {
    return await migrateDatabase(database, logger);
  } finally {
    await database.client.end();
  }
}

/**
 * Applies the missing migrations, without a time limit. If several nodes start at once, one node migrates and the others
 * wait. They poll for the lock instead of waiting in a statement: such a statement could block other sessions, and would
 * continue on the server if its node ended.
 */
export async function migrateDatabase(database: OpenDatabase, logger?: Logger): Promise<string[]> {
  try {
    return await migrateMissing(database, logger);
  } catch (error) {
    if (sqlState(error) !== insufficientPrivilege) throw error;
    const { account, schema } = database.facts;
    throw new UnsuitableDatabase(
      `The account "${account}" may not migrate the tables in the schema "${schema}": ${(error as Error).message}. ` +
        'Run "npm run migrate" with the account that owns them, or make this account their owner.',
    );
  }
}

async function migrateMissing(database: OpenDatabase, logger: Logger | undefined): Promise<string[]> {
  const { client, facts } = database;
  const query = async <Row>(text: string, values?: unknown[]) => (await client.query(text, values)).rows as Row[];
  const readMissing = () => listMissingMigrations(query);
  await checkSequences(query, facts.schema);
  if ((await readMissing()).length === 0) return [];
  await lockMigrations(client, logger);
  try {
    const names = await readMissing();
    if (names.length === 0) return [];
    await assertMayCreate(database, names);
    return await retryWhileLocked(() => applyMigrations(database, logger), client, logger);
  } finally {
    await client.query('select pg_advisory_unlock($1)', [migrationLock]).catch(() => {});
  }
}

async function lockMigrations(client: Client, logger: Logger | undefined): Promise<void> {
  const since = performance.now();
  for (let reported = Number.NEGATIVE_INFINITY; ; await sleep(lockPollIntervalMs)) {
    const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [
      migrationLock,
    ]);
    if (rows[0]!.locked) return;
    if (performance.now() - reported < reportIntervalMs) continue;
    reported = performance.now();
    const holders = await client.query(
      `select a.pid, a.application_name as application, a.client_addr::text as address
       from pg_locks l join pg_stat_activity a on a.pid = l.pid
       where l.locktype = 'advisory' and l.granted and l.objid = $1::oid
         and l.database = (select oid from pg_database where datname = current_database())`,
      [migrationLock],
    );
    const waitedMs = Math.round(reported - since);
    logger?.info({ waitedMs, holder: holders.rows[0] }, 'waiting for another node that migrates the database');
  }
}

async function assertMayCreate({ client, facts }: OpenDatabase, missing: readonly string[]): Promise<void> {
  const { schema, account } = facts;
  const { rows } = await client.query<{ may: boolean }>(`select has_schema_privilege($1, 'CREATE') as may`, [schema]);
  if (rows[0]!.may) return;
  throw new UnsuitableDatabase(
    `The account "${account}" may not create tables in the schema "${schema}", and migrations are missing: ${missing.join(', ')}. ` +
      `Allow it with: grant create on schema "${schema}" to "${account}"; or run "npm run migrate" with the account that owns the tables.`,
  );
}

/**
 * Retries the migrations until no other session, such as a backup or an open transaction, holds a lock on their tables.
 * A single long wait for the lock would block all statements that queue behind it.
 */
async function retryWhileLocked(
  apply: () => Promise<string[]>,
  client: Client,
  logger: Logger | undefined,
): Promise<string[]> {
  for (let backoffMs = minRetryMs; ; backoffMs = Math.min(maxRetryMs, backoffMs * 2)) {
    try {
      return await apply();
    } catch (error) {
      if (sqlState(error) !== lockNotAvailable) throw error;
      const { rows: holders } = await client.query(lockHoldersQuery);
      logger?.warn({ holders, retryInMs: backoffMs }, 'migration waits for a table lock; retrying');
      await sleep(backoffMs);
    }
  }
}

const lockHoldersQuery = `select a.pid, a.application_name as application, a.usename::text as account,
    round(extract(epoch from clock_timestamp() - a.xact_start))::int as "openForSeconds"
  from pg_stat_activity a
  where a.pid <> pg_backend_pid() and exists (
    select 1 from pg_locks l join pg_class c on c.oid = l.relation
    where l.pid = a.pid and l.granted and c.relnamespace = (select oid from pg_namespace where nspname = current_schema())
  )
  order by a.xact_start limit 5`;

async function applyMigrations({ url, facts }: OpenDatabase, logger: Logger | undefined): Promise<string[]> {
  const orm = await PostgresORM.init(createPostgresOptions({ url, facts, limits, poolSize: 2 }));
  let current = { name: '', since: performance.now() };
  const report = setInterval(() => {
    logger?.info({ migration: current.name, forMs: Math.round(performance.now() - current.since) }, 'still migrating');
  }, reportIntervalMs).unref();
  try {
    orm.migrator.on('migrating', ({ name }) => {
      current = { name, since: performance.now() };
      logger?.info({ migration: name }, 'migrating the database');
    });
    return await migrate(orm);
  } finally {
    clearInterval(report);
    await orm.close(true);
  }
}

/** Returns the names of the applied migrations. */
export async function migrate(orm: Pick<MikroORM, 'migrator'>): Promise<string[]> {
  return (await orm.migrator.up()).map((migration) => migration.name);
}

/** Lists the names of the migrations that belong to this version of the service. */
export function listMigrationNames(): string[] {
  return readdirSync(migrationsDirectory)
    .map((file) => /^(Migration\w+)\.[jt]s$/.exec(file)?.[1])
    .filter((name) => name !== undefined)
    .sort();
}

/** Lists the migrations that are not applied to the database yet. Does not change the database. */
export async function listMissingMigrations(query: (text: string) => Promise<unknown[]>): Promise<string[]> {
  const [known] = (await query(`select to_regclass('mikro_orm_migrations') is not null as known`)) as {
    known: boolean;
  }[];
  const rows = known!.known ? ((await query('select name from mikro_orm_migrations')) as { name: string }[]) : [];
  const applied = new Set(rows.map(({ name }) => name));
  return listMigrationNames().filter((name) => !applied.has(name));
}
