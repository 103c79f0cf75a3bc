import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { openPglite } from '../../src/database/open-store.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { openQuery } from '../helpers/legacy-import.ts';
import { emptyDatabase, freshDatabase } from '../helpers/postgres.ts';
import { dataDirectory, runCommand, runServer } from '../helpers/process.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, putRule, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, sign, type TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const move = (directory: string, ...urls: string[]) => runCommand('bin/move.ts', { DATA_DIR: directory }, urls).exited;

const tables = ['rooms', 'permission_rules', 'messages', 'room_changes', 'revocations', 'imported_rooms'];
const ask = (text: string) => ({ name: `test ${text}`.slice(0, 60), text });

/** The content of a database, row by row. */
async function contentOf(query: (text: string) => Promise<unknown[]>): Promise<Record<string, unknown[]>> {
  const content: Record<string, unknown[]> = {};
  for (const table of tables) content[table] = await query(`select t::text as row from ${table} t order by 1`);
  return content;
}

async function expectEmpty(url: string): Promise<void> {
  const content = await contentOf(await openQuery(url));
  expect(content).to.deep.equal(Object.fromEntries(tables.map((table) => [table, []])));
}

/** A room with messages of every size, in more than one batch, and one row of every other kind. */
async function filledDirectory(messages = 2_500): Promise<string> {
  const directory = await migratedDirectory();
  const store = await openPglite(directory);
  const query = (text: string) => store.query(ask(text), []);
  await query(`insert into rooms (id, uuid, name, type, level_admin, user_owner, max_entity_rules, last_seq, last_rev,
      rights_rev, last_change_at, created_at, updated_at)
    values (77, gen_random_uuid(), 'a room', 'group', 2147483647, gen_random_uuid(), 10, ${messages}, ${messages} + 1, 1,
      '2038-01-19 03:14:07.999+00', '1999-12-31 23:59:59.001+00', now())`);
  await query(`insert into permission_rules select 77, gen_random_uuid(), 'any', 'rw', -5, answer, now(), now()
    from unnest(array[true, false, null]) answer`);
  await query(`insert into room_changes values (77, 1, 'member', '{"b": [1e30, "\\u00e9\\\\"], "a": null}', now())`);
  await query(`insert into messages (room_id, seq, rev, emitter, content, client_msg_id, created_at, updated_at)
    select 77, n, n + 1, gen_random_uuid(), case when n % 9 = 0 then chr(65279) else '' end || repeat(chr(97 + n % 26), case when n % 50 = 0 then 100000 else n % 97 end),
      case when n % 2 = 0 then 'id-' || n end, now() + n * interval '1 ms', now()
    from generate_series(1, ${messages}) n`);
  await query(`insert into revocations (user_uuid, issued_before, version, created_at)
    values (gen_random_uuid(), 1700000000, 1, now())`);
  await query(`insert into imported_rooms values (77, gen_random_uuid(), 5, 6, 7, '{"x": {"level": 1}}', now())`);
  await store.close();
  return directory;
}

const oddContents = [
  ...['NULL', 'null', '', '{}', '{"a","b"}', '\\N', '\\', '\\\\"', `'; drop table rooms; --`, '$1', '%s', '\t\r\n\v\f'],
  ...[
    '"',
    "'",
    ',',
    '(,)',
    'a\u0001b\u001f',
    '\u007f\u0080\u009f',
    '\u2028\u2029',
    'not first \ufeffBOM',
    '\ufeffBOM',
    '\ufffd',
    '\uffff',
  ],
  ...['e\u0301 é', 'שלום \u202e abc', '👩‍🚀 🏳️‍🌈', '\u{10ffff}', '日本語', '𝔘𝔫𝔦', ' spaces  ', 'x'.repeat(8_192)],
].filter((content) => content !== '');

