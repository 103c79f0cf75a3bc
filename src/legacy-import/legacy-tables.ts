import { ImportError } from './import-error.ts';

/** How a column is read: as a number, a text, milliseconds since 1970, or true and false. */
type Kind = 'number' | 'text' | 'time' | 'flag';

interface Column {
  kind: Kind;
  /** Without it nothing can be taken over, and this is why; the others have a default. */
  why?: string;
}

interface Table {
  name: string;
  columns: Record<string, Column>;
}

const optional = {
  number: { kind: 'number' },
  text: { kind: 'text' },
  time: { kind: 'time' },
  flag: { kind: 'flag' },
} as const satisfies Record<Kind, Column>;

/** The original's tables, as far as they are read. */
export const originalTables = {
  rooms: {
    name: 'Rooms',
    columns: {
      id: { kind: 'number', why: 'a room keeps its number' },
      uuid: optional.text,
      name: optional.text,
      type: optional.text,
      level_admin: optional.number,
      user_owner: optional.text,
      entity_owner: optional.text,
      max_entity_rules: optional.number,
      createdAt: optional.time,
      updatedAt: optional.time,
    },
  },
  rules: {
    name: 'Room_permissions',
    columns: {
      room_id: { kind: 'number', why: 'it says which room a rule is of' },
      entity_UUID: { kind: 'text', why: 'it says whom a rule is for' },
      permissions: { kind: 'text', why: 'it says what a rule grants' },
      level: optional.number,
      accepted: optional.flag,
      createdAt: optional.time,
      updatedAt: optional.time,
    },
  },
  messages: {
    name: 'Messages',
    columns: {
      id: { kind: 'number', why: 'a message keeps its id, and is known by it the next time' },
      room_id: { kind: 'number', why: 'it says which room a message is in' },
      emitter: { kind: 'text', why: 'it says who wrote a message' },
      content: { kind: 'text', why: 'it is the message' },
      createdAt: { kind: 'time', why: 'messages are numbered in its order' },
      updatedAt: optional.time,
    },
  },
} as const satisfies Record<string, Table>;

type TableKey = keyof typeof originalTables;
type ColumnOf<K extends TableKey> = keyof (typeof originalTables)[K]['columns'] & string;

/** A column that there is. */
export interface FoundColumn {
  schema: string;
  table: string;
  column: string;
  type: string;
}

/** Tables, views too, of the schemas in the search path, in its order. */
export const findColumns = `select n.nspname as schema, c.relname as table, a.attname as column,
    format_type(a.atttypid, a.atttypmod) as type
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where n.nspname = any(current_schemas(false)) and c.relkind in ('r', 'p', 'v', 'm', 'f')
  order by array_position(current_schemas(false), n.nspname), c.relname, a.attnum`;

const types: Record<Kind, RegExp> = {
  number: /^(smallint|integer|bigint|numeric)\b/,
  text: /./,
  time: /^(timestamp|date)\b/,
  flag: /./,
};

/** What the column is called elsewhere: `created_at`, `"entityUUID"`. */
const plain = (name: string) => name.toLowerCase().replaceAll('_', '');
const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** One table of the database at hand: what stands for its name and its columns in a statement. */
export interface OriginalTable<Name extends string = string> {
  from: string;
  /** Reads the column by its kind; null where there is no such column. */
  read(name: Name, alias: string): string;
  /** The same of its greatest value. */
  readMax(name: Name, alias: string): string;
  /** The column itself. */
  raw(name: Name, alias: string): string;
  typeOf(name: Name): string | undefined;
}

export type OriginalTables = { [K in TableKey]: OriginalTable<ColumnOf<K>> };

/** Finds the tables and their columns by their names, or by the same in another spelling; says all that is missing. */
export function findTables(found: readonly FoundColumn[]): OriginalTables {
  const missing: string[] = [];
  const tables = Object.entries(originalTables).map(([key, table]) => [key, findTable(found, table, missing)]);
  if (missing.length === 0) return Object.fromEntries(tables);
  const ours = found.some(({ table }) => table === 'permission_rules');
  const hint = ours ? ' (it looks like a database of this service)' : '';
  throw new ImportError(`This is not the database of an original${hint}: ${missing.join('; ')}`);
}

function findTable(found: readonly FoundColumn[], { name, columns }: Table, missing: string[]): OriginalTable {
  const first = found.find(({ table }) => table === name) ?? found.find(({ table }) => plain(table) === plain(name));
  if (!first) missing.push(`there is no table "${name}"`);
  const own = found.filter(({ schema, table }) => schema === first?.schema && table === first.table);
  const byName = new Map<string, FoundColumn>();
  for (const [column, { kind, why }] of Object.entries(columns)) {
    const there = own.find((one) => one.column === column) ?? own.find((one) => plain(one.column) === plain(column));
    if (there && !types[kind].test(there.type)) {
      missing.push(`column "${there.column}" of "${there.table}" is ${there.type} and not a ${kind}`);
    } else if (there) {
      byName.set(column, there);
    } else if (first && why) {
      missing.push(`table "${first.table}" has no column "${column}" (${why})`);
    }
  }
  const raw = (column: string, alias: string) => `${alias}.${quoted(byName.get(column)!.column)}`;
  return {
    from: first ? `${quoted(first.schema)}.${quoted(first.table)}` : '',
    read: (column, alias) => (byName.has(column) ? reading(columns[column]!.kind, raw(column, alias)) : 'null'),
    readMax: (column, alias) => reading(columns[column]!.kind, `max(${raw(column, alias)})`),
    raw,
    typeOf: (column) => byName.get(column)?.type,
  };
}

function reading(kind: Kind, column: string): string {
  switch (kind) {
    case 'number':
      return `${column}::float8`;
    case 'text':
      return `${column}::text`;
    case 'flag':
      return `lower(${column}::text) in ('true', 't', 'yes', '1')`;
    case 'time':
      // As near to a whole number of milliseconds as a float is.
      return `extract(epoch from date_trunc('milliseconds', ${column}))::float8 * 1000`;
  }
}
