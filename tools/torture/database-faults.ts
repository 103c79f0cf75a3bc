import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import type { NodeProcess } from './node-process.ts';
import type { Evidence, Sent } from './record.ts';
import { withDatabase } from './room-history.ts';

const maxWaitMs = 5_000;
const lockMs = 200;
/** Ten times the interval at which nodes look for commits. */
const lateMs = 5_000;
/** Other rooms may be locked by a long transaction. */
const isBusy = `name like 'room %'`;

/**
 * Kills the node after the database has committed what it sent, and before the node can publish it. All rooms are locked
 * until the node waits for a lock; it is suspended while the locks are released.
 */
export async function killWhileCommitting(url: string, node: NodeProcess): Promise<void> {
  const isWaiting = `select 1 from pg_stat_activity
    where usename = $1 and wait_event_type = 'Lock' and query ~ 'append_|apply_operations'`;
  await ignoreOutages(() =>
    withDatabase(url, (database) =>
      withDatabase(url, async (observer) => {
        const deadline = performance.now() + maxWaitMs;
        while (performance.now() < deadline) {
          await database.query(`begin; select 1 from rooms where ${isBusy} for update`);
          // The node gives up a lock after 50 ms, and tries again.
          const lockedUntil = performance.now() + 40;
          let isSuspended = false;
          while (!isSuspended && performance.now() < lockedUntil) {
            isSuspended = (await observer.query(isWaiting, [node.account])).rows.length > 0;
          }
          if (isSuspended) node.freeze();
          await database.query('commit');
          if (isSuspended) return void (await delay(100));
          await delay(50);
        }
      }),
    ),
  );
  await node.stop('SIGKILL');
}

/** Kills a backend, as the operating system does when memory runs out. PostgreSQL then restarts as after a crash. */
export function killBackend(url: string): Promise<void> {
  return ignoreOutages(() =>
    withDatabase(url, async (database) => {
      const { rows } = await database.query<{ pid: number }>(
        `select pid from pg_stat_activity where usename like 'node%' order by random() limit 1`,
      );
      if (rows[0]) process.kill(rows[0].pid, 'SIGKILL');
    }),
  );
}

/** The name of a node that delivers to the webhook or the consumer. */
export async function findDispatcher(url: string): Promise<string | undefined> {
  let holder: string | undefined;
  await ignoreOutages(() =>
    withDatabase(url, async (database) => {
      const { rows } = await database.query<{ holder: string }>(
        `select holder from leases where until > now() and name like 'webhook:%' order by random() limit 1`,
      );
      holder = rows[0]?.holder;
    }),
  );
  return holder;
}

export function lockRooms(url: string): Promise<void> {
  return ignoreOutages(() =>
    withDatabase(url, async (database) => {
      // A long transaction may hold the table. To wait for it would stop everybody else for as long.
      await database.query(`begin; set local lock_timeout = '300ms'; lock table rooms`);
      await delay(lockMs);
      await database.query('commit');
    }),
  );
}

/**
 * Commits a message in a transaction that began long before. Nobody publishes it, so nodes find it only in the log. Its
 * emitter is no client of the run.
 */
export async function commitLate(url: string, evidence: Evidence): Promise<void> {
  const sent: Sent = {
    ...{ client: 'the database', user: randomUUID(), room: 0, clientMsgId: `late-${evidence.sent.length}` },
    ...{ content: `[late-${evidence.sent.length}]`, attempts: 1, outcome: { is: 'unknown' } },
  };
  await ignoreOutages(() =>
    withDatabase(url, async (database) => {
      await database.query('begin; select pg_current_xact_id()');
      await delay(lateMs);
      const { rows } = await database.query<{ id: string }>(
        `select id from rooms where ${isBusy} order by random() limit 1`,
      );
      sent.room = Number(rows[0]!.id);
      evidence.sent.push(sent);
      await appendMessage(database, sent);
      await database.query('commit');
    }),
  );
}

/**
 * Writes a message into a room in a transaction that then stays open while the nodes look for commits ten times. Nothing
 * else writes into this room, because the transaction locks it.
 */
export function holdCommit(url: string, room: number, evidence: Evidence): Promise<void> {
  return writeInOneTransaction(url, { room, name: 'held', forMs: lateMs, everyMs: lateMs }, evidence);
}

/** Writes messages into a room for a long time, in one transaction. */
export function importSlowly(url: string, room: number, forMs: number, evidence: Evidence): Promise<void> {
  return writeInOneTransaction(url, { room, name: 'import', forMs, everyMs: 50 }, evidence);
}

interface LongTransaction {
  room: number;
  name: string;
  forMs: number;
  everyMs: number;
}

async function writeInOneTransaction(
  url: string,
  { room, name, forMs, everyMs }: LongTransaction,
  evidence: Evidence,
): Promise<void> {
  const written: Sent[] = [];
  const user = randomUUID();
  await ignoreOutages(() =>
    withDatabase(url, async (database) => {
      await database.query('begin');
      for (const end = performance.now() + forMs; performance.now() < end; await delay(everyMs)) {
        const token = `${name}-${evidence.sent.length}`;
        const sent: Sent = {
          ...{ client: 'the database', user, room, clientMsgId: token, content: `[${token}]`, attempts: 1 },
          outcome: { is: 'unknown' },
        };
        evidence.sent.push(sent);
        written.push(sent);
        await appendMessage(database, sent);
      }
      for (const sent of written) sent.committedAt = performance.now();
      await database.query('commit');
    }),
  );
}

async function appendMessage(database: Client, { room, user, content, clientMsgId }: Sent): Promise<void> {
  const { rows } = await database.query<{ rights_rev: string }>('select rights_rev from rooms where id = $1', [room]);
  const batch = [[room], [user], [content], [clientMsgId], [true], [rows[0]!.rights_rev]];
  await database.query('select * from append_messages($1, $2, $3, $4, $5, $6)', batch);
}

/** Other faults can take the database away at any time. */
async function ignoreOutages(task: () => Promise<void>): Promise<void> {
  await task().catch((error: Error & { code?: string }) => {
    const isOutage =
      /^(57|08|40|55)|ECONNRESET|ECONNREFUSED/.test(error.code ?? '') ||
      /terminated|timeout|not queryable/.test(error.message);
    if (!isOutage) throw error;
  });
}
