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
  // What the ORM has to say of a lost connection is logged where the loss is felt, by our own logger.
  logger: () => {},
};

interface PostgresOrmOptions {
  url: string;
  facts: Pick<InspectedDatabase, 'schema' | 'serverVersion' | 'database'>;
  limits: SessionLimits;
  poolSize: number;
  guard?: PoolGuard;
}

/** Once the time limit of the server is over, an answer that has not come will not come. */
const answerGraceMs = 1_000;

/** Nothing but the name of the application is asked for in the startup message: poolers refuse the rest. */
export function createPostgresOptions({ url, facts, limits, poolSize, guard }: PostgresOrmOptions) {
  const { statementTimeoutMs } = limits;
  const { install } = guard ?? createPoolGuard(formatSessionSetup(facts, limits));
  return definePostgres({
    ...sharedOptions,
    clientUrl: url,
    // The ORM creates a database whose name it does not find in the server; a pooler may know it by another name.
    dbName: facts.database,
    schema: facts.schema,
    pool: { min: 0, max: poolSize },
    driverOptions: {
      // The ORM reads neither `sslmode` nor whatever else stands after the `?`, and says nothing of it; `pg` does.
      connectionString: url,
      application_name: 'nano-messaging',
      connectionTimeoutMillis: 5_000,
      // Without a limit in the server there is none here: what is not waited for would go on there.
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
