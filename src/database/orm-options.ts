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
  // The store logs lost connections itself.
  logger: () => {},
};

interface PostgresOrmOptions {
  url: string;
  facts: Pick<InspectedDatabase, 'schema' | 'serverVersion' | 'database'>;
  limits: SessionLimits;
  poolSize: number;
  guard?: PoolGuard;
}

/** After the server's statement timeout plus this time no answer will arrive. */
const answerGraceMs = 1_000;

/** The startup message contains only the application name, because poolers refuse other parameters. */
export function createPostgresOptions({ url, facts, limits, poolSize, guard }: PostgresOrmOptions) {
  const { statementTimeoutMs } = limits;
  const { install } = guard ?? createPoolGuard(formatSessionSetup(facts, limits));
  return definePostgres({
    ...sharedOptions,
    clientUrl: url,
    // The ORM creates a database if it does not find the name on the server. A pooler may use another name.
    dbName: facts.database,
    schema: facts.schema,
    pool: { min: 0, max: poolSize },
    driverOptions: {
      // The ORM silently ignores the URL's query parameters, such as `sslmode`; `pg` reads them.
      connectionString: url,
      application_name: 'nano-messaging',
      connectionTimeoutMillis: 5_000,
      // Without a limit on the server there is none here: an abandoned statement would go on there.
      ...(statementTimeoutMs > 0 && { query_timeout: statementTimeoutMs + answerGraceMs }),
      keepAlive: true,
      onPoolCreated: install,
    },
  }) as Partial<PostgresOptions>;
}

/** `directory` holds the whole database; undefined keeps it in memory. */
export function createPgliteOptions(directory: string | undefined) {
  return definePglite({
    ...sharedOptions,
    dbName: directory ?? 'memory://',
    driverOptions: { parsers: { [int8Oid]: (text: string) => text } },
  }) as Partial<PgliteOptions>;
}
