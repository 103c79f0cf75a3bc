import type { Statement, Store } from './store.ts';

const acquireStatement: Statement = {
  name: 'acquire_lease',
  text: `insert into leases as l (name, holder, token, until)
    values ($1, $2, 1, clock_timestamp() + make_interval(secs => $3::float8 / 1000))
    on conflict (name) do update set holder = excluded.holder, token = l.token + 1, until = excluded.until
    where l.until < clock_timestamp() or $4::boolean or l.token = $5::bigint
    returning l.token::text as token`,
};

const renewStatement: Statement = {
  name: 'renew_lease',
  text: `update leases set until = clock_timestamp() + make_interval(secs => $3::float8 / 1000)
    where name = $1 and token = $2::bigint returning 1 as renewed`,
};

const releaseStatement: Statement = {
  name: 'release_lease',
  text: 'update leases set until = clock_timestamp() where name = $1 and token = $2::bigint',
};

export interface LeaseTimeouts {
  leaseMs: number;
  renewMs: number;
}

interface Options {
  store: Pick<Store, 'query' | 'isExclusive'>;
  name: string;
  /** Names this node for people. The token identifies the holder. */
  holder: string;
  timeouts: LeaseTimeouts;
  onAcquired(token: string): void;
  onLost(): void;
  onError(error: unknown): void;
}

/** Keeps trying to become the holder of a lease, and renews it. The clock of the database decides when it ends. */
export interface Lease {
  /** The token, while this node may act as the holder. */
  readonly token: string | undefined;
  /** Called if a write has shown that another node has the lease. */
  giveUp(token: string): void;
  /** Releases the lease, so that another node need not wait for its end. */
  close(): Promise<void>;
}

export function openLease({ store, name, holder, timeouts, onAcquired, onLost, onError }: Options): Lease {
  const { leaseMs, renewMs } = timeouts;
  let held: { token: string; expiry: NodeJS.Timeout | undefined } | undefined;
  let lastToken: string | null = null;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  let running: Promise<void> = Promise.resolve();

  function lose(): void {
    if (!held) return;
    clearTimeout(held.expiry);
    held = undefined;
    onLost();
  }

  /** A holder whose database does not answer stops by its own clock, before the lease ends in the database. */
  function extend(begunAt: number): void {
    clearTimeout(held!.expiry);
    held!.expiry = setTimeout(lose, Math.max(0, begunAt + leaseMs - performance.now())).unref();
  }

  async function acquire(): Promise<void> {
    const begunAt = performance.now();
    // The only process of an embedded database need not wait for a lease that an ended process has left. A node that has
    // lost its lease only by its own clock need not wait for its end either.
    const [row] = await store.query<{ token: string }>(acquireStatement, [
      ...[name, holder, leaseMs, store.isExclusive, lastToken],
    ]);
    if (!row) return;
    lastToken = row.token;
    held = { token: row.token, expiry: undefined };
    extend(begunAt);
    if (!isClosed) onAcquired(row.token);
  }

  async function renew(token: string): Promise<void> {
    const begunAt = performance.now();
    const [row] = await store.query(renewStatement, [name, token, leaseMs]);
    if (!row && held?.token === token) lose();
    else if (held?.token === token) extend(begunAt);
  }

  async function tick(): Promise<void> {
    try {
      await (held ? renew(held.token) : acquire());
    } catch (error) {
      onError(error);
    }
  }

  function run(): void {
    running = tick().finally(() => {
      if (!isClosed) timer = setTimeout(run, renewMs * (0.9 + Math.random() / 10)).unref();
    });
  }
  run();

  return {
    get token() {
      return held?.token;
    },
    giveUp(token) {
      if (held?.token === token) lose();
    },
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await running;
      if (!held) return;
      const { token, expiry } = held;
      clearTimeout(expiry);
      held = undefined;
      await store.query(releaseStatement, [name, token]).catch(onError);
    },
  };
}
