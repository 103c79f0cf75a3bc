import type { Client } from 'pg';
import { UnsuitableDatabase } from './unsuitable-database.ts';

/** So many pages at the end of a table, and rooms made last, are looked at: messages have no index on their ids. */
const lastPages = 16;
const lastRooms = 500;

const highest: Record<string, string> = {
  mikro_orm_migrations: 'select max(id) from mikro_orm_migrations',
  rooms: 'select max(id) from rooms',
  revocations: 'select max(id) from revocations',
  messages: `select greatest(
    (select max(id) from messages where ctid >= format('(%s,0)',
      greatest(0, pg_relation_size('messages') / current_setting('block_size')::int - ${lastPages}))::tid),
    (select max(m.id) from (select id, last_seq from rooms order by id desc limit ${lastRooms}) r
       join messages m on m.room_id = r.id and m.seq = r.last_seq))`,
};

/**
 * Throws if a sequence gives numbers that were given before, as after a move by logical replication, which copies rows
 * and leaves sequences at their start. Two messages would get one id.
 */
export async function checkSequences(client: Client, schema: string): Promise<void> {
  const { rows: tables } = await client.query<{ name: string; sequence: string }>(
    `select c.relname::text as name, pg_get_serial_sequence(format('%I.%I', $1::text, c.relname), 'id') as sequence
     from pg_class c where c.relnamespace = $1::text::regnamespace and c.relname = any($2::text[]) and c.relkind in ('r', 'p')`,
    [schema, Object.keys(highest)],
  );
  const behind: string[] = [];
  for (const { name, sequence } of tables) {
    if (sequence === null) continue;
    const { rows } = await client.query<{ isBehind: boolean }>(
      `select coalesce(s.max >= coalesce(pg_sequence_last_value($1::regclass) + 1, q.seqstart), false) as "isBehind"
       from (${highest[name]}) as s(max), pg_sequence q where q.seqrelid = $1::regclass`,
      [sequence],
    );
    if (rows[0]?.isBehind) behind.push(`select setval('${sequence}', (select max(id) from ${name}));`);
  }
  if (behind.length === 0) return;
  throw new UnsuitableDatabase(
    'Sequences are behind their tables, so that ids would be given twice. Logical replication copies rows, but no sequences. ' +
      `Stop all nodes, run this in the database, and start again: set search_path to "${schema}"; ${behind.join(' ')}`,
  );
}
