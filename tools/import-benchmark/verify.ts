import pg from 'pg';
import type { Target } from '../../src/legacy-import/target.ts';

/** A room, the number of its messages, and a checksum of all its messages in order. */
type Sum = [room: number, count: number, sum: string];

const sumOf = (id: string, emitter: string, content: string, created: string, order: string) =>
  `md5(string_agg(md5(concat_ws('|', ${id}, ${emitter}, ${created}, ${content})), '' order by ${order}))`;
const ms = (column: string) => `(extract(epoch from date_trunc('milliseconds', ${column})) * 1000)::bigint`;

/**
 * Compares the imported messages with the legacy database, room by room: ids, emitters, contents, dates and order. Also
 * checks that the logs have no gaps. Works only for a legacy database without invalid rows, and for rooms that were not
 * used since. Returns the number of compared messages, or throws.
 */
export async function verifyImport(legacyUrl: string, target: Pick<Target, 'query'>): Promise<number> {
  const legacy = await readLegacySums(legacyUrl);
  const imported = await target.query<{ row: Sum }>(
    `select json_build_array(m.room_id, count(*), ${sumOf('m.id', 'm.emitter', 'm.content', ms('m.created_at'), 'm.seq')}) as row
     from messages m join imported_rooms i on i.room_id = m.room_id group by m.room_id order by m.room_id`,
  );
  const [one, other] = [legacy, imported.map(({ row }) => row)].map(
    (sums) => new Map(sums.map((sum) => [sum[0], sum])),
  );
  for (const [room, sum] of one!) {
    const found = other!.get(room);
    if (JSON.stringify(found) !== JSON.stringify(sum)) throw new Error(`Room ${room}: ${sum} became ${found}`);
  }
  if (one!.size !== other!.size) throw new Error(`${one!.size} rooms with messages became ${other!.size}`);
  await expectNone(target, 'with a log that is not whole', brokenLogs);
  await expectNone(target, 'whose dates go back', datesBack);
  return legacy.reduce((all, [, count]) => all + count, 0);
}

async function readLegacySums(url: string): Promise<Sum[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ row: Sum }>(
      `select json_build_array(room_id, count(*), ${sumOf('id', 'emitter', 'content', ms('"createdAt"'), '"createdAt", id')}) as row
       from "Messages" group by room_id order by room_id`,
    );
    return rows.map(({ row }) => row);
  } finally {
    await client.end();
  }
}

/**
 * Finds rooms whose `seq` is not 1 to `last_seq`, whose `rev` over messages and other changes is not 1 to `last_rev`,
 * or whose head is not the newest change.
 */
export const brokenLogs = `
  select r.id from rooms r
  left join lateral (select count(*) as n, coalesce(max(seq), 0) as last_seq, count(distinct seq) as seqs
    from messages where room_id = r.id) m on true
  left join lateral (select count(*) as n, coalesce(max(rev), 0) as last_rev, count(distinct rev) as revs, max(at) as at
    from (select rev, created_at as at from messages where room_id = r.id
      union all select rev, at from room_changes where room_id = r.id) c) l on true
  where m.n <> r.last_seq or m.last_seq <> r.last_seq or m.seqs <> r.last_seq
    or l.n <> r.last_rev or l.last_rev <> r.last_rev or l.revs <> r.last_rev
    or r.last_change_at <> coalesce(l.at, r.created_at)
    or r.rights_rev <> coalesce((select max(rev) from room_changes where room_id = r.id), 0)`;

const datesBack = `
  select room_id as id from (select room_id, created_at, lag(created_at) over (partition by room_id order by seq) as before
    from messages) m where created_at < before`;

export async function expectNone(target: Pick<Target, 'query'>, what: string, statement: string): Promise<void> {
  const rows = await target.query<{ id: unknown }>(statement);
  if (rows.length > 0) throw new Error(`${rows.length} rooms ${what}: ${rows.slice(0, 5).map(({ id }) => id)}`);
}
