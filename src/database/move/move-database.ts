import { createProgress } from '../../observability/progress.ts';
import { copyTable, readContent, type TableContent } from './copy-table.ts';
import { quoteName, quoteNames, readTables, type Session, type Table } from './tables.ts';

/**
 * An expected failure of a move. The command prints only its message, without a stack trace. The target has no new
 * rows.
 */
export class MoveError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'MoveError';
  }
}

interface MoveOptions {
  source: Session;
  /** The tables of the source, parents before children. */
  tables: readonly Table[];
  /** A migrated database. */
  target: Session;
  print: (line: string) => void;
}

export type MovedTables = { table: string; rows: number }[];

/** Throws if any of these tables contains rows. A missing table counts as empty. */
export async function assertEmpty(target: Session, tables: readonly Table[]): Promise<void> {
  const existing = new Set((await readTables(target)).map(({ name }) => name));
  const nonEmpty: string[] = [];
  for (const { name } of tables.filter(({ name }) => existing.has(name))) {
    const [row] = await target.query<{ isFilled: boolean }>(
      `select exists (select 1 from ${quoteName(name)}) as "isFilled"`,
    );
    if (row!.isFilled) nonEmpty.push(name);
  }
  if (nonEmpty.length === 0) return;
  throw new MoveError(
    `The target is not empty: it has rows in ${nonEmpty.join(', ')}. A move needs an empty database, so that nothing ` +
      'is mixed or overwritten. Name another database (create one with "createdb").',
  );
}

/**
 * Copies all tables in one transaction, compares both databases, and commits only if they are equal. Numbers (ids, seq,
 * rev) and times do not change, and each sequence continues where it was in the source.
 */
export async function moveDatabase(move: MoveOptions): Promise<MovedTables> {
  const { source, target, tables } = move;
  await assertSameTables(target, tables);
  await target.query('begin');
  try {
    await target.query(`lock table ${quoteNames(tables.map(({ name }) => name))} in share row exclusive mode`);
    await assertEmpty(target, tables);
    await copyAll(move);
    const moved = await compareAll(move);
    for (const table of tables) await moveSequences(source, target, table);
    await target.query('commit');
    return moved;
  } catch (error) {
    // If the connection is lost, the rollback fails, but the server has already rolled back.
    await target.query('rollback').catch(() => {});
    throw error;
  }
}

/**
 * Throws if a table has other columns in the target than in the source. Both databases have the same migrations, but
 * somebody may have changed a table by hand.
 */
async function assertSameTables(target: Session, tables: readonly Table[]): Promise<void> {
  const targetColumns = new Map((await readTables(target)).map((table) => [table.name, JSON.stringify(table.columns)]));
  const different = tables.filter(({ name, columns }) => targetColumns.get(name) !== JSON.stringify(columns));
  if (different.length === 0) return;
  const names = different.map(({ name }) => name).join(', ');
  throw new MoveError(
    `The target has different columns in ${names}. Use an empty database, in which this command creates the tables.`,
  );
}

async function copyAll({ source, target, tables, print }: MoveOptions): Promise<void> {
  const [{ total }] = (await source.query<{ total: number }>(
    `select (${tables.map(({ name }) => `(select count(*) from ${quoteName(name)})`).join(' + ')})::float8 as total`,
  )) as [{ total: number }];
  const progress = createProgress(total, print, { what: 'rows' });
  for (const table of tables) await copyTable(source, target, table, progress.add);
  progress.end();
}

async function compareAll({ source, target, tables, print }: MoveOptions): Promise<MovedTables> {
  const moved: MovedTables = [];
  print('comparing both databases');
  for (const table of tables) {
    const [before, after] = [await readContent(source, table), await readContent(target, table)];
    if (!isSame(before, after)) {
      throw new MoveError(
        `The table ${table.name} differs in the target (${after.rows} rows instead of ${before.rows}), and nothing was moved. ` +
          'Check the target for triggers and rules that do not belong to this service.',
      );
    }
    moved.push({ table: table.name, rows: after.rows });
  }
  return moved;
}

const isSame = (one: TableContent, other: TableContent) => one.rows === other.rows && one.checksum === other.checksum;

/**
 * Sets each sequence of the target to its value in the source. Uses `restart`, because `setval` would not be rolled
 * back with the transaction. A sequence that was never used stays as it is.
 */
async function moveSequences(source: Session, target: Session, { name, numbered }: Table): Promise<void> {
  // `alter table` refuses a table with triggers that wait for the end of the transaction, as one of `rooms` does.
  await target.query('set constraints all immediate');
  for (const column of numbered) {
    const [sequence] = await source.query<{ name: string }>('select pg_get_serial_sequence($1, $2) as name', [
      name,
      column,
    ]);
    const [used] = await source.query<{ last: string }>(
      `select last_value::text as last from ${sequence!.name} where is_called`,
    );
    if (!used) continue;
    await target.query(`alter table ${quoteName(name)} alter column ${quoteName(column)} restart with ${used.last}`);
    // After `restart with`, the sequence would return this number next, but a row already has it. `nextval` consumes the
    // number, so that the sequence continues after it.
    await target.query('select nextval(pg_get_serial_sequence($1, $2))', [name, column]);
  }
}
