import { MikroORM } from '@mikro-orm/postgresql';
import { expect } from 'chai';
import { openDatabase } from '../../src/database/open-database.ts';
import { createPostgresOptions } from '../../src/database/orm-options.ts';
import { type CapturedLog, captureLog } from '../helpers/captured-log.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { emptyDatabase, freshDatabase } from '../helpers/postgres.ts';
import { runCommand } from '../helpers/process.ts';
import { createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** The advisory lock that every version uses for migrations. */
const lockMigrations = 'select pg_advisory_lock(7777001)';
const unlockMigrations = 'select pg_advisory_unlock(7777001)';

/** A database of the version before messages lost their foreign key: an upgrade of it changes the table `messages`. */
async function databaseOfBefore(): Promise<string> {
  const url = await freshDatabase();
  const { client, facts } = await openDatabase(url);
  await client.end();
  const limits = { statementTimeoutMs: 0, lockTimeoutMs: 0, idleInTransactionTimeoutMs: 0 };
  const orm = await MikroORM.init(createPostgresOptions({ url, facts, limits, poolSize: 2 }));
  try {
    await orm.migrator.down({ to: 'Migration20261124040431_revocations' });
  } finally {
    await orm.close(true);
  }
  return url;
}

const waitsFor = (log: CapturedLog, msg: string) => waitUntil(msg, () => log.startingWith(msg).length > 0);

const startOn = (DATABASE_URL: string, log: CapturedLog) =>
  startNode(postgres, { DATABASE_URL }, undefined, log.logger);

describe('Migrations on PostgreSQL', function () {
  this.timeout(60_000);

  it('applies migrations on a single node, and the others log that they wait for it', async () => {
    const DATABASE_URL = await emptyDatabase();
    const [other, log] = [await databaseSession(DATABASE_URL), captureLog()];
    await other.query(lockMigrations);
    const started = startOn(DATABASE_URL, log);
    await waitsFor(log, 'waiting for another node that migrates the database');
    const { rows } = await other.query('select pg_backend_pid() as pid');
    expect(log.startingWith('waiting for')[0]!.holder).to.include({ pid: rows[0].pid });
    const waiting = await other.query(
      `select query from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    expect(waiting.rows).to.deep.equal([]);
    await other.query(unlockMigrations);
    const { owner, room } = await createRoomWithOwner((await started).url);
    await sendMessages((await started).url, owner, room, 'it is up');
  });

  it('applies migrations once if several nodes start at once', async () => {
    const DATABASE_URL = await emptyDatabase();
    const logs = Array.from({ length: 4 }, () => captureLog());
    await Promise.all(logs.map((log) => startOn(DATABASE_URL, log)));
    const migrated = logs.flatMap((log) =>
      log.startingWith('migrating the database').map(({ migration }) => migration),
    );
    expect(new Set(migrated).size).to.equal(migrated.length).and.to.be.above(0);
  });

  it('waits for a table lock during a migration without blocking other readers', async () => {
    const DATABASE_URL = await databaseOfBefore();
    const [backup, reader, log] = [
      await databaseSession(DATABASE_URL),
      await databaseSession(DATABASE_URL),
      captureLog(),
    ];
    await backup.query('begin; select count(*) from messages');
    const started = startOn(DATABASE_URL, log);
    await waitsFor(log, 'migration waits for a table lock; retrying');
    const { rows } = await backup.query('select pg_backend_pid() as pid');
    const [waiting] = log.startingWith('migration waits');
    expect((waiting!.holders as { pid: number }[]).map(({ pid }) => pid)).to.deep.equal([rows[0].pid]);
    // The node waits in the database for at most a second per attempt, and not at all between two attempts.
    await reader.query(`set statement_timeout = '20s'`);
    await reader.query('select count(*) from messages');
    await backup.query('commit');
    const { owner, room } = await createRoomWithOwner((await started).url);
    await sendMessages((await started).url, owner, room, 'it is up');
  });

  it('leaves no session in the database if a node is killed while it waits to migrate', async () => {
    const DATABASE_URL = await databaseOfBefore();
    const [backup, watcher] = [await databaseSession(DATABASE_URL), await databaseSession(DATABASE_URL)];
    await backup.query('begin; select count(*) from messages');
    const command = runCommand('bin/migrate.ts', { DATABASE_URL, LOG_LEVEL: 'info' });
    await new Promise<void>((resolve) => {
      command.outputListeners.add((output) => output.includes('migration waits for a table lock') && resolve());
    });
    command.kill('SIGKILL');
    await command.exited;
    const left = async () => {
      const { rows } = await watcher.query(
        `select 1 from pg_stat_activity where datname = current_database() and application_name = 'nano-messaging'`,
      );
      return rows.length;
    };
    await waitUntil('its sessions are gone', async () => (await left()) === 0);
    await backup.query('commit');
    const again = runCommand('bin/migrate.ts', { DATABASE_URL });
    expect(await again.exited).to.include({ code: 0 });
  });

  it('fails a migration with advice if the account may not change the tables', async () => {
    const url = await databaseOfBefore();
    const database = new URL(url).pathname.slice(1);
    const role = `role_${database.slice(-12)}`;
    const admin = await databaseSession(url);
    await admin.query(`create role ${role} login; grant create on schema public to ${role};
      grant select, insert on mikro_orm_migrations to ${role}; grant usage on mikro_orm_migrations_id_seq to ${role}`);
    const DATABASE_URL = Object.assign(new URL(url), { username: role }).href;
    const refused = await startNode(postgres, { DATABASE_URL }).then(
      () => 'it started',
      (error: Error) => error.message,
    );
    await admin.query(`drop owned by ${role}; drop role ${role}`);
    expect(refused).to.match(
      /may not migrate the tables in the schema "public": .*must be owner of table messages.*npm run migrate/,
    );
  });
});
