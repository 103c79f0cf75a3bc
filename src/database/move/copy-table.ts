import type { Session } from './session.ts';
import { list, quoted, type Table } from './tables.ts';

const maxRows = 1_000;
const maxBytes = 4 * 1024 * 1024;

/** Every value as the text that PostgreSQL itself writes and reads, so that none changes on its way. */
type Row = Record<string, string | null>;

/** Copies a table in the order of its key, a few megabytes at a time. */
export async function copyTable(
  from: Session,
  to: Session,
  table: Table,
  copied: (rows: number) => void,
): Promise<void> {
  const [read, write] = [readStatement(table), writeStatement(table)];
  let last: Row | undefined;
  for (;;) {
    const after = table.key.map((name) => last?.[name] ?? null);
    const rows = await from.query<Row>(last ? read.next : read.first, last ? after : []);
    if (rows.length === 0) return;
    await to.query(
      write,
      table.columns.map(({ name }) => rows.map((row) => row[name])),
    );
    copied(rows.length);
    last = rows.at(-1);
  }
}

/** As many rows as fit, and always one. */
function readStatement({ name, columns, key }: Table): { first: string; next: string } {
  const typed = key.map((column, n) => `$${n + 1}::text::${columns.find((one) => one.name === column)!.type}`);
  // Of the row: without the `s`, it would be the order of the texts.
  const order = key.map((column) => `s.${quoted(column)}`).join(', ');
  const page = (where: string) => `select ${columns.map((one) => `${quoted(one.name)}::text`).join(', ')}
    from (
      select p.*, sum(octet_length(p::text)) over (order by ${list(key)}) - octet_length(p::text) as bytes_before
      from (select * from ${quoted(name)} ${where} order by ${list(key)} limit ${maxRows}) p
    ) s where s.bytes_before < ${maxBytes} order by ${order}`;
  return { first: page(''), next: page(`where (${list(key)}) > (${typed.join(', ')})`) };
}

function writeStatement({ name, columns }: Table): string {
  const names = columns.map((column) => column.name);
  const values = columns.map((column) => `i.${quoted(column.name)}::${column.type}`);
  const arrays = columns.map((_, n) => `$${n + 1}::text[]`);
  return `insert into ${quoted(name)} (${list(names)}) select ${values.join(', ')}
    from unnest(${arrays.join(', ')}) as i(${list(names)})`;
}

/** What a table holds. Two that are equal hold the same rows: the sums are of 128 bits of each whole row. */
export interface Content {
  rows: number;
  checksum: string;
}

export async function contentOf({ query }: Session, { name, columns }: Table): Promise<Content> {
  const half = (from: number) => `coalesce(sum(('x' || substr(hash, ${from}, 16))::bit(64)::bigint::numeric), 0)::text`;
  const whole = columns.map((column) => `${quoted(column.name)}::text`).join(', ');
  const [content] = await query<Content>(
    `select count(*)::float8 as rows, ${half(1)} || '/' || ${half(17)} as checksum
     from (select md5(row(${whole})::text) as hash from ${quoted(name)}) h`,
  );
  return content!;
}
