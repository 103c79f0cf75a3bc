import pg from 'pg';
import { closeLater } from './cleanup.ts';

/** A separate session on the same database, as another node or a person with psql would have. */
export async function databaseSession(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  closeLater(() => client.end());
  return client;
}

/** Keeps the room locked until the session commits. Writes to the room wait. */
export async function lockRoom(session: pg.Client, room: { id: number }): Promise<void> {
  await session.query('begin');
  await session.query('select 1 from rooms where id = $1 for update', [room.id]);
}
