import { UnsuitableDatabase } from './store-errors.ts';

export type Query = <Row>(text: string, values?: unknown[]) => Promise<Row[]>;

/**
 * The table `messages` has no index on `id`, so reading the highest id would take long. The check reads only the last
 * pages of the table, and the last messages of the newest rooms.
 */
const maxPages = 16;
const maxRooms = 500;

/**
 * The page number is part of the text and not a parameter. With a parameter, the planner might decide to read the whole
 * table.
 */
const formatHighestMessageQuery = (firstPage: number) => `select greatest(
  (select max(id) from messages where ctid >= '(${firstPage},0)'),
  (select max(m.id) from (select id, last_seq from rooms order by id desc limit ${maxRooms}) r
     join messages m on m.room_id = r.id and m.seq = r.last_seq))`;

const tablesWithIds = ['messages', 'mikro_orm_migrations', 'revocations', 'rooms', 'webhooks'];

/**
 * Throws if a sequence would return ids that are already in use. Otherwise two messages could get the same id. Sequences
 * are behind after a move by logical replication, which copies rows but not sequences.
 */
export async function checkSequences(query: Query, schema: string): Promise<void> {
  const tables = await query<{ name: string; sequence: string | null; pages: number }>(
    `select c.relname::text as name, (pg_relation_size(c.oid) / current_setting('block_size')::int)::int as pages,
       pg_get_serial_sequence(format('%I.%I', $1::text, c.relname), 'id') as sequence
     from pg_class c where c.relnamespace = (select oid from pg_namespace where nspname = $1) and c.relname = any($2::text[]) and c.relkind in ('r', 'p')
       and has_table_privilege(c.oid, 'SELECT')
     order by c.relname`,
    [schema, tablesWithIds],
  );
  const behind: string[] = [];
  for (const { name, sequence, pages } of tables) {
    if (sequence === null) continue;
    const highest =
      name === 'messages' ? formatHighestMessageQuery(Math.max(0, pages - maxPages)) : `select max(id) from ${name}`;
    const [row] = await query<{ isBehind: boolean }>(
      `select coalesce(s.max >= coalesce(pg_sequence_last_value($1::regclass) + 1, q.seqstart), false) as "isBehind"
       from (${highest}) as s(max), pg_sequence q
       where q.seqrelid = $1::regclass and has_sequence_privilege(q.seqrelid, 'USAGE, SELECT')`,
      [sequence],
    );
    if (row?.isBehind) behind.push(`select setval('${sequence}', (select max(id) from ${name}));`);
  }
  if (behind.length === 0) return;
  throw new UnsuitableDatabase(
    'Sequences are behind their tables, so ids would be assigned twice. Logical replication copies rows, but not sequences. ' +
      `Stop all nodes, run this in the database, and start them again: set search_path to "${schema}"; ${behind.join(' ')}`,
  );
}
