import type { Pool, PoolClient, QueryResult } from 'pg';
import type { Statement } from '../database/store.ts';
import { ConnectionFailed, isRejectedStatement } from '../database/store-errors.ts';

type Checkout = (
  error: Error | undefined,
  client: PoolClient | undefined,
  release: (error?: Error | boolean) => void,
) => void;

export interface PoolGuard {
  /** How many sessions were opened so far. */
  readonly sessionCount: number;
  /** For `onPoolCreated` of the ORM. */
  install(pool: Pool): void;
  /** One statement on a connection of the pool. */
  query(statement: Statement, values: unknown[]): Promise<QueryResult>;
  /** Connections of now are not used again: they lead to a server that is not the right one any more. */
  expire(): void;
}

/**
 * Gives up connections that are of no use, and no others. `setup` is sent once on every new connection.
 *
 * Kysely gives a client back only when BEGIN, COMMIT or ROLLBACK have succeeded, so a transaction that meets a dead
 * connection would keep its place in the pool for ever; `pg` ends the connection after any failed statement, also
 * when a constraint did not hold. Here the first failure that is no refusal of the server's gives the place back and
 * ends the connection, and giving it back again does nothing.
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
      const original = pool.connect.bind(pool) as (callback: Checkout) => void;
      connect = original;
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
            // pg may call back twice: with the result, and later with its read timeout.
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
