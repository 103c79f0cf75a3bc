import { escapeIdentifier } from 'pg';

/** A session in the source or in the target. */
export interface Session {
  query<Row>(text: string, values?: unknown[]): Promise<Row[]>;
}

export interface Table {
  name: string;
  columns: { name: string; type: string }[];
  /** The columns of the primary key. */
  key: string[];
  /** The columns whose values come from a sequence. */
  numbered: string[];
  /** The tables to which the foreign keys of this table refer. */
  parents: string[];
}

/** Tables that are not moved, because their rows describe one database. The target already has its own rows in them. */
const databaseBoundTables = ['mikro_orm_migrations', 'service_identity'];

const readTablesSql = `select c.relname::text as name,
    (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attname)
       from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
    coalesce((select json_agg(a.attname order by k.place) from pg_index i
       cross join unnest(i.indkey::int2[]) with ordinality as k(number, place)
       join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
       where i.indrelid = c.oid and i.indisprimary), '[]') as key,
    coalesce((select json_agg(a.attname order by a.attname) from pg_attribute a
       where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         and pg_get_serial_sequence(format('%I.%I', current_schema(), c.relname), a.attname) is not null), '[]') as numbered,
    coalesce((select json_agg(p.relname order by p.relname) from pg_constraint f join pg_class p on p.oid = f.confrelid
       where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> c.oid), '[]') as parents
  from pg_class c where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and c.relpersistence = 'p'
  order by c.relname`;

/** Reads the tables of the session's schema, except for unlogged tables and for those that are not moved. */
export async function readTables({ query }: Session): Promise<Table[]> {
  const tables = await query<Table>(readTablesSql);
  return tables.filter(({ name }) => !databaseBoundTables.includes(name));
}

/** Sorts the tables so that each comes after the tables that its foreign keys refer to. */
export function sortParentsFirst(tables: readonly Table[]): Table[] {
  const ordered: Table[] = [];
  const add = (table: Table | undefined): void => {
    if (!table || ordered.includes(table)) return;
    for (const parent of table.parents) add(tables.find(({ name }) => name === parent));
    ordered.push(table);
  };
  for (const table of tables) add(table);
  return ordered;
}

export const quoteName = escapeIdentifier;
export const quoteNames = (names: readonly string[]) => names.map(escapeIdentifier).join(', ');
