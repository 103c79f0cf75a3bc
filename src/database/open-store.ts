import type { MikroORM } from '@mikro-orm/core';
import { type PostgreSqlConnection, MikroORM as PostgresORM } from '@mikro-orm/postgresql';
import pLimit from 'p-limit';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import { createPoolGuard } from '../patches/pg-pool-guard.ts';
import { createAvailability } from './availability.ts';
import { type EmbeddedOptions, openEmbedded } from './embedded-database.ts';
import { listMigrationNames, migrate, migrateDatabase } from './migrate.ts';
import { openDatabase } from './open-database.ts';
import { createPostgresOptions } from './orm-options.ts';
import { checkPrivileges } from './privileges.ts';
import { checkSequences, type Query } from './sequences.ts';
import { identifyService } from './service-identity.ts';
import { formatSessionSetup } from './session-settings.ts';
import type { EntityManager, Load, Statement, Store } from './store.ts';
import { affectsAllSessions, isUnavailable, rethrowAsUnavailable, sqlState } from './store-errors.ts';

type Orm = Pick<MikroORM, 'migrator' | 'close'> & { em: { fork(): unknown } };

interface NativeClient {
  query(statement: Statement, values: unknown[]): Promise<{ rows: unknown[] }>;
}

/** Who gets the database next. */
interface TaskQueue {
  run<T>(task: () => Promise<T>, isUrgent?: boolean): Promise<T>;
  readonly load: Load;
}

