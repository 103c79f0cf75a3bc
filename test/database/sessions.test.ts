import { expect } from 'chai';
import { openPostgres } from '../../src/database/open-store.ts';
import type { Store } from '../../src/database/store.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { freshDatabase } from '../helpers/postgres.ts';

const pid = { name: 'pid', text: 'select pg_backend_pid() as pid' };

async function storeOn(databaseUrl: string, poolSize = 1): Promise<Store> {
  const store = await openPostgres({ databaseUrl, poolSize, statementTimeoutMs: 5_000 });
  closeLater(() => store.close());
  return store;
}

const sessionOf = async (store: Store) => (await store.query<{ pid: number }>(pid, []))[0]!.pid;

const raising = (state: string) => ({
  name: `raise_${state}`,
  text: `select raise_state('${state}')`,
});

const raiseState = `create function raise_state(state text) returns void language plpgsql as $$
  begin raise exception 'as the test wants' using errcode = state; end $$`;

const outcomes: [state: string, what: string, isKept: boolean][] = [
  ['23505', 'a violated constraint', true],
  ['NM001', 'outdated rights', true],
  ['55P03', 'an unavailable lock', true],
  ['25006', 'a server that rejects writes', false],
  ['53200', 'a server without memory', false],
  ['26000', 'a missing prepared statement', false],
];

describe('A session of the pool on PostgreSQL', () => {
  for (const [state, what, isKept] of outcomes) {
    it(`${isKept ? 'keeps' : 'closes'} the database session after an error for ${what} (${state})`, async () => {
      const DATABASE_URL = await freshDatabase();
      const store = await storeOn(DATABASE_URL);
      await (await databaseSession(DATABASE_URL)).query(raiseState);
      const before = await sessionOf(store);
      await store.query(raising(state), []).then(
        () => expect.fail('the statement should fail'),
        () => {},
      );
      expect((await sessionOf(store)) === before).to.equal(isKept);
    });
  }

  it('replaces all database sessions once a session reaches a server that rejects writes', async () => {
    const DATABASE_URL = await freshDatabase();
    const store = await storeOn(DATABASE_URL, 4);
    await (await databaseSession(DATABASE_URL)).query(raiseState);
    const sleeping = { name: 'sleeping', text: 'select pg_backend_pid() as pid, pg_sleep(0.1)' };
    const threeSessions = async () => {
      const rows = await Promise.all([1, 2, 3].map(() => store.query<{ pid: number }>(sleeping, [])));
      return rows.map(([row]) => row!.pid);
    };
    const before = await threeSessions();
    expect(new Set(before).size).to.equal(3);
    await store.query(raising('25006'), []).catch(() => {});
    expect(await threeSessions())
      .to.not.include.members([before[0]!])
      .and.not.include.members([before[1]!]);
  });

  it('sets the time limits of the service for a session, whatever the limits of the account', async () => {
    const DATABASE_URL = await freshDatabase();
    const other = await databaseSession(DATABASE_URL);
    await other.query(`alter database ${new URL(DATABASE_URL).pathname.slice(1)} set statement_timeout = '1h'`);
    const store = await storeOn(DATABASE_URL);
    const rows = await store.query<{ name: string; setting: string }>(
      {
        name: 'limits',
        text: `select name, setting from pg_settings
          where name in ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout') order by name`,
      },
      [],
    );
    expect(rows.map(({ name, setting }) => `${name} ${setting}`)).to.deep.equal([
      'idle_in_transaction_session_timeout 5000',
      'lock_timeout 0',
      'statement_timeout 5000',
    ]);
  });

  it('checks after an outage for sequences that are behind, as on a logical replica', async () => {
    const DATABASE_URL = await freshDatabase();
    const store = await storeOn(DATABASE_URL);
    const other = await databaseSession(DATABASE_URL);
    await other.query(`insert into rooms (id, uuid, name, type, level_admin, user_owner, max_entity_rules, last_change_at, created_at, updated_at)
      values (7, gen_random_uuid(), 'moved', 'custom', 0, gen_random_uuid(), 10, now(), now(), now())`);
    expect(store.isUp).to.equal(true);
    const session = await sessionOf(store);
    await other.query('select pg_terminate_backend($1)', [session]);
    await store.query(pid, []).catch(() => {});
    const refused = await store.check().then(
      () => 'it is ready',
      (error: Error) => String(error.cause ?? error),
    );
    expect(refused).to.match(/Sequences are behind their tables.*setval\('public.rooms_id_seq'/);
    await other.query(`select setval('rooms_id_seq', 7)`);
    await store.check();
    expect(store.isUp).to.equal(true);
  });
});
