import { randomBytes } from 'node:crypto';
import { execute, type PostgresServer, startPostgres } from '../test/helpers/postgres.ts';
import { type RedisServer, startRedis } from '../test/helpers/redis.ts';

/** The databases of a run: Redis, and PostgreSQL with the durability settings of production. */
export interface Databases {
  postgres: PostgresServer;
  redis: RedisServer;
  /** Creates an empty database and returns its URL. */
  freshDatabase(): Promise<string>;
  /** The process ids of PostgreSQL and Redis. */
  pids(): number[];
}

export async function startDatabases(): Promise<Databases> {
  const safe = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' };
  const postgres = await startPostgres({
    ...safe,
    max_connections: '800',
    shared_buffers: '256MB',
    max_wal_size: '4GB',
  });
  const redis = await startRedis();
  return {
    ...{ postgres, redis },
    async freshDatabase() {
      const url = new URL(postgres.url);
      url.pathname = `/bench_${randomBytes(6).toString('hex')}`;
      await execute(postgres.url, `create database ${url.pathname.slice(1)}`);
      return url.href;
    },
    pids: () => [postgres.pid!, redis.pid!],
  };
}
