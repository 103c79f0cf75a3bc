import type { Logger } from 'pino';
import { runPeriodically } from '../core/periodic.ts';
import type { Store } from './store.ts';

const checkIntervalMs = 15_000;
/** From here on sends get slower, because PostgreSQL must keep every old version of the rows of `rooms`. */
const warnAfterMs = 60_000;

/**
 * What keeps old row versions in this database: transactions that write or hold a snapshot, prepared transactions, and
 * standbys and replication slots that hold on to a snapshot. When a session of another account began its transaction is
 * only told to members of `pg_read_all_stats`; which snapshot it holds is told to everybody.
 */
const holdersStatement = {
  name: 'snapshot_holders',
  text: `select format('%s %s', a.pid, coalesce(a.backend_xid, a.backend_xmin)) as key, a.pid,
      a.application_name as application, a.usename::text as account, a.state,
      (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::float8 as "openMs",
      a.backend_xid is not null as writes
    from pg_stat_activity a
    where a.pid <> pg_backend_pid() and coalesce(a.backend_xid, a.backend_xmin) is not null
      -- Autovacuum has no account; it holds nobody up.
      and ((a.datname = current_database() and a.usesysid is not null) or a.backend_type = 'walsender')
    union all
    select format('prepared %s', p.gid), null, p.gid, p.owner::text, 'prepared',
      (extract(epoch from clock_timestamp() - p.prepared) * 1000)::float8, true
    from pg_prepared_xacts p where p.database = current_database()
    union all
    select format('slot %s %s', s.slot_name, s.xmin), s.active_pid, s.slot_name::text, null, 'replication slot', null, false
    from pg_replication_slots s where s.xmin is not null`,
};

interface SnapshotHolder {
  key: string;
  pid: number | null;
  application: string | null;
  account: string | null;
  state: string | null;
  /** Since the transaction began; null if this account is not told. */
  openMs: number | null;
  /** It has changed something: what it holds is as old as the transaction. */
  writes: boolean;
}

export interface TransactionWatch {
  /** How long the oldest holder of old row versions has been there, as far as this node can tell. */
  readonly oldestMs: number;
  check(): Promise<void>;
  close(): void;
}

/** Looks for transactions that somebody has left open, and warns once of each. */
export function watchTransactions(store: Pick<Store, 'query'>, logger: Pick<Logger, 'warn'>): TransactionWatch {
  let firstSeenAt = new Map<string, number>();
  let warnedKeys = new Set<string>();
  let oldestMs = 0;

  async function check(): Promise<void> {
    const now = performance.now();
    const found = await store.query<SnapshotHolder>(holdersStatement, []);
    const seenAt = new Map(found.map(({ key }) => [key, firstSeenAt.get(key) ?? now]));
    const agesMs = found.map((holder) => computeAgeMs(holder, now - seenAt.get(holder.key)!));
    for (const [n, { key, openMs, writes, ...holder }] of found.entries()) {
      if (agesMs[n]! < warnAfterMs || warnedKeys.has(key)) continue;
      warnedKeys.add(key);
      logger.warn(
        { ...holder, openForSeconds: Math.round(agesMs[n]! / 1_000) },
        'transaction open for more than a minute; sends get slower until it ends',
      );
    }
    firstSeenAt = seenAt;
    warnedKeys = new Set([...warnedKeys].filter((key) => seenAt.has(key)));
    oldestMs = Math.max(0, ...agesMs);
  }

  // The outage is reported elsewhere; what was last seen is of no use then.
  const failed = () => {
    oldestMs = 0;
  };
  const close = runPeriodically(checkIntervalMs, check, { failed, recovered: () => {} });
  return {
    get oldestMs() {
      return oldestMs;
    },
    ...{ check, close },
  };
}

/** A snapshot may be younger than its transaction: each statement of it can have its own. */
function computeAgeMs({ openMs, writes }: SnapshotHolder, seenForMs: number): number {
  if (openMs === null) return seenForMs;
  return writes ? openMs : Math.min(openMs, seenForMs);
}
