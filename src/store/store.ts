import { join } from 'node:path';
import type { MikroORM } from '@mikro-orm/core';
import { MikroORM as PgliteORM } from '@mikro-orm/pglite';
import {
  type BasePostgreSqlEntityManager,
  type PostgreSqlConnection,
  MikroORM as PostgresORM,
} from '@mikro-orm/postgresql';
import pLimit from 'p-limit';
import type { Pool } from 'pg';
import { lockDataDirectory } from './data-directory.ts';
import { migrate, migratePostgres } from './migrate.ts';
import { pgliteOptions, postgresOptions } from './orm-options.ts';
import { isAway, stateOf, unavailable } from './store-errors.ts';

export type EntityManager = BasePostgreSqlEntityManager;

/** A statement with a name of its own is parsed by the server once per connection. */
export interface Statement {
  name: string;
  text: string;
  /** Goes before whatever else waits for the database: for the statements that every message needs. */
  isUrgent?: boolean;
}

/** The database of one process. Every method throws `UNAVAILABLE` while the database is away. */
export interface Store {
  /** One statement. int8 comes as a string: cast to float8 in the statement where a number is wanted. */
  query<Row>(statement: Statement, values: unknown[]): Promise<Row[]>;
  /** A transaction in an identity map of its own. It must not call the store again: on PGlite that would wait for ever. */
  transaction<T>(task: (em: EntityManager) => Promise<T>): Promise<T>;
  /** The same wherever this very database is reached from; another one for a copy of it on another server. */
  identity(): Promise<string>;
  /** Throws where the database does not answer, or lacks a migration. */
  check(): Promise<void>;
  /** Whether the database answered what it was asked last. */
  readonly isUp: boolean;
  /** How often it did not, or could not do it at that moment. */
  readonly failures: number;
  readonly load: Load;
  close(): Promise<void>;
}

/** The connections to the database, and what waits for one. */
export interface Load {
  busy: number;
  idle: number;
  most: number;
  waiting: number;
}

type Orm = Pick<MikroORM, 'migrator' | 'close'> & { em: { fork(): unknown } };

interface Native {
  query(statement: Statement, values: unknown[]): Promise<{ rows: unknown[] }>;
}

/** Who gets the database next. */
interface Line {
  run<T>(task: () => Promise<T>, isUrgent?: boolean): Promise<T>;
  readonly load: Load;
}

/** Runs the tasks one after the other, those that are urgent first. */
function oneAtATime(): Line {
  const urgent: (() => Promise<void>)[] = [];
  const others: (() => Promise<void>)[] = [];
  let isBusy = false;

  async function runAll(): Promise<void> {
    isBusy = true;
    for (let next = urgent.shift() ?? others.shift(); next; next = urgent.shift() ?? others.shift()) await next();
    isBusy = false;
  }

  return {
    run: (task, isUrgent) =>
      new Promise((resolve, reject) => {
        (isUrgent ? urgent : others).push(async () => task().then(resolve, reject));
        if (!isBusy) void runAll();
      }),
    get load() {
      const busy = Number(isBusy);
      return { busy, idle: 1 - busy, most: 1, waiting: urgent.length + others.length };
    },
  };
}

/** One connection is kept for what is urgent, so that transactions which wait for a lock cannot hold up messages. */
function throughPool(pool: Pool, most: number): Line {
  const others = pLimit(Math.max(1, most - 1));
  return {
    run: (task, isUrgent) => (isUrgent ? task() : others(task)),
    get load() {
      const { totalCount, idleCount, waitingCount } = pool;
      const waiting = waitingCount + others.pendingCount;
      return { busy: totalCount - idleCount, idle: idleCount, most, waiting };
    },
  };
}

const appliedMigrations = { name: 'applied_migrations', text: 'select name from mikro_orm_migrations' };

const identity = {
  name: 'identity',
  text: `select (pg_control_system()).system_identifier::text || '.' || oid::text as id
    from pg_database where datname = current_database()`,
};

/** Once it has migrated: the names are those that this program needs. */
async function storeOver(orm: Orm, native: Native, line: Line, release: () => void): Promise<Store> {
  const needed = (await orm.migrator.getExecuted()).map(({ name }) => name);
  let closing: Promise<void> | undefined;
  let isUp = true;
  let failures = 0;

  function answered<T>(answer: T): T {
    isUp = true;
    return answer;
  }
  function failed(error: unknown): never {
    // A lock that was not had, and a conflict of transactions, are answers.
    isUp = !isAway(error) || /^(40...|55P03)$/.test(stateOf(error) ?? '');
    if (!isUp) failures += 1;
    return unavailable(error);
  }

  return {
    query: <Row>(statement: Statement, values: unknown[]) =>
      line
        .run(() => native.query(statement, values), statement.isUrgent)
        .then((result) => answered(result.rows as Row[]), failed),
    transaction: (task) => line.run(() => (orm.em.fork() as EntityManager).transactional(task)).then(answered, failed),
    identity: async () => {
      const { rows } = await line.run(() => native.query(identity, [])).catch(unavailable);
      return (rows[0] as { id: string }).id;
    },
    check: async () => {
      const { rows } = await line.run(() => native.query(appliedMigrations, []), true);
      const applied = new Set((rows as { name: string }[]).map(({ name }) => name));
      const missing = needed.filter((name) => !applied.has(name));
      if (missing.length > 0) throw new Error(`Migrations are missing: ${missing.join(', ')}`);
    },
    get isUp() {
      return isUp;
    },
    get failures() {
      return failures;
    },
    get load() {
      return line.load;
    },
    close: () => {
      closing ??= line.run(() => orm.close(true)).finally(release);
      return closing;
    },
  };
}

/** PGlite in `directory`, or in memory: one session for the whole process, so everything passes one queue. */
export async function openPglite(directory: string | undefined): Promise<Store> {
  const release = directory ? lockDataDirectory(directory) : () => {};
  try {
    const orm = await PgliteORM.init(pgliteOptions(directory && join(directory, 'pglite')));
    await migrate(orm);
    const pglite = await orm.em.getConnection().getNativeClient();
    const native = { query: ({ text }: Statement, values: unknown[]) => pglite.query(text, values) };
    return await storeOver(orm, native, oneAtATime(), release);
  } catch (error) {
    release();
    throw error;
  }
}

interface PostgresSettings {
  databaseUrl: string;
  poolSize: number;
  statementTimeoutMs: number;
}

/** Migrates first. Throws where the server cannot be reached. */
export async function openPostgres({ databaseUrl, poolSize, statementTimeoutMs }: PostgresSettings): Promise<Store> {
  await migratePostgres(databaseUrl);
  const orm = await PostgresORM.init(postgresOptions(databaseUrl, poolSize, statementTimeoutMs));
  const pool = await (orm.em.getConnection() as PostgreSqlConnection).getNativeClient();
  const native = {
    query: ({ name, text }: Statement, values: unknown[]) => pool.query({ name, text, values }),
  };
  return storeOver(orm, native, throughPool(pool, poolSize), () => {});
}
