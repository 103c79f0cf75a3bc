import type { MikroORM } from '@mikro-orm/core';
import type { Logger } from 'pino';
import { createAvailability } from './availability.ts';
import { listMigrationNames } from './migrate.ts';
import type { Query } from './sequences.ts';
import { identifyService } from './service-identity.ts';
import type { EntityManager, Statement, Store } from './store.ts';
import { affectsAllSessions, isUnavailable, rethrowAsUnavailable, sqlState } from './store-errors.ts';
import type { TaskQueue } from './task-queue.ts';

type Orm = Pick<MikroORM, 'migrator' | 'close'> & { em: { fork(): unknown } };

interface NativeClient {
  query(statement: Statement, values: unknown[]): Promise<{ rows: unknown[] }>;
}

/**
 * Reads the applied migrations, and checks that writes are possible. The update changes no row, but PostgreSQL rejects it
 * on a standby, or if the account has no privilege to write.
 */
const appliedMigrationsStatement = {
  name: 'applied_migrations',
  text: 'with write as (update rooms set last_seq = last_seq where false) select name from mikro_orm_migrations',
};

/**
 * Checks that the disk has space: the server must allocate some for a temporary table, which it drops at the commit.
 */
export const allocateSpaceStatement = {
  name: 'take_space',
  text: `create temporary table nano_messaging_probe on commit drop as
    select md5(n::text) as filler from generate_series(1, 5000) as n`,
};

/**
 * The server is verified again after this time even if no new session was opened, because an administrator may have
 * reset the sequences.
 */
const verifyIntervalMs = 9_000;

const diskFailureState = /^(53100|58...)$/;
const insufficientPrivilege = '42501';

interface StoreParts {
  orm: Orm;
  native: NativeClient;
  queue: TaskQueue;
  logger?: Logger | undefined;
  /** Makes the pool replace its sessions. Called if a session was lost, or leads to a server that is a standby now. */
  expireSessions?: () => void;
  /** Throws if the server that answers `query` is unsuitable, for example if its sequences are wrong. */
  verify?: (query: Query) => Promise<void>;
  /**
   * Returns how many sessions have been opened so far. If the number has grown, the new sessions may lead to another
   * server, which must be verified.
   */
  countSessions?: () => number;
  /** Throws if writes are impossible. */
  beforeWrite?: () => void;
  /** Whether only this process writes to the database. */
  isExclusive?: boolean;
  release?: () => void;
}

/** Creates the store. The database must be migrated already. */
export function createStore(parts: StoreParts): Store {
  const { orm, native, queue, logger, expireSessions, beforeWrite, isExclusive = false, release = () => {} } = parts;
  const requiredMigrations = listMigrationNames();
  let closing: Promise<void> | undefined;
  const verify = createVerification(parts, (text, values) => queryOnce(text, values));
  function onRecovered({ affectedWrites }: { affectedWrites: boolean }): void {
    if (affectedWrites) expireSessions?.();
    void verify().catch((error: unknown) => availability.recordFailure(error));
  }
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

  /** Runs the task, and updates the availability with its result. */
  function runTracked<T>(task: () => Promise<T>, isUrgent?: boolean): Promise<T> {
    const outagesAtBegin = availability.begin();
    return queue.run(task, isUrgent).then((answer) => {
      availability.recordSuccess(outagesAtBegin);
      return answer;
    }, recordAndRethrow);
  }

  const journalListeners = new Set<() => void>();
  function notifyJournalWrite(): void {
    for (const listener of journalListeners) listener();
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
      runTracked(() => native.query(statement, values), statement.isUrgent).then(({ rows }) => {
        if (statement.writesJournal) notifyJournalWrite();
        return rows as Row[];
      }),
    transaction: async (task) => {
      const result = await runTracked(() => {
        beforeWrite?.();
        return (orm.em.fork() as EntityManager).transactional(async (em) => {
          const result = await task(em);
          beforeWrite?.();
          return result;
        });
      });
      notifyJournalWrite();
      return result;
    },
    onJournalWrite(listener) {
      if (isExclusive) journalListeners.add(listener);
      return () => void journalListeners.delete(listener);
    },
    identify: () => identifyService(queryOnce).catch(rethrowAsUnavailable),
    check: async () => {
      await probe();
      availability.recordRecovery();
    },
    isExclusive,
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
      // Closing fails if the database has stopped, or if another process has taken over the data directory. The store is
      // unusable in both cases, so the error is ignored.
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

/**
 * Returns a function that verifies the server. With `unlessRecent`, it does nothing if the server was verified a short
 * time ago and no session has been opened since.
 */
function createVerification({ verify = async () => {}, countSessions = () => 0 }: StoreParts, query: Query) {
  let verified: { sessions: number; at: number } | undefined;
  return async ({ unlessRecent = false } = {}): Promise<void> => {
    const now = { sessions: countSessions(), at: performance.now() };
    if (unlessRecent && verified?.sessions === now.sessions && now.at - verified.at < verifyIntervalMs) return;
    await verify(query);
    verified = now;
  };
}

/**
 * Ignores the error if the account may not create temporary tables. In that case, the next write shows whether the disk
 * is full.
 */
function rethrowUnlessForbidden(error: unknown): void {
  if (sqlState(error) !== insufficientPrivilege) throw error;
}
