import { quoteName, quoteNames, type Session, type Table } from './tables.ts';

const maxRows = 1_000;
const maxBytes = 4 * 1024 * 1024;

/** A row whose values are texts in PostgreSQL's own format. A conversion to JavaScript values could change them. */
type Row = Record<string, string | null>;

/** Copies a table in the order of its primary key, in batches of at most a few megabytes. */
export async function copyTable(
  from: Session,
  to: Session,
  table: Table,
  onCopied: (rows: number) => void,
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
    onCopied(rows.length);
    last = rows.at(-1);
  }
}

/**
 * Returns the statements for the first batch and for the following batches. A batch contains up to `maxRows` rows. It
 * ends with the row that reaches `maxBytes`.
 */
function readStatement({ name, columns, key }: Table): { first: string; next: string } {
  const typed = key.map((column, n) => `$${n + 1}::text::${columns.find((one) => one.name === column)!.type}`);
  // With `s.`, the rows are ordered by the column itself. Without it, the name would refer to the text in the select
  // list, and 10 would come before 9.
  const order = key.map((column) => `s.${quoteName(column)}`).join(', ');
  const page = (where: string) => `select ${columns.map((one) => `${quoteName(one.name)}::text`).join(', ')}
    from (
      select p.*, sum(octet_length(p::text)) over (order by ${quoteNames(key)}) - octet_length(p::text) as bytes_before
      from (select * from ${quoteName(name)} ${where} order by ${quoteNames(key)} limit ${maxRows}) p
    ) s where s.bytes_before < ${maxBytes} order by ${order}`;
  return { first: page(''), next: page(`where (${quoteNames(key)}) > (${typed.join(', ')})`) };
}

function writeStatement({ name, columns }: Table): string {
  const names = columns.map((column) => column.name);
  const values = columns.map((column) => `i.${quoteName(column.name)}::${column.type}`);
  const arrays = columns.map((_, n) => `$${n + 1}::text[]`);
  return `insert into ${quoteName(name)} (${quoteNames(names)}) select ${values.join(', ')}
    from unnest(${arrays.join(', ')}) as i(${quoteNames(names)})`;
}

/**
 * The number of rows in a table, and the sum of the 128-bit hashes of all rows. If two tables are equal in both, they
 * contain the same rows.
 */
export interface TableContent {
  rows: number;
  checksum: string;
}

export async function readContent({ query }: Session, { name, columns }: Table): Promise<TableContent> {
  const half = (from: number) => `coalesce(sum(('x' || substr(hash, ${from}, 16))::bit(64)::bigint::numeric), 0)::text`;
  const whole = columns.map((column) => `${quoteName(column.name)}::text`).join(', ');
  const [content] = await query<TableContent>(
    `select count(*)::float8 as rows, ${half(1)} || '/' || ${half(17)} as checksum
     from (select md5(row(${whole})::text) as hash from ${quoteName(name)}) h`,
  );
  return content!;
}