describe('npm run move', function () {
  this.timeout(300_000);

  it('moves a service with its answers, cursors, tokens and numbers', async () => {
    const directory = await migratedDirectory();
    const before = await runServer({ DATA_DIR: directory });
    const secret = readFileSync(join(directory, 'jwt-secret'), 'utf8').trim();
    const keyed = (person: TestUser): TestUser => ({ ...person, token: sign(person.claims, { secret }) });
    const owner = keyed(createUser({ level: 100 }));
    const gone = await createRoom(before.url, owner, { name: 'gone' });
    const room = await createRoom(before.url, owner, { name: 'Odd “name” \\ \u{1f600}', max_entity_rules: 50 });
    const guest = createUser();
    await putRule(before.url, owner, room, { userUUID: guest.user, permissions: 'rw' });
    await putRule(before.url, owner, room, { userUUID: createUser().user, permissions: 'b' });
    await createMember(before.url, owner, room, 'r');
    await rest(before.url, owner.token).delete(`/rooms/${gone.id}`);
    const [first] = await sendMessages(before.url, owner, room, 'first');
    const socket = await socketClient(before.url, owner);
    const { cursor } = await socket.request('room:join', { room_id: room.id });
    for (const content of oddContents) await sendMessages(before.url, owner, room, content);
    const last = await createRoom(before.url, owner, { name: 'last' });
    const paths = ['/rooms', `/rooms/${room.id}/messages?limit=100`, `/rooms/${room.id}/members`, `/rooms/${last.id}`];
    const answers = (url: string) =>
      Promise.all(paths.map(async (path) => (await rest(url, owner.token).get(path)).body.content));
    const expected = await answers(before.url);
    const contents = expected[1].map(({ content }: { content: string }) => content);
    expect(contents).to.have.members(['first', ...oddContents]);

    const target = await emptyDatabase();
    const inUse = await move(directory, target);
    expect(inUse.code).to.equal(1);
    expect(inUse.output).to.include('in use');
    before.kill('SIGTERM');
    await before.exited;

    const { code, output } = await move(directory, target);
    expect(output).to.include('JWT_SECRET_FILE').and.to.include(join(directory, 'jwt-secret'));
    expect(output).to.include(`${(oddContents.length + 1).toString()} messages`);
    expect(code).to.equal(0);
    const after = await runServer({
      ...{ DATABASE_URL: target, JWT_SECRET_FILE: join(directory, 'jwt-secret'), LOG_LEVEL: 'info' },
    });
    expect(await answers(after.url)).to.deep.equal(expected);
    const joined = await (await socketClient(after.url, owner)).request('room:join', {
      room_id: room.id,
      since: cursor,
    });
    expect(joined).to.deep.include({ ok: true, recovered: true });
    expect(joined.events).to.have.length(oddContents.length);
    const [next] = await sendMessages(after.url, owner, room, 'next');
    expect(next.seq).to.equal(first.seq + oddContents.length + 1);
    expect(next.id).to.be.above(joined.events.at(-1).payload.id);
    expect((await createRoom(after.url, owner)).id).to.be.above(last.id);
  });

  it('moves every table in batches, and sets the sequences', async () => {
    const directory = await filledDirectory();
    const target = await emptyDatabase();
    const { code, output } = await move(directory, target);
    expect(output).to.include('2,500 messages').and.to.not.include('JWT_SECRET_FILE');
    expect(code).to.equal(0);
    const store = await openPglite(directory);
    const query = async (text: string) => store.query<unknown>(ask(text), []);
    await query(`set time zone 'UTC'`);
    const session = await databaseSession(target);
    await session.query(`set time zone 'UTC'`);
    const moved = await contentOf(async (text) => (await session.query(text)).rows);
    expect(digest(moved)).to.equal(digest(await contentOf(query)));
    const next = `select nextval('rooms_id_seq')::int as room, nextval('messages_id_seq')::int as message,
      nextval('revocations_id_seq')::int as revocation`;
    expect((await session.query(next)).rows).to.deep.equal(await query(next));
    await store.close();
  });

  it('refuses to move into a database with rows, and does not change it', async () => {
    const directory = await migratedDirectory();
    const target = await emptyDatabase();
    const theirs = await openQuery(target);
    await theirs('create table rooms (id int, name text)');
    await theirs(`insert into rooms values (1, 'somebody else’s')`);
    const { code, output } = await move(directory, target);
    expect(code).to.equal(1);
    expect(output.trim()).to.match(/^The target is not empty: it has rows in rooms\..*$/);
    expect(await theirs('select name from rooms')).to.deep.equal([{ name: 'somebody else’s' }]);
    expect(await theirs(`select to_regclass('messages') as messages`)).to.deep.equal([{ messages: null }]);
  });

  it('leaves no row if a move is killed, and succeeds the next time', async () => {
    const directory = await filledDirectory();
    const target = await freshDatabase();
    const session = await databaseSession(target);
    await session.query(`create function wait() returns trigger language plpgsql as
      $$ begin perform pg_advisory_lock_shared(42); return new; end $$`);
    await session.query(`create trigger wait before insert on messages for each row when (new.seq = 2000)
      execute function wait()`);
    await session.query('select pg_advisory_lock(42)');
    const command = runCommand('bin/move.ts', { DATA_DIR: directory }, [target]);
    const waiting = `select 1 from pg_locks where locktype = 'advisory' and not granted and objid = 42`;
    await waitUntil('it is in the middle', async () => (await session.query(waiting)).rowCount === 1, 60_000);
    command.kill('SIGKILL');
    await command.exited;
    await session.query('select pg_advisory_unlock(42)');
    await session.query('drop trigger wait on messages');
    await expectEmpty(target);
    expect((await move(directory, target)).code).to.equal(0);
  });

  it('moves nothing if both databases differ at the end', async () => {
    const directory = await filledDirectory(10);
    const target = await freshDatabase();
    const theirs = await openQuery(target);
    await theirs(`create function change() returns trigger language plpgsql as
      $$ begin new.content := upper(new.content); return new; end $$`);
    await theirs('create trigger change before insert on messages for each row execute function change()');
    const { code, output } = await move(directory, target);
    expect(code).to.equal(1);
    expect(output).to.include('The table messages differs in the target');
    await expectEmpty(target);
  });

  it('reports a missing embedded database, a missing URL, and an unreachable server', async () => {
    const empty = dataDirectory();
    const nowhere = await move(empty, 'postgres://127.0.0.1:1/x');
    expect(nowhere.code).to.equal(1);
    expect(nowhere.output).to.include(`There is no embedded database in ${empty}`);
    for (const urls of [[], ['http://127.0.0.1'], ['postgres://a/b', 'postgres://a/c']]) {
      const { code, output } = await move(empty, ...urls);
      expect(code).to.equal(1);
      expect(output).to.include('Give exactly one URL');
    }
    const away = await move(await migratedDirectory(), 'postgres://somebody:hidden@127.0.0.1:1/x');
    expect(away.code).to.equal(1);
    expect(away.output).to.include('ECONNREFUSED').and.to.not.include('hidden');
  });
});

const digest = (content: unknown) => createHash('sha256').update(JSON.stringify(content)).digest('hex');
