import { expect } from 'chai';
import { openPostgres } from '../../src/database/open-store.ts';
import { sqlState } from '../../src/database/store-errors.ts';
import { captureLog } from '../helpers/captured-log.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { createClient } from '../helpers/client.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { emptyDatabase, execute, freshDatabase, startPostgres, startStandby } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

interface Outage {
  title: string;
  /** The SQLSTATE in the log. */
  sqlState: RegExp;
  breaking: string[];
  mending: string[];
}

const fullDisk = `raise exception 'could not extend file: No space left on device' using errcode = '53100'`;

const outages: Outage[] = [
  {
    title: 'the account may not log in',
    sqlState: /^28000$/,
    breaking: ['alter role $role nologin'],
    mending: ['alter role $role login'],
  },
  {
    title: 'the database accepts no connections',
    sqlState: /^55000$/,
    breaking: ['alter database $database allow_connections false'],
    mending: ['alter database $database allow_connections true'],
  },
  {
    title: 'the account has no connection left',
    sqlState: /^53300$/,
    breaking: ['alter role $role connection limit 0'],
    mending: ['alter role $role connection limit -1'],
  },
  {
    title: 'the database is read-only',
    sqlState: /^25006$/,
    breaking: ['alter database $database set default_transaction_read_only = on'],
    mending: ['alter database $database reset default_transaction_read_only'],
  },
  {
    title: 'the disk is full',
    sqlState: /^53100$/,
    breaking: [
      `create function refuse() returns trigger language plpgsql as $$ begin ${fullDisk}; end $$`,
      `create function refuse_table() returns event_trigger language plpgsql as $$ begin ${fullDisk}; end $$`,
      'create trigger full_disk before insert on messages for each statement execute function refuse()',
      'create trigger full_disk before insert on room_changes for each statement execute function refuse()',
      `create event trigger full_disk on ddl_command_start when tag in ('CREATE TABLE AS') execute function refuse_table()`,
    ],
    mending: [
      'drop event trigger full_disk',
      'drop trigger full_disk on messages',
      'drop trigger full_disk on room_changes',
    ],
  },
  {
    title: 'a privilege is missing',
    sqlState: /^42501$/,
    breaking: ['revoke insert, update on rooms, messages from $role'],
    mending: ['grant insert, update on rooms, messages to $role'],
  },
  {
    title: 'the tables are missing, as during a restore',
    sqlState: /^(42P01|42883)$/,
    breaking: ['alter schema public rename to gone'],
    mending: ['alter schema gone rename to public'],
  },
];

/** The value of a metric of a node. */
async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line!.slice(name.length));
}

async function goThrough({ sqlState, breaking, mending }: Outage): Promise<void> {
  const admin = await emptyDatabase();
  const database = new URL(admin).pathname.slice(1);
  const role = database.replace('test', 'role');
  const session = await databaseSession(admin);
  const server = await databaseSession(Object.assign(new URL(admin), { pathname: '/postgres' }).href);
  const run = async (statements: string[]) => {
    for (const statement of statements) {
      const isOfServer = /^(alter (database|role)|create role|drop role)/.test(statement);
      await (isOfServer ? server : session).query(
        statement.replaceAll('$database', database).replaceAll('$role', role),
      );
    }
  };
  await run([`create role $role login`, 'alter database $database owner to $role']);
  closeLater(() =>
    run(['drop owned by $role cascade', 'alter database $database owner to current_user', 'drop role $role']),
  );
  const log = captureLog();
  const DATABASE_URL = Object.assign(new URL(admin), { username: role }).href;
  const { url } = await startNode(postgres, { DATABASE_URL, SWEEP_SECONDS: 1 }, undefined, log.logger);
  const { owner, room } = await createRoomWithOwner(url);
  const joined = createClient(url, owner, { transports: ['websocket'] }).room(room.id);
  await joined.joined();

  await run(breaking);
  await session.query('select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', [role]);
  const api = rest(url, owner.token);
  const ban = () => api.put(`/rooms/${room.id}/members`, { userUUID: createUser().user, permissions: 'b' });
  const send = () => api.post(`/rooms/${room.id}/messages`, { content: 'x' });
  // The first statements may still run on terminated sessions.
  await waitUntil(
    'the outage is noticed',
    async () => (await send()).status === 503 && (await metric(url, 'nano_messaging_database_up')) === 0,
  );
  const sent = joined.send('written during the outage');
  for (const refused of [await send(), await ban()])
    expect(refused.body.meta).to.include({ code: 503, reason: 'UNAVAILABLE' });
  expect((await rest(url).get('/readyz')).status).to.equal(503);
  expect(await metric(url, 'nano_messaging_database_up')).to.equal(0);
  expect(sent.state).to.equal('pending');

  await waitUntil('it is logged', () => log.startingWith('database unavailable').length > 0);
  await run(mending);
  await sent.confirmed;
  await waitUntil('it is over', async () => (await rest(url).get('/readyz')).status === 200);
  await waitUntil('it is over', async () => (await metric(url, 'nano_messaging_database_up')) === 1);
  expect((await ban()).status).to.be.oneOf([200, 201]);
  await waitUntil('it is logged', () => log.startingWith('database available again').length > 0);
  expect(log.startingWith('database available again')).to.have.length(1);
  const [begun, ...more] = log.startingWith('database unavailable');
  expect(more).to.have.length(0);
  expect(begun!.sqlState).to.match(sqlState);
  expect(begun!.err?.message).to.be.a('string');
  expect(log.startingWith('request failed')).to.have.length(0);
  expect(await metric(url, 'nano_messaging_refusals_total{transport="rest",code="INTERNAL"}')).to.equal(0);
}

