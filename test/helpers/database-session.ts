import pg from 'pg';
import { closeLater } from './cleanup.ts';

/** Somebody else on the same database: another node, or a person with psql. */
export async function databaseSession(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  closeLater(() => client.end());
  return client;
}

/** Keeps the room locked until the session commits: what is sent to it waits. */
export async function lockRoom(session: pg.Client, room: { id: number }): Promise<void> {
  await session.query('begin');
  await session.query('select 1 from rooms where id = $1 for update', [room.id]);
}
