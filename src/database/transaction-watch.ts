import type { Logger } from 'pino';
import { runPeriodically } from '../core/periodic.ts';
import type { Store } from './store.ts';

const checkIntervalMs = 15_000;
/**
 * A warning is logged if a transaction is open for this long. While a transaction is open, PostgreSQL must keep all old
 * versions of the rows in `rooms`. After about this time, they noticeably slow down the sending of messages.
 */
const warnAfterMs = 60_000;

/**
 * Finds everything that makes PostgreSQL keep old row versions: transactions that write or have a snapshot, prepared
 * transactions, standbys, and replication slots. Every account can see the snapshots of other accounts, but only members
 * of `pg_read_all_stats` can see when the transactions of other accounts began.
 */
const holdersStatement = {
  name: 'snapshot_holders',
  text: `select format('%s %s', a.pid, coalesce(a.backend_xid, a.backend_xmin)) as key, a.pid,
      a.application_name as application, a.usename::text as account, a.state,
      (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::float8 as "openMs",
      a.backend_xid is not null as writes
    from pg_stat_activity a
    where a.pid <> pg_backend_pid() and coalesce(a.backend_xid, a.backend_xmin) is not null
      -- Sessions without an account belong to autovacuum, which is harmless here.
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
  /** How long the transaction has been open; null if this account may not see that. */
  openMs: number | null;
  /** Whether the transaction has written something. If so, PostgreSQL keeps all row versions since its beginning. */
  writes: boolean;
}

export interface TransactionWatch {
  /** For how long PostgreSQL has had to keep old row versions, as far as this node can see. */
  readonly oldestMs: number;
  check(): Promise<void>;
  close(): void;
}

/** Warns once about each transaction that remains open for too long. */
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
        'transaction open for more than a minute; sends become slower until it ends',
      );
    }
    firstSeenAt = seenAt;
    warnedKeys = new Set([...warnedKeys].filter((key) => seenAt.has(key)));
    oldestMs = Math.max(0, ...agesMs);
  }

  // During an outage the last value is meaningless. The outage itself is reported by the store.
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

/**
 * Estimates for how long the holder has kept old row versions. A transaction that only reads may take a new snapshot for
 * each statement, so only the time for which its current snapshot has been seen counts.
 */
function computeAgeMs({ openMs, writes }: SnapshotHolder, seenForMs: number): number {
  if (openMs === null) return seenForMs;
  return writes ? openMs : Math.min(openMs, seenForMs);
}