describe('An outage of PostgreSQL', () => {
  let results: PromiseSettledResult<void>[];

  // They run in parallel, because each waits some seconds for a log line.
  before(async function () {
    this.timeout(300_000);
    results = await Promise.allSettled(outages.map(goThrough));
  });

  for (const [n, { title }] of outages.entries()) {
    it(`answers UNAVAILABLE while ${title}, and recovers afterwards`, () => {
      const result = results[n]!;
      if (result.status === 'rejected') throw result.reason;
    });
  }
});

describe('The end of an outage', () => {
  it('replaces the sessions that began while the database was read-only', async () => {
    const databaseUrl = await freshDatabase();
    const session = await databaseSession(databaseUrl);
    const setReadOnly = (value: 'on' | 'off') =>
      session.query(
        `alter database ${new URL(databaseUrl).pathname.slice(1)} set default_transaction_read_only = ${value}`,
      );
    const store = await openPostgres({ databaseUrl, poolSize: 2, statementTimeoutMs: 20_000 });
    closeLater(() => store.close());
    const write = () => store.query({ name: 'write', text: 'update rooms set last_seq = last_seq' }, []);
    await setReadOnly('on');
    await session.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    );
    // The terminated sessions fail first. These failures do not show the store that writes are affected.
    await waitUntil('the store knows that the database is read-only', () =>
      write().then(
        () => false,
        (error) => sqlState(error) === '25006',
      ),
    );
    // This read holds a new session, so that the probe, which finds the end of the outage, gets another session.
    const slow = store.query({ name: 'slow', text: 'select pg_sleep(3)' }, []);
    await waitUntil(
      'the read runs',
      async () =>
        (await session.query(`select from pg_stat_activity where query = 'select pg_sleep(3)'`)).rowCount === 1,
    );
    await setReadOnly('off');
    await waitUntil('the outage is over', () => store.isUp);
    await slow;
    // Two at once use both sessions of the pool.
    await Promise.all([write(), write()]);
  });
});

describe('A failover of PostgreSQL', function () {
  this.timeout(60_000);

  it('keeps messages pending while a failover leads to a standby, and replaces all sessions once it is promoted', async () => {
    const primary = await startPostgres();
    const log = captureLog();
    const address = new URL(primary.url);
    const line = await tcpProxy('127.0.0.1', Number(address.port));
    address.port = String(line.port);
    const { url } = await startNode(postgres, { DATABASE_URL: address.href, SWEEP_SECONDS: 1 }, undefined, log.logger);
    const { owner, room } = await createRoomWithOwner(url);
    await sendMessages(url, owner, room, 'on the primary');
    const standby = await startStandby(primary);
    const asPrimary = await identityOf(primary.url);

    // Before the crash, so that every new connection finds at least one of the two servers.
    line.redirectTo(Number(new URL(standby.url).port));
    await primary.stop('SIGQUIT');
    const joined = createClient(url, owner, { transports: ['websocket'] }).room(room.id);
    const sent = joined.send('during the failover');
    await waitUntil(
      'the standby is noticed',
      () => log.startingWith('database unavailable')[0]?.sqlState === '25006',
      15_000,
    );
    expect((await rest(url).get('/readyz')).status).to.equal(503);
    expect((await rest(url, owner.token).get(`/rooms/${room.id}/messages`)).status).to.equal(200);
    expect(sent.state).to.equal('pending');

    await execute(standby.url, 'select pg_promote()');
    await sent.confirmed;
    await sendMessages(url, owner, room, 'on the new primary');
    const { body } = await rest(url, owner.token).get(`/rooms/${room.id}/messages`);
    expect(body.content.map(({ content }: { content: string }) => content)).to.deep.equal([
      'on the primary',
      'during the failover',
      'on the new primary',
    ]);
    expect(await identityOf(standby.url)).to.equal(asPrimary);
    await waitUntil('it is logged', () => log.startingWith('database available again').length === 1);
  });
});

async function identityOf(databaseUrl: string): Promise<string> {
  const store = await openPostgres({ databaseUrl, poolSize: 2, statementTimeoutMs: 5_000 });
  return store.identify().finally(() => store.close());
}
