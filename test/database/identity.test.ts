import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { openPostgres } from '../../src/database/open-store.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { emptyDatabase, execute } from '../helpers/postgres.ts';
import { findPostgres } from '../helpers/postgres-binaries.ts';
import { dataDirectory } from '../helpers/process.ts';

async function identityOf(databaseUrl: string): Promise<string> {
  const store = await openPostgres({ databaseUrl, poolSize: 2, statementTimeoutMs: 5_000 });
  return store.identify().finally(() => store.close());
}

/** An account that may not read the system identifier of PostgreSQL. */
async function withoutSystemIdentity(url: string): Promise<string> {
  const role = `role_${new URL(url).pathname.slice(-12)}`;
  for (const statement of [
    `create role ${role} login`,
    `grant create on schema public to ${role}`,
    'revoke execute on function pg_control_system() from public',
  ]) {
    await execute(url, statement);
  }
  return Object.assign(new URL(url), { username: role }).href;
}

describe('The identity of a service on PostgreSQL', () => {
  it('uses the service identity of the previous version, so that nodes of both versions share a bus', async () => {
    const url = await emptyDatabase();
    const session = await databaseSession(url);
    const { rows } = await session.query(
      `select (pg_control_system()).system_identifier::text || '.' || oid::text as id from pg_database where datname = current_database()`,
    );
    expect(await identityOf(url)).to.equal(rows[0].id);
  });

  it('determines the same service identity on nodes that start at once, without a privilege on pg_control_system()', async () => {
    const url = await withoutSystemIdentity(await emptyDatabase());
    const first = await identityOf(url);
    expect(first).to.match(/^[0-9a-f-]{36}$/);
    const others = await Promise.all(Array.from({ length: 4 }, () => identityOf(url)));
    expect(new Set([first, ...others]).size).to.equal(1);
  });

  it('keeps the service identity if the privilege on pg_control_system() is granted or revoked later', async () => {
    const admin = await emptyDatabase();
    const url = await withoutSystemIdentity(admin);
    const without = await identityOf(url);
    expect(await identityOf(admin)).to.equal(without);
  });

  it('changes the service identity for a restored backup and for a copy from a template, even without the privilege', async () => {
    const admin = await emptyDatabase();
    const url = await withoutSystemIdentity(admin);
    const original = await identityOf(url);
    const { pathname } = new URL(url);
    const role = new URL(url).username;
    const at = (other: string) => Object.assign(new URL(other), { username: role }).href;

    const restored = await emptyDatabase();
    const run = (program: string, ...words: string[]) =>
      execFileSync(join(findPostgres(), program), words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const file = join(dataDirectory(), '..', 'chat.dump');
    run('pg_dump', '--format=custom', `--dbname=${admin}`, `--file=${file}`);
    run('pg_restore', '--exit-on-error', `--dbname=${restored}`, file);
    await execute(restored, 'revoke execute on function pg_control_system() from public');
    const copy = await emptyDatabase(`template ${pathname.slice(1)}`);

    const all = [original, await identityOf(at(restored)), await identityOf(at(copy)), await identityOf(url)];
    expect(new Set(all).size).to.equal(3);
    expect(all[3]).to.equal(original);
  });
});
