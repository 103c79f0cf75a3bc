import { randomBytes } from 'node:crypto';
import { execute, type PostgresServer, startPostgres } from '../test/helpers/postgres.ts';
import { type RedisServer, startRedis } from '../test/helpers/redis.ts';

/** The databases of a run: PostgreSQL as safe as in production, and Redis. */
export interface Databases {
  postgres: PostgresServer;
  redis: RedisServer;
  /** The URL of an empty database. */
  freshDatabase(): Promise<string>;
  /** The processes behind the two. */
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
