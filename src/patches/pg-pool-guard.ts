/**
 * Patches: pg@8.23.0, pg-pool@3.14.0, kysely@0.29.6
 *
 * Change: replaces `connect` of the pool that the ORM creates, and `release` of each client.
 * Reason: if BEGIN, COMMIT or ROLLBACK fails, Kysely does not release the client. A transaction on a dead connection
 * would therefore occupy a place in the pool forever.
 * Test: test/unit/patches/pg-pool-guard.test.ts
 */

import type { Pool, PoolClient, QueryResult } from 'pg';
import type { Statement } from '../database/store.ts';
import { ConnectionFailed, isRejectedStatement } from '../database/store-errors.ts';

type Checkout = (
  error: Error | undefined,
  client: PoolClient | undefined,
  release: (error?: Error | boolean) => void,
) => void;

export interface PoolGuard {
  /** The number of database sessions that the pool has opened so far. */
  readonly sessionCount: number;
  /** Pass this function to the ORM as `onPoolCreated`. */
  install(pool: Pool): void;
  /** Runs one statement on a connection of the pool. */
  query(statement: Statement, values: unknown[]): Promise<QueryResult>;
  /**
   * Marks all current connections as expired, so that they are not used again. Call this if they may lead to the wrong
   * server, for example after a failover.
   */
  expire(): void;
}

/**
 * Creates a guard that closes failed connections of the pool. `setup` is a statement that runs once on every new
 * connection.
 *
 * If the database rejects a statement, for example because it violates a constraint, the connection stays in the pool. If
 * a statement fails for any other reason, the client is released at once and its connection is closed. The caller may
 * release the client again, which has no effect.
 */
export function createPoolGuard(setup: string): PoolGuard {
  let pool: Pool;
  let connect: (callback: Checkout) => void;
  let generation = 0;
  let sessionCount = 0;
  const generations = new WeakMap<PoolClient, number>();

  function checkOut(callback: Checkout): void {
    connect((error, client, release) => {
      if (!client) return callback(new ConnectionFailed(error), undefined, release);
      const clientGeneration = generations.get(client);
      if (clientGeneration !== undefined && clientGeneration < generation) {
        release(true);
        return checkOut(callback);
      }
      callback(undefined, client, release);
    });
  }

  const checkOutGuarded = () =>
    new Promise<PoolClient>((resolve, reject) => {
      checkOut((error, client) => (client ? resolve(guardClient(client)) : reject(error)));
    });

  return {
    install(newPool) {
      pool = newPool;
      connect = pool.connect.bind(pool) as (callback: Checkout) => void;
      pool.options.onConnect = async (client) => {
        const at = generation;
        sessionCount += 1;
        await client.query(setup);
        generations.set(client as PoolClient, at);
      };
      pool.connect = ((callback?: Checkout) =>
        callback ? checkOut(callback) : checkOutGuarded()) as typeof pool.connect;
    },
    query: ({ name, text }, values) =>
      new Promise((resolve, reject) => {
        checkOut((connectError, client, release) => {
          if (!client) return reject(connectError);
          let isReleased = false;
          client.query({ name, text, values }, (error: Error | null, result) => {
            // pg may call this function twice: first with the result, and later with a read timeout.
            if (isReleased) return;
            isReleased = true;
            release(error && !isRejectedStatement(error) ? error : undefined);
            if (error) reject(error);
            else resolve(result);
          });
        });
      }),
    expire() {
      generation += 1;
    },
    get sessionCount() {
      return sessionCount;
    },
  };
}

function guardClient(client: PoolClient): PoolClient {
  const { release, query } = client;
  let isReleased = false;
  const releaseOnce = (error?: Error | boolean) => {
    if (isReleased) return;
    isReleased = true;
    client.query = query;
    release.call(client, error);
  };
  client.release = releaseOnce;
  client.query = ((...args: unknown[]) => {
    const answer = Reflect.apply(query, client, args) as unknown;
    if (answer instanceof Promise) {
      answer.catch((error: Error) => {
        if (!isRejectedStatement(error)) releaseOnce(error);
      });
    }
    return answer;
  }) as typeof client.query;
  return client;
}
