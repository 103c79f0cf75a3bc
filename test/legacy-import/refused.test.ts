import { expect } from 'chai';
import { openLegacyDatabase } from '../../src/legacy-import/legacy-database.ts';
import { generateLegacyDatabase } from '../../tools/import-benchmark/generate.ts';
import { freePort } from '../helpers/free-port.ts';
import type { Json } from '../helpers/json.ts';
import { createLegacyDatabase } from '../helpers/legacy-fixture.ts';
import { openQuery, runImport } from '../helpers/legacy-import.ts';
import { emptyDatabase, freshDatabase } from '../helpers/postgres.ts';
import { runCommand } from '../helpers/process.ts';
import { createUser } from '../helpers/users.ts';

const tables = ['rooms', 'permission_rules', 'messages', 'room_changes', 'imported_rooms'];

describe('A failing import', function () {
  this.timeout(300_000);
  const ana = createUser();

  const errorOf = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'no error',
      (error: Error) => error.message,
    );

  async function expectEmpty(ask: (text: string) => Promise<Json[]>): Promise<void> {
    for (const table of tables) expect(await ask(`select 1 from ${table}`), table).to.deep.equal([]);
  }

  it('writes nothing if an import fails midway, and succeeds the next time', async () => {
    const legacy = await createLegacyDatabase('drop table "Room_permissions", "Messages", "Rooms"');
    await generateLegacyDatabase(legacy.url, { rooms: 20, messages: 9_000 });
    const target = await freshDatabase();
    const ask = await openQuery(target);
    // The trigger fails in the third batch, when the first two batches are already written.
    await ask(
      `create function fail() returns trigger language plpgsql as $$ begin raise exception 'the disk is full'; end $$`,
    );
    await ask(
      'create trigger fail before insert on messages for each row when (new.room_id = 20) execute function fail()',
    );
    const { code, output } = await runCommand('bin/legacy-import.ts', { DATABASE_URL: target }, [legacy.url]).exited;
    expect(code).to.equal(1);
    expect(output.trim().split('\n').at(-1)).to.include('the disk is full');
    await expectEmpty(ask);
    await ask('drop trigger fail on messages');
    expect((await runImport(legacy.url, target)).messages).to.equal(9_000);
  });

  it('names an unreachable legacy database without its password', async () => {
    const url = `postgres://somebody:hidden@127.0.0.1:${await freePort()}/nothing`;
    const { code, output } = await runCommand('bin/legacy-import.ts', { DATABASE_URL: await freshDatabase() }, [url])
      .exited;
    expect(code).to.equal(1);
    expect(output).to.include('ECONNREFUSED').and.include('/nothing').and.not.include('hidden');
    expect(output.trim()).to.not.include('\n');
  });

  it('writes nothing if reading the legacy database fails midway', async () => {
    const legacy = await createLegacyDatabase();
    const room = await legacy.createRoom(ana.user, ana.entity);
    await legacy.query(
      `insert into "Messages" (room_id, emitter, content, "createdAt", "updatedAt")
       select $1, $2, n, now(), now() from generate_series(1, 1000) n`,
      [room, ana.user],
    );
    // The function is so expensive that PostgreSQL calls it after sorting, so only the batch of the last message fails.
    await legacy.query(
      `create function told(id integer) returns text language plpgsql stable cost 100000 as $$
       begin return 1 / (1000 - id); end $$;
       alter table "Messages" rename to told;
       create view "Messages" as select id, room_id, emitter, told(id) as content, "createdAt" from told`,
    );
    const target = await freshDatabase();
    const ask = await openQuery(target);
    expect(await errorOf(runImport(legacy.url, target))).to.include('failed: division by zero');
    await expectEmpty(ask);
  });

  it('refuses a legacy database with missing columns, and names each column and its purpose', async () => {
    const legacy = await createLegacyDatabase(
      'alter table "Messages" drop column emitter, drop column "createdAt"; alter table "Rooms" alter column "createdAt" type text',
    );
    const error = await errorOf(runImport(legacy.url, await freshDatabase()));
    expect(error)
      .to.include('table "Messages" has no column "emitter" (the author of a message)')
      .and.include('has no column "createdAt" (messages are numbered by date)')
      .and.include('column "createdAt" of "Rooms" has the type text, not time')
      .and.not.include('\n');
  });

  it('refuses to import from a database of this service, or from a database without tables', async () => {
    const target = await freshDatabase();
    expect(await errorOf(runImport(target, target))).to.include('it looks like a database of this service');
    expect(await errorOf(runImport(await emptyDatabase(), target))).to.include('table "Rooms" is missing');
  });

  it('refuses to import into a database with missing migrations, names them, and applies none', async () => {
    const { url } = await createLegacyDatabase();
    const empty = await emptyDatabase();
    expect(await errorOf(runImport(url, empty)))
      .to.include('imported_rooms')
      .and.include('npm run migrate');
    expect(await (await openQuery(empty))(`select 1 from pg_tables where schemaname = 'public'`)).to.deep.equal([]);
  });

  it('refuses an import while another import runs', async () => {
    const { url } = await createLegacyDatabase();
    const target = await freshDatabase();
    const ask = await openQuery(target);
    await ask('select pg_advisory_lock(7777003)');
    expect(await errorOf(runImport(url, target))).to.include('Another import');
  });

  it('prints the usage of the import', async () => {
    const calls = [['--help'], [], ['mysql://x/y']].map(
      (words) => runCommand('bin/legacy-import.ts', {}, words).exited,
    );
    const [help, ...wrong] = await Promise.all(calls);
    expect(help).to.include({ code: 0 });
    expect(help!.output).to.include('--dry-run').and.include('DATABASE_URL');
    for (const { code, output } of wrong) {
      expect(code).to.equal(1);
      expect(output).to.include('one URL').and.include('npm run import');
    }
  });

  it('names the invalid settings of an import, and requires no token key', async () => {
    const { code, output } = await runCommand('bin/legacy-import.ts', { DATABASE_URL: 'mysql://x' }, ['postgres://a/b'])
      .exited;
    expect(code).to.equal(1);
    expect(output).to.include('DATABASE_URL').and.not.include('JWT_SECRET');
  });

  it('reads a snapshot of the legacy database, and leaves concurrent changes to the next import', async () => {
    const legacy = await createLegacyDatabase();
    const room = await legacy.createRoom(ana.user, ana.entity);
    await legacy.message(room, ana.user, '1');
    const target = await freshDatabase();
    const snapshot = await openLegacyDatabase(legacy.url);
    for await (const { rooms } of snapshot.rooms()) expect(rooms).to.have.length(1);
    await legacy.message(room, ana.user, '2');
    expect((await snapshot.tallies(new Map()))[0]!.count).to.equal(1);
    await snapshot.close();
    expect((await runImport(legacy.url, target)).messages).to.equal(2);
  });
});