/** Runs the tasks one after the other, those that are urgent first, each after the check. */
function createSerialQueue(check: () => void): TaskQueue {
  const urgent: (() => Promise<void>)[] = [];
  const others: (() => Promise<void>)[] = [];
  let isBusy = false;

  async function drain(): Promise<void> {
    isBusy = true;
    while (urgent.length + others.length > 0) {
      if (urgent.length > 0) {
        await urgent.shift()!();
      } else {
        await others.shift()!();
        // PGlite answers within the same turn. Without its end no socket would be read while anything waits.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    isBusy = false;
  }

  async function runChecked<T>(task: () => Promise<T>): Promise<T> {
    check();
    return task();
  }

  return {
    run: (task, isUrgent) =>
      new Promise((resolve, reject) => {
        (isUrgent ? urgent : others).push(() => runChecked(task).then(resolve, reject));
        if (!isBusy) void drain();
      }),
    get load() {
      const busy = Number(isBusy);
      return { busy, idle: 1 - busy, max: 1, waiting: urgent.length + others.length };
    },
  };
}

/** One connection is kept for what is urgent, so that transactions which wait for a lock cannot hold up messages. */
function createPoolQueue(pool: Pool, max: number): TaskQueue {
  const others = pLimit(Math.max(1, max - 1));
  return {
    run: (task, isUrgent) => (isUrgent ? task() : others(task)),
    get load() {
      const { totalCount, idleCount, waitingCount } = pool;
      const waiting = waitingCount + others.pendingCount;
      return { busy: totalCount - idleCount, idle: idleCount, max, waiting };
    },
  };
}

/** Reads and, without a change, writes: that fails on a standby, and without the privilege. */
const appliedMigrationsStatement = {
  name: 'applied_migrations',
  text: 'with write as (update rooms set last_seq = last_seq where false) select name from mikro_orm_migrations',
};

/** Takes new space on the disk of the server, and gives it back. */
const allocateSpaceStatement = {
  name: 'take_space',
  text: `create temporary table nano_messaging_probe on commit drop as
    select md5(n::text) as filler from generate_series(1, 5000) as n`,
};

/** A server is verified again after this time, because somebody may have set its sequences back meanwhile. */
const verifyIntervalMs = 9_000;

const diskFailureState = /^(53100|58...)$/;
const insufficientPrivilege = '42501';

interface StoreParts {
  orm: Orm;
  native: NativeClient;
  queue: TaskQueue;
  logger?: Logger | undefined;
  /** A connection led to the wrong server, or to none. */
  expireSessions?: () => void;
  /** Throws if the service cannot rely on the server that answers. */
  verify?: (query: Query) => Promise<void>;
  /** How many sessions were opened so far. A new one may lead to another server. */
  countSessions?: () => number;
  /** Throws if nothing can be written. */
  beforeWrite?: () => void;
  release?: () => void;
}

/** Once it has migrated. */
function createStore(parts: StoreParts): Store {
  const { orm, native, queue, logger, expireSessions, beforeWrite, release = () => {} } = parts;
  const requiredMigrations = listMigrationNames();
  let closing: Promise<void> | undefined;
  const verify = createVerification(parts, (text, values) => queryOnce(text, values));
  const onRecovered = () => void verify().catch((error: unknown) => availability.recordFailure(error));
  const availability = createAvailability({ probe, onRecovered, logger });
  const runUrgent = (statement: Statement, values: unknown[] = []) =>
    queue.run(() => native.query(statement, values), true);

  const queryOnce: Query = <Row>(text: string, values?: unknown[]) =>
    runUrgent({ name: '', text }, values).then(({ rows }) => rows as Row[]);

  function recordAndRethrow(error: unknown): never {
    availability.recordFailure(error);
    if (affectsAllSessions(error)) expireSessions?.();
    return rethrowAsUnavailable(error);
  }

  /** Runs the task, and learns from its outcome how the database is. */
  function runTracked<T>(task: () => Promise<T>, isUrgent?: boolean): Promise<T> {
    const outagesAtBegin = availability.begin();
    return queue.run(task, isUrgent).then((answer) => {
      availability.recordSuccess(outagesAtBegin);
      return answer;
    }, recordAndRethrow);
  }

  async function probe(): Promise<void> {
    const needsSpace = diskFailureState.test(sqlState(availability.cause) ?? '');
    const { rows } = await runUrgent(appliedMigrationsStatement).catch(recordAndRethrow);
    const applied = new Set((rows as { name: string }[]).map(({ name }) => name));
    const missing = requiredMigrations.filter((name) => !applied.has(name));
    if (missing.length > 0) throw new Error(`Migrations are missing: ${missing.join(', ')}`);
    if (needsSpace) await runUrgent(allocateSpaceStatement).catch(rethrowUnlessForbidden).catch(recordAndRethrow);
    await verify({ unlessRecent: availability.isUp }).catch(recordAndRethrow);
  }

  return {
    query: <Row>(statement: Statement, values: unknown[]) =>
      runTracked(() => native.query(statement, values), statement.isUrgent).then(({ rows }) => rows as Row[]),
    transaction: (task) =>
      runTracked(() => {
        beforeWrite?.();
        return (orm.em.fork() as EntityManager).transactional(async (em) => {
          const result = await task(em);
          beforeWrite?.();
          return result;
        });
      }),
    identify: () => identifyService(queryOnce).catch(rethrowAsUnavailable),
    check: async () => {
      await probe();
      availability.recordRecovery();
    },
    get isUp() {
      return availability.isUp;
    },
    get failures() {
      return availability.failures;
    },
    get load() {
      return queue.load;
    },
    close: () => {
      availability.close();
      // A database that another process has taken over, or that has stopped, is left as it is.
      closing ??= queue
        .run(() => orm.close(true))
        .catch((error: unknown) => {
          if (!isUnavailable(error)) throw error;
        })
        .finally(release);
      return closing;
    },
  };
}

/** `unlessRecent`: not if the same sessions led to a server that was verified a moment ago. */
function createVerification({ verify = async () => {}, countSessions = () => 0 }: StoreParts, query: Query) {
  let verified: { sessions: number; at: number } | undefined;
  return async ({ unlessRecent = false } = {}): Promise<void> => {
    const now = { sessions: countSessions(), at: performance.now() };
    if (unlessRecent && verified?.sessions === now.sessions && now.at - verified.at < verifyIntervalMs) return;
    await verify(query);
    verified = now;
  };
}

/** The account may not make temporary tables: whether there is space shows at the next write. */
function rethrowUnlessForbidden(error: unknown): void {
  if (sqlState(error) !== insufficientPrivilege) throw error;
}

/** PGlite in `directory`, or in memory: one session for the whole process, so everything passes one queue. */
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

/** Migrates first. Throws if the server cannot be reached, or the service cannot rely on the database. */
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
