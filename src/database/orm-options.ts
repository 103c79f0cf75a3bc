import { fileURLToPath } from 'node:url';
import { Migrator } from '@mikro-orm/migrations';
import { defineConfig as definePglite, type Options as PgliteOptions } from '@mikro-orm/pglite';
import { defineConfig as definePostgres, type Options as PostgresOptions } from '@mikro-orm/postgresql';
import { createPoolGuard, type PoolGuard } from '../patches/pg-pool-guard.ts';
import { entities } from './entities.ts';
import type { InspectedDatabase } from './inspect-database.ts';
import { formatSessionSetup, type SessionLimits } from './session-settings.ts';

const int8Oid = 20;

export const migrationsDirectory = fileURLToPath(new URL('../../migrations', import.meta.url));

const sharedOptions = {
  entities,
  extensions: [Migrator],
  migrations: {
    path: migrationsDirectory,
    snapshotName: '.snapshot',
    snapshotOnMigrate: false,
  },
  forceUtcTimezone: true,
  // The ORM would log errors of connections, which the store already logs.
  logger: () => {},
};

interface PostgresOrmOptions {
  url: string;
  facts: Pick<InspectedDatabase, 'schema' | 'serverVersion' | 'database'>;
  limits: SessionLimits;
  poolSize: number;
  guard?: PoolGuard;
}

/** How much longer than the statement timeout the client waits, so that normally the server ends a slow statement. */
const answerGraceMs = 1_000;

/**
 * Creates the options for PostgreSQL. The startup message sets only the application name, because poolers refuse other
 * parameters.
 */
export function createPostgresOptions({ url, facts, limits, poolSize, guard }: PostgresOrmOptions) {
  const { statementTimeoutMs } = limits;
  const { install } = guard ?? createPoolGuard(formatSessionSetup(facts, limits));
  return definePostgres({
    ...sharedOptions,
    clientUrl: url,
    // This is the name on the server. The URL may contain another name that only a pooler knows. If the ORM did not find
    // the name on the server, it would create a database.
    dbName: facts.database,
    schema: facts.schema,
    pool: { min: 0, max: poolSize },
    driverOptions: {
      // `pg` needs the whole URL, because the ORM ignores query parameters such as `sslmode`.
      connectionString: url,
      application_name: 'nano-messaging',
      connectionTimeoutMillis: 5_000,
      // Without a time limit on the server, the client has no time limit either. Otherwise the client could give up a
      // statement that continues on the server.
      ...(statementTimeoutMs > 0 && { query_timeout: statementTimeoutMs + answerGraceMs }),
      keepAlive: true,
      onPoolCreated: install,
    },
  }) as Partial<PostgresOptions>;
}

/** Creates the options for PGlite. If `directory` is undefined, the database is kept in memory. */
export function createPgliteOptions(directory: string | undefined) {
  return definePglite({
    ...sharedOptions,
    dbName: directory ?? 'memory://',
    driverOptions: { parsers: { [int8Oid]: (text: string) => text } },
  }) as Partial<PgliteOptions>;
}
