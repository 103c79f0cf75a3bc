import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { NodeProcess } from './node-process.ts';
import type { Evidence, Sent } from './record.ts';
import { withDatabase } from './room-history.ts';

const maxWaitMs = 5_000;
const lockMs = 200;
/** Ten times the interval at which nodes look for commits. */
const lateMs = 5_000;

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
          await database.query('begin; select 1 from rooms for update');
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

export function lockRooms(url: string): Promise<void> {
  return ignoreOutages(() =>
    withDatabase(url, async (database) => {
      await database.query('begin; lock table rooms');
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
      const { rows } = await database.query<{ id: string; rights_rev: string }>(
        'select id, rights_rev from rooms order by random() limit 1',
      );
      const { id, rights_rev } = rows[0]!;
      sent.room = Number(id);
      evidence.sent.push(sent);
      const batch = [[id], [sent.user], [sent.content], [sent.clientMsgId], [true], [rights_rev]];
      await database.query('select * from append_messages($1, $2, $3, $4, $5, $6)', batch);
      await database.query('commit');
    }),
  );
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
