import type { Logger } from 'pino';
import { runPeriodically } from '../core/periodic.ts';
import type { Store } from './store.ts';

const checkIntervalMs = 15_000;
/**
 * A warning is logged if a transaction is open for this long. From then on, sends become noticeably slower, because
 * PostgreSQL must keep all old versions of the rows in `rooms`.
 */
const warnAfterMs = 60_000;

/**
 * Finds everything that makes PostgreSQL keep old row versions: transactions that write or have a snapshot, prepared
 * transactions, and standbys and replication slots with a snapshot. Every account can see the snapshots of other
 * accounts, but only members of `pg_read_all_stats` can see when the transactions began.
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
  /** How long the transaction has been open; null if this account may not see that. */
  openMs: number | null;
  /** Whether the transaction writes. If so, it has retained old row versions since it began. */
  writes: boolean;
}

export interface TransactionWatch {
  /** How long the oldest transaction or slot has retained old row versions, as far as this node can see. */
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

  // The store reports the outage itself. During an outage the last value means nothing.
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
 * A transaction that only reads can take a new snapshot for each statement, so its snapshot may be younger than the
 * transaction.
 */
function computeAgeMs({ openMs, writes }: SnapshotHolder, seenForMs: number): number {
  if (openMs === null) return seenForMs;
  return writes ? openMs : Math.min(openMs, seenForMs);
}
