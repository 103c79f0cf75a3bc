import { expect } from 'chai';
import { nodeFunctions, nodeTables } from '../../src/database/inspect-database.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { freshDatabase } from '../helpers/postgres.ts';

/** The tables of the import and of the migrations. */
const otherTables = ['imported_rooms', 'mikro_orm_migrations'];

describe('The privileges that a node checks at the start', () => {
  it('cover every table and every function of the migrations, except those of the import and of triggers', async () => {
    const session = await databaseSession(await freshDatabase());
    const tables = await session.query(`select relname as name from pg_class where relnamespace = 'public'::regnamespace
      and relkind = 'r'`);
    const functions = await session.query(`select distinct proname as name from pg_proc
      where pronamespace = 'public'::regnamespace and prorettype <> 'trigger'::regtype`);
    const toNames = ({ rows }: { rows: { name: string }[] }) => rows.map(({ name }) => name).sort();
    expect(toNames(tables)).to.deep.equal([...nodeTables, ...otherTables].sort());
    expect(toNames(functions)).to.deep.equal([...nodeFunctions].sort());
  });
});
