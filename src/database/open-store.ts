import { type PostgreSqlConnection, MikroORM as PostgresORM } from '@mikro-orm/postgresql';
import type { Logger } from 'pino';
import { createPoolGuard } from '../patches/pg-pool-guard.ts';
import { allocateSpaceStatement, createStore } from './create-store.ts';
import { type EmbeddedOptions, openEmbedded } from './embedded-database.ts';
import { checkPrivileges } from './inspect-database.ts';
import { migrate, migrateDatabase } from './migrate.ts';
import { openDatabase } from './open-database.ts';
import { createPostgresOptions } from './orm-options.ts';
import { checkSequences, type Query } from './sequences.ts';
import { formatSessionSetup } from './session-settings.ts';
import type { Statement, Store } from './store.ts';
import { createPoolQueue, createSerialQueue } from './task-queue.ts';

/**
 * Opens PGlite in `directory`, or in memory if `directory` is undefined, and applies migrations. PGlite has a single
 * session, so all work goes through one queue.
 */
export async function openPglite(directory: string | undefined, options: EmbeddedOptions = {}): Promise<Store> {
  const { orm, pglite, assertUsable, assertWritable, release } = await openEmbedded(directory, options);
  try {
    assertWritable();
    await migrate(orm);
    const native = {
      query(statement: Statement, values: unknown[]) {
        if (statement.isUrgent || statement === allocateSpaceStatement) assertWritable();
        return pglite.query(statement.text, values);
      },
    };
    const { logger } = options;
    return createStore({
      orm,
      native,
      queue: createSerialQueue(assertUsable),
      logger,
      beforeWrite: assertWritable,
      isExclusive: true,
      release,
    });
  } catch (error) {
    await orm.close(true).catch(() => {});
    release();
    throw error;
  }
}

interface PostgresSettings {
  databaseUrl: string;
  poolSize: number;
  statementTimeoutMs: number;
}

/** Applies migrations and opens the store. Throws if the server cannot be reached or the database is unsuitable. */
export async function openPostgres(settings: PostgresSettings, logger?: Logger): Promise<Store> {
  const { databaseUrl: url, poolSize, statementTimeoutMs } = settings;
  const { client, facts } = await openDatabase(url);
  try {
    for (const warning of facts.warnings) logger?.warn(warning);
    await migrateDatabase({ url, client, facts }, logger);
    await checkPrivileges(client, facts);
  } finally {
    await client.end().catch(() => {});
  }
  const limits = { statementTimeoutMs, lockTimeoutMs: 0, idleInTransactionTimeoutMs: statementTimeoutMs };
  const guard = createPoolGuard(formatSessionSetup(facts, limits));
  const orm = await PostgresORM.init(createPostgresOptions({ url, facts, limits, poolSize, guard }));
  const pool = await (orm.em.getConnection() as PostgreSqlConnection).getNativeClient();
  const { query, expire: expireSessions } = guard;
  const verify = (query: Query) => checkSequences(query, facts.schema);
  const countSessions = () => guard.sessionCount;
  const queue = createPoolQueue(pool, poolSize);
  return createStore({ orm, native: { query }, queue, logger, expireSessions, verify, countSessions });
}

type StoreSettings = { mode: 'embedded'; directory: string | undefined } | ({ mode: 'postgres' } & PostgresSettings);

export function openStore(settings: StoreSettings, logger: Logger, onFailure: (error: Error) => void): Promise<Store> {
  return settings.mode === 'embedded'
    ? openPglite(settings.directory, { logger, onFailure })
    : openPostgres(settings, logger);
}
