import type { Pool, PoolClient } from 'pg';
import { isRefusal } from './store-errors.ts';

/**
 * Kysely gives a client back only when BEGIN, COMMIT or ROLLBACK have succeeded, so a transaction that meets a dead
 * connection would keep its place in the pool for ever. Here the first failure that is no refusal of the server's gives
 * the place back and ends the connection; giving it back again does nothing.
 */
export function guardPool(pool: Pool): void {
  const connect = pool.connect.bind(pool);
  const guarded = async () => guardClient(await connect());
  // Pool.query asks with a callback and takes care of its client itself.
  pool.connect = ((callback?: Parameters<typeof connect>[0]) =>
    callback ? connect(callback) : guarded()) as typeof pool.connect;
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
