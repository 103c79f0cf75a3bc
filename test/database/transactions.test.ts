import { expect } from 'chai';
import { openPostgres } from '../../src/database/open-store.ts';
import { watchTransactions } from '../../src/database/transaction-watch.ts';
import { captureLog } from '../helpers/captured-log.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { execute, startPostgres } from '../helpers/postgres.ts';

const warning = 'transaction open for more than a minute';

/** A service whose account is not a superuser, and a session of another account on its database. */
async function serviceAndSomebody(server: string) {
  const name = `watcher_${Math.random().toString(36).slice(2)}`;
  await execute(server, `create database ${name}`);
  const admin = Object.assign(new URL(server), { pathname: `/${name}` }).href;
  await execute(admin, `create role ${name} login`);
  await execute(admin, `grant create on schema public to ${name}`);
  const databaseUrl = Object.assign(new URL(admin), { username: name }).href;
  const store = await openPostgres({ databaseUrl, poolSize: 2, statementTimeoutMs: 5_000 });
  closeLater(() => store.close());
  const log = captureLog();
  const watch = watchTransactions(store, log.logger);
  closeLater(() => watch.close());
  await watch.check();
  return { watch, log, store, other: await databaseSession(admin) };
}

/** A transaction of this kind that retains old rows. */
const kinds: [kind: string, begin: string[], end: string][] = [
  ['has written', ['begin', 'create table left_open (n int)'], 'rollback'],
  [
    'reads one moment of the database, as a backup does',
    ['begin isolation level repeatable read', 'select count(*) from rooms'],
    'commit',
  ],
  [
    'is prepared',
    ['begin', 'create table left_open (n int)', `prepare transaction 'forgotten'`],
    `rollback prepared 'forgotten'`,
  ],
];

describe('The age of the oldest transaction of a database', () => {
  let server: string;

  before(async () => {
    server = (await startPostgres({ max_prepared_transactions: '5' })).url;
  });

  for (const [kind, begin, end] of kinds) {
    it(`reports a growing transaction age while another account has an open transaction that ${kind}, until it ends`, async () => {
      const { watch, other } = await serviceAndSomebody(server);
      expect(watch.oldestMs).to.equal(0);
      for (const statement of begin) await other.query(statement);
      await watch.check();
      await watch.check();
      const first = watch.oldestMs;
      await watch.check();
      expect(watch.oldestMs).to.be.above(first).and.below(20_000);
      await other.query(end);
      await watch.check();
      expect(watch.oldestMs).to.equal(0);
    });
  }

  it('ignores transactions that retain no rows, and its own statements, in the transaction age', async () => {
    const { watch, other, store } = await serviceAndSomebody(server);
    await other.query('begin');
    await other.query('select count(*) from rooms');
    const busy = store.query({ name: 'busy', text: 'select pg_sleep(0.2)' }, []);
    await watch.check();
    await busy;
    await watch.check();
    expect(watch.oldestMs).to.equal(0);
    await other.query('rollback');
  });
});

describe('A transaction that stays open for more than a minute', () => {
  const holder = {
    key: '7 1234',
    pid: 7,
    application: 'psql',
    account: 'ann',
    state: 'idle in transaction',
    writes: true,
  };

  it('logs a transaction that stays open for more than a minute once, with its session', async () => {
    const log = captureLog();
    let rows: unknown[] = [];
    const watch = watchTransactions({ query: async <Row>() => rows as Row[] }, log.logger);
    closeLater(() => watch.close());
    rows = [{ ...holder, openMs: 59_000 }];
    await watch.check();
    expect(log.startingWith(warning)).to.deep.equal([]);
    rows = [{ ...holder, openMs: 61_000 }];
    for (let n = 0; n < 3; n++) await watch.check();
    expect(watch.oldestMs).to.equal(61_000);
    expect(log.startingWith(warning)).to.have.length(1);
    expect(log.startingWith(warning)[0]).to.include({
      pid: 7,
      application: 'psql',
      account: 'ann',
      openForSeconds: 61,
    });
    rows = [];
    await watch.check();
    rows = [{ ...holder, key: '8 5678', openMs: 70_000 }];
    await watch.check();
    expect(log.startingWith(warning)).to.have.length(2);
  });

  it('does not count a transaction as old if each of its statements has a new snapshot', async () => {
    const log = captureLog();
    let xmin = 0;
    const row = () => ({ ...holder, key: `7 ${++xmin}`, writes: false, openMs: 600_000 });
    const watch = watchTransactions({ query: async <Row>() => [row()] as Row[] }, log.logger);
    closeLater(() => watch.close());
    for (let n = 0; n < 3; n++) await watch.check();
    expect(watch.oldestMs).to.be.below(1_000);
    expect(log.startingWith(warning)).to.deep.equal([]);
  });
});
