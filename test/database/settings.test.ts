import { expect } from 'chai';
import { closeLater } from '../helpers/cleanup.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { findPgBouncer, startPgBouncer } from '../helpers/pgbouncer.ts';
import { emptyDatabase, execute, freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

interface Row {
  /** Settings of the database, or statements of its owner. */
  title: string;
  statements?: string[];
  /** The options of `create database`. */
  created?: string;
  /** The expected error at the start; without it, everything works. */
  refused?: RegExp;
  /** The address for the node. */
  through?: (url: string) => Promise<string>;
  /** Whether the tables exist before the statements. */
  isMigrated?: boolean;
  needsPgBouncer?: boolean;
}

const setting = (name: string, value: string, more: Partial<Row> = {}): Row => ({
  title: `${name} = ${value}`,
  statements: [`alter database $database set ${name} = ${value}`],
  ...more,
});

/** A separate account without superuser rights. */
const account = (...statements: string[]) => ({
  statements: [`create role $role login password 'x'`, ...statements],
  through: async (url: string) => Object.assign(new URL(url), { username: roleOf(url), password: 'x' }).href,
});

const pgBouncer = (mode: 'session' | 'transaction', settings = {}): Partial<Row> => ({
  needsPgBouncer: true,
  through: (url) => startPgBouncer(findPgBouncer()!, url, mode, settings),
});

const tooTight = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'];

const rows: Row[] = [
  { title: 'default settings' },
  setting('default_transaction_isolation', `'serializable'`),
  setting('default_transaction_isolation', `'repeatable read'`),
  setting('default_transaction_deferrable', 'on'),
  setting('datestyle', `'SQL, DMY'`),
  setting('datestyle', `'German, DMY'`),
  setting('intervalstyle', `'sql_standard'`),
  setting('timezone', `'America/St_Johns'`),
  setting('client_encoding', `'LATIN1'`),
  setting('standard_conforming_strings', 'off'),
  setting('escape_string_warning', 'off'),
  setting('array_nulls', 'off'),
  setting('transform_null_equals', 'on'),
  setting('quote_all_identifiers', 'on'),
  setting('bytea_output', `'escape'`),
  setting('extra_float_digits', '-15'),
  setting('xmloption', `'document'`),
  ...tooTight.map((name) => setting(name, `'1ms'`)),
  setting('idle_session_timeout', `'1s'`),
  setting('synchronous_commit', 'off'),
  setting('row_security', 'off'),
  {
    ...setting('jit_above_cost', '0'),
    title: 'jit for every statement',
    statements: ['on', '0'].map(
      (value, n) => `alter database $database set ${['jit', 'jit_above_cost'][n]} = ${value}`,
    ),
  },
  setting('plan_cache_mode', `'force_custom_plan'`),
  setting('plan_cache_mode', `'force_generic_plan'`),
  setting('enable_indexscan', 'off'),
  setting('client_min_messages', `'debug5'`),
  setting('client_min_messages', `'error'`),
  setting('default_toast_compression', `'lz4'`),
  setting('check_function_bodies', 'off'),
  setting('temp_file_limit', '0'),
  { title: 'another collation', created: `template template0 lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8'` },
  {
    title: 'an account that owns the database',
    ...account('alter database $database owner to $role', 'alter schema public owner to pg_database_owner'),
  },
  { title: 'an account and a schema of the same name', ...account('create schema $role authorization $role') },
  {
    title: 'a search_path of another schema',
    statements: ['create schema "Chat rooms"', `alter database $database set search_path = "Chat rooms"`],
  },
  {
    title: 'a search_path in the URL',
    statements: ['create schema chat'],
    through: async (url) => `${url}?options=${encodeURIComponent('-c search_path=chat')}`,
  },
  {
    title: 'tables in public and a later schema with the name of the account',
    isMigrated: true,
    ...account(
      'create schema $role authorization $role',
      'grant select, insert, update, delete on all tables in schema public to $role',
      'grant usage on all sequences in schema public to $role',
    ),
  },
  {
    title: 'an account that owns nothing and has the privileges of a node',
    isMigrated: true,
    ...account(
      'grant select, insert, update, delete on all tables in schema public to $role',
      'grant usage on all sequences in schema public to $role',
    ),
  },
  { title: 'PgBouncer in session mode', ...pgBouncer('session') },
  {
    title: 'PgBouncer in session mode, and a database whose DateStyle is not ISO',
    statements: [`alter database $database set datestyle = 'SQL, DMY'`],
    ...pgBouncer('session'),
  },
  {
    title: 'PgBouncer in transaction mode',
    ...pgBouncer('transaction'),
    refused: /pooler in transaction mode.*pool_mode = session/,
  },
  {
    title: 'PgBouncer in transaction mode and round-robin sessions',
    ...pgBouncer('transaction', { server_round_robin: 1, min_pool_size: 2 }),
    refused: /pooler in transaction mode.*pool_mode = session/,
  },
  {
    title: 'the encoding SQL_ASCII',
    created: `encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'`,
    refused: /encoding of the database "nano_test_\w+" is SQL_ASCII, but it must be UTF8.*template template0/,
  },
  {
    title: 'the encoding LATIN1',
    created: `encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'`,
    refused: /is LATIN1, but it must be UTF8/,
  },
  setting('default_transaction_read_only', 'on', { refused: /rejects writes.*default_transaction_read_only is on/ }),
  setting('session_replication_role', `'replica'`, {
    refused: /session_replication_role is replica.*reset session_replication_role/,
  }),
  setting('search_path', `'nowhere'`, {
    refused: /There is no schema for the tables: search_path is nowhere.*create schema/,
  }),
  {
    title: 'an account that may not create tables',
    ...account(),
    refused:
      /account "nano_role_\w+" may not create tables in the schema "public", and migrations are missing: .*grant create on schema/,
  },
  {
    title: 'an account that may only read',
    isMigrated: true,
    ...account('grant select on all tables in schema public to $role'),
    refused:
      /lacks privileges: .*insert on messages.*grant select, insert, update, delete on all tables in schema "public" to "nano_role_\w+"/,
  },
  {
    title: 'sequences that are behind, as after logical replication',
    isMigrated: true,
    statements: [
      `insert into rooms (id, uuid, name, type, level_admin, user_owner, max_entity_rules, last_seq, last_rev, last_change_at, created_at, updated_at)
        values (7, gen_random_uuid(), 'moved', 'custom', 0, gen_random_uuid(), 10, 1, 1, now(), now(), now())`,
      `insert into messages (room_id, seq, id, rev, emitter, content, created_at, updated_at)
        values (7, 1, 12, 1, gen_random_uuid(), 'moved', now(), now())`,
    ],
    refused:
      /select setval\('public.messages_id_seq', \(select max\(id\) from messages\)\); select setval\('public.rooms_id_seq'/,
  },
];

const nameOf = (url: string) => new URL(url).pathname.slice(1);
const roleOf = (url: string) => nameOf(url).replace('test', 'role');

/** Creates the database of a row and returns its address for a node. */
async function databaseOf({ statements = [], created, isMigrated, through }: Row): Promise<string> {
  const url = isMigrated ? await freshDatabase() : await emptyDatabase(created);
  for (const statement of statements) {
    await execute(url, statement.replaceAll('$database', nameOf(url)).replaceAll('$role', roleOf(url)));
  }
  if (statements.some((statement) => statement.includes('create role'))) {
    closeLater(async () => {
      await execute(
        url,
        `drop owned by ${roleOf(url)}; alter database ${nameOf(url)} owner to current_user; drop role ${roleOf(url)}`,
      );
    });
  }
  return through ? through(url) : url;
}

/** Runs every kind of statement of the service, with values that a wrong setting would change. */
async function useService(url: string): Promise<void> {
  const { owner, room } = await createRoomWithOwner(url, { name: `O'Neill\\'s` });
  const friend = await createMember(url, owner, room);
  const socket = await socketClient(url, owner);
  const joined = await socket.request('room:join', { room_id: room.id });
  const contents = [`\\' or 1=1 --`, 'ü €  \u{1f600}', 'null', 'NULL', `{"a": [1, 'x']}`];
  const sent = await Promise.all([
    ...contents.map((content) => sendMessages(url, owner, room, content)),
    sendMessages(url, friend, room, 'mine'),
  ]);
  const ids = sent.map(([message]) => message.id);
  expect(new Set(ids).size).to.equal(ids.length);

  const guest = createUser();
  await putRule(url, owner, room, { userUUID: guest.user, permissions: 'rw' });
  const invitation = await rest(url, guest.token).put(`/rooms/${room.id}/invitation`, { accepted: true });
  expect(invitation.status).to.equal(200);
  expect((await rest(url, owner.token).patch(`/rooms/${room.id}`, { name: 'renamed' })).status).to.equal(200);
  await putRule(url, owner, room, { userUUID: friend.user, permissions: 'b' });
  const banned = await rest(url, friend.token).post(`/rooms/${room.id}/messages`, { content: 'x' });
  expect(banned.body.meta).to.include({ code: 403, reason: 'BANNED' });

  const history = await rest(url, guest.token).get(`/rooms/${room.id}/messages`);
  const read = history.body.content as { content: string; createdAt: string }[];
  expect(read.map(({ content }) => content)).to.have.members([...contents, 'mine']);
  for (const { createdAt } of read)
    expect(Date.parse(createdAt)).to.be.within(Date.now() - 60_000, Date.now() + 60_000);
  const again = await socket.request('room:join', { room_id: room.id, since: joined.cursor });
  expect(again).to.include({ ok: true, recovered: true });
  const listed = (await rest(url, owner.token).get('/rooms')).body.content;
  expect(listed[0]).to.include({ name: 'renamed' });
  expect((await rest(url).get('/readyz')).status).to.equal(200);
  expect((await rest(url, owner.token).delete(`/rooms/${room.id}`)).status).to.be.oneOf([200, 204]);
}

describe('The settings of PostgreSQL', function () {
  this.timeout(60_000);

  for (const row of rows) {
    const outcome = row.refused
      ? 'refuses at the start, with the reason, a PostgreSQL with'
      : 'works with a PostgreSQL with';
    it(`${outcome} ${row.title}`, async function () {
      if (row.needsPgBouncer && !findPgBouncer()) return this.skip();
      const DATABASE_URL = await databaseOf(row);
      const started = startNode(postgres, { DATABASE_URL });
      if (!row.refused) return useService((await started).url);
      const refusal = await started.then(
        () => 'the node started',
        (error: Error) => error.message,
      );
      expect(refusal).to.match(row.refused);
    });
  }
});
