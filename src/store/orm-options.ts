import { fileURLToPath } from 'node:url';
import { Migrator } from '@mikro-orm/migrations';
import { defineConfig as definePglite, type Options as PgliteOptions } from '@mikro-orm/pglite';
import { defineConfig as definePostgres, type Options as PostgresOptions } from '@mikro-orm/postgresql';
import { ImportedRoomEntity } from './imported-room.entity.ts';
import { MessageEntity } from './message.entity.ts';
import { PermissionRuleEntity } from './permission-rule.entity.ts';
import { guardPool } from './pool-guard.ts';
import { RevocationEntity } from './revocation.entity.ts';
import { RoomEntity } from './room.entity.ts';
import { RoomChangeEntity } from './room-change.entity.ts';

const int8 = 20;

export const migrationsDirectory = fileURLToPath(new URL('../../migrations', import.meta.url));

const shared = {
  entities: [RoomEntity, PermissionRuleEntity, MessageEntity, RoomChangeEntity, RevocationEntity, ImportedRoomEntity],
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

/** `statementTimeoutMs` bounds how long a hung database holds a request. */
export function postgresOptions(databaseUrl: string, poolSize: number, statementTimeoutMs: number) {
  return definePostgres({
    ...shared,
    clientUrl: databaseUrl,
    pool: { min: 0, max: poolSize },
    driverOptions: {
      // The ORM reads neither `sslmode` nor whatever else stands after the `?`, and says nothing of it; `pg` does.
      connectionString: databaseUrl,
      application_name: 'nano-messaging',
      connectionTimeoutMillis: 5_000,
      statement_timeout: statementTimeoutMs,
      query_timeout: statementTimeoutMs + 1_000,
      keepAlive: true,
      // A node that is frozen in a transaction must not hold its locks.
      idle_in_transaction_session_timeout: statementTimeoutMs,
      onPoolCreated: guardPool,
    },
  }) as Partial<PostgresOptions>;
}

/** `directory` holds the whole database; undefined keeps it in memory. */
export function pgliteOptions(directory: string | undefined) {
  return definePglite({
    ...shared,
    dbName: directory ?? 'memory://',
    driverOptions: { parsers: { [int8]: (text: string) => text } },
  }) as Partial<PgliteOptions>;
}
