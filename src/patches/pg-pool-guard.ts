import type { Pool, PoolClient, QueryResult } from 'pg';
import type { Statement } from '../database/store.ts';
import { ConnectionFailed, isRefusal } from '../database/store-errors.ts';

type Checkout = (
  error: Error | undefined,
  client: PoolClient | undefined,
  release: (error?: Error | boolean) => void,
) => void;

export interface PoolGuard {
  /** How many sessions were opened so far. */
  readonly sessions: number;
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
  let sessions = 0;
  const born = new WeakMap<PoolClient, number>();

  function checkOut(callback: Checkout): void {
    connect((error, client, release) => {
      if (!client) return callback(new ConnectionFailed(error), undefined, release);
      const since = born.get(client);
      if (since !== undefined && since < generation) {
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
    install(created) {
      pool = created;
      const original = pool.connect.bind(pool) as (callback: Checkout) => void;
      connect = original;
      pool.options.onConnect = async (client) => {
        const at = generation;
        sessions += 1;
        await client.query(setup);
        born.set(client as PoolClient, at);
      };
      pool.connect = ((callback?: Checkout) =>
        callback ? checkOut(callback) : checkOutGuarded()) as typeof pool.connect;
    },
    query: ({ name, text }, values) =>
      new Promise((resolve, reject) => {
        checkOut((unreachable, client, release) => {
          if (!client) return reject(unreachable);
          let isReleased = false;
          client.query({ name, text, values }, (error: Error | null, result) => {
            // pg may call back twice: with the result, and later with its read timeout.
            if (isReleased) return;
            isReleased = true;
            release(error && !isRefusal(error) ? error : undefined);
            if (error) reject(error);
            else resolve(result);
          });
        });
      }),
    expire() {
      generation += 1;
    },
    get sessions() {
      return sessions;
    },
  };
}

function guardClient(client: PoolClient): PoolClient {
  const { release, query } = client;
  let isGiven = false;
  const give = (error?: Error | boolean) => {
    if (isGiven) return;
    isGiven = true;
    client.query = query;
    release.call(client, error);
  };
  client.release = give;
  client.query = ((...words: unknown[]) => {
    const answer = Reflect.apply(query, client, words) as unknown;
    if (answer instanceof Promise) {
      answer.catch((error: Error) => {
        if (!isRefusal(error)) give(error);
      });
    }
    return answer;
  }) as typeof client.query;
  return client;
}
