import { ImportError } from './report.ts';

/** The type to which a column is converted. `time` is converted to milliseconds since 1970, and `flag` to a boolean. */
type Kind = 'number' | 'text' | 'time' | 'flag';

interface Column {
  kind: Kind;
  /** The reason why the column is required. A column without a reason is optional. */
  reason?: string;
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

/** The columns of the legacy tables that the import reads. */
export const legacyTables = {
  rooms: {
    name: 'Rooms',
    columns: {
      id: { kind: 'number', reason: 'rooms keep their ids' },
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
      room_id: { kind: 'number', reason: 'the room of a rule' },
      entity_UUID: { kind: 'text', reason: 'the grantee of a rule' },
      permissions: { kind: 'text', reason: 'the permissions that a rule grants' },
      level: optional.number,
      accepted: optional.flag,
      createdAt: optional.time,
      updatedAt: optional.time,
    },
  },
  messages: {
    name: 'Messages',
    columns: {
      id: { kind: 'number', reason: 'messages keep their ids, and later imports recognize them by id' },
      room_id: { kind: 'number', reason: 'the room of a message' },
      emitter: { kind: 'text', reason: 'the author of a message' },
      content: { kind: 'text', reason: 'the text of a message' },
      createdAt: { kind: 'time', reason: 'messages are numbered by date' },
      updatedAt: optional.time,
    },
  },
} as const satisfies Record<string, Table>;

type TableKey = keyof typeof legacyTables;
type ColumnName<K extends TableKey> = keyof (typeof legacyTables)[K]['columns'] & string;

export interface FoundColumn {
  schema: string;
  table: string;
  column: string;
  type: string;
}

/** Finds the columns of all tables and views in the search path. The first schema of the search path comes first. */
export const findColumnsSql = `select n.nspname as schema, c.relname as table, a.attname as column,
    format_type(a.atttypid, a.atttypmod) as type
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where n.nspname = any(current_schemas(false)) and c.relkind in ('r', 'p', 'v', 'm', 'f')
  order by array_position(current_schemas(false), n.nspname), c.relname, a.attnum`;

const typePatterns: Record<Kind, RegExp> = {
  number: /^(smallint|integer|bigint|numeric)\b/,
  text: /./,
  time: /^(timestamp|date)\b/,
  flag: /./,
};

/** Normalizes a name, so that spellings such as `created_at` and `createdAt` are equal. */
const normalizeName = (name: string) => name.toLowerCase().replaceAll('_', '');
const quoteName = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** SQL expressions for a table and its columns. */
export interface LegacyTable<Name extends string = string> {
  from: string;
  /** Returns an expression for the converted value of the column. It is `null` if the column does not exist. */
  read(name: Name, alias: string): string;
  /** Returns an expression for the maximum of the column, converted like a single value. */
  readMax(name: Name, alias: string): string;
  /** Returns the column without a conversion. */
  raw(name: Name, alias: string): string;
  getType(name: Name): string | undefined;
}

export type LegacyTables = { [K in TableKey]: LegacyTable<ColumnName<K>> };

/**
 * Finds the tables and columns of the legacy service by name. Upper case, lower case and underscores do not matter.
 * Throws an error that lists all missing tables and columns.
 */
export function findTables(found: readonly FoundColumn[]): LegacyTables {
  const missing: string[] = [];
  const tables = Object.entries(legacyTables).map(([key, table]) => [key, findTable(found, table, missing)]);
  if (missing.length === 0) return Object.fromEntries(tables);
  const isOurs = found.some(({ table }) => table === 'permission_rules');
  const hint = isOurs ? ' (it looks like a database of this service)' : '';
  throw new ImportError(`This is not a database of the legacy service${hint}: ${missing.join('; ')}`);
}

function findTable(found: readonly FoundColumn[], { name, columns }: Table, missing: string[]): LegacyTable {
  const foundTable =
    found.find(({ table }) => table === name) ??
    found.find(({ table }) => normalizeName(table) === normalizeName(name));
  if (!foundTable) missing.push(`table "${name}" is missing`);
  const tableColumns = found.filter(({ schema, table }) => schema === foundTable?.schema && table === foundTable.table);
  const byName = new Map<string, FoundColumn>();
  for (const [column, { kind, reason }] of Object.entries(columns)) {
    const match =
      tableColumns.find((candidate) => candidate.column === column) ??
      tableColumns.find((candidate) => normalizeName(candidate.column) === normalizeName(column));
    if (match && !typePatterns[kind].test(match.type)) {
      missing.push(`column "${match.column}" of "${match.table}" has the type ${match.type}, not ${kind}`);
    } else if (match) {
      byName.set(column, match);
    } else if (foundTable && reason) {
      missing.push(`table "${foundTable.table}" has no column "${column}" (${reason})`);
    }
  }
  const raw = (column: string, alias: string) => `${alias}.${quoteName(byName.get(column)!.column)}`;
  return {
    from: foundTable ? `${quoteName(foundTable.schema)}.${quoteName(foundTable.table)}` : '',
    read: (column, alias) =>
      byName.has(column) ? toReadExpression(columns[column]!.kind, raw(column, alias)) : 'null',
    readMax: (column, alias) => toReadExpression(columns[column]!.kind, `max(${raw(column, alias)})`),
    raw,
    getType: (column) => byName.get(column)?.type,
  };
}

function toReadExpression(kind: Kind, column: string): string {
  switch (kind) {
    case 'number':
      return `${column}::float8`;
    case 'text':
      return `${column}::text`;
    case 'flag':
      return `lower(${column}::text) in ('true', 't', 'yes', '1')`;
    case 'time':
      // Whole milliseconds, as precisely as a float8 can hold them.
      return `extract(epoch from date_trunc('milliseconds', ${column}))::float8 * 1000`;
  }
}
