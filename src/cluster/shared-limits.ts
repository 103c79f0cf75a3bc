import type { Uuid } from '../core/ids.ts';
import { ErrorReply } from './redis-connection.ts';
import type { GetSharedStore } from './shared-store.ts';

interface LimitsReport {
  /** Called if the store refused a command. Until it accepts commands again, each node counts by itself. */
  failed(error: unknown): void;
  recovered(): void;
}

/**
 * Counts the connections that each user has on all nodes together. Each connection holds a lease in the shared store, which
 * its node renews.
 */
export interface ConnectionLeases {
  /**
   * `holder` identifies the connection. Resolves with `full` if the user already has `maxConnections`; this connection is
   * not counted in that case. 0 means no limit. Resolves with `unknown` if the store does not answer; the connection is counted as soon as
   * the store is available.
   */
  acquire(user: Uuid, holder: string, maxConnections: number): Promise<'acquired' | 'full' | 'unknown'>;
  release(user: Uuid, holder: string): void;
  /**
   * Resolves to the users who have a connection on any node. Undefined if the store does not answer, or has lost leases
   * that their nodes may not have renewed yet.
   */
  findConnected(users: readonly Uuid[]): Promise<ReadonlySet<Uuid> | undefined>;
}

const defaultTimeouts = {
  /** Leases that are not renewed expire after this time, for example if their node has crashed. */
  leaseMs: 45_000,
  renewEveryMs: 15_000,
  tickMs: 1_000,
  answerMs: 500,
};
const maxRenewalsPerTick = 2_000;

interface HeldLease {
  user: Uuid;
  /** By the clock of the process, in whole ms, which need less memory. */
  renewAt: number;
}

/**
 * Keeps a sorted set for each user in the shared store. The members are the holders, and their scores are the times at which their
 * leases end.
 */
export function createConnectionLeases(
  getStore: GetSharedStore,
  nodeId: string,
  prefix: string,
  report: LimitsReport,
  { leaseMs, renewEveryMs, tickMs, answerMs } = defaultTimeouts,
) {
  const heldLeases = new Map<string, HeldLease>();
  let hasBeenUp = false;
  /** Until this time, other nodes may not have renewed leases that the store has lost. */
  let incompleteUntil = 0;
  const formatKey = (user: Uuid) => `${prefix}:connections:${user}`;
  const formatHolder = (holder: string) => `${nodeId}:${holder}`;
  const handleFailure = (error: unknown) => reportRefusal(error, getStore, report);

  function getConnection() {
    const current = getStore();
    return current?.isUp ? current.connection : undefined;
  }

  function releaseLease(user: Uuid, holder: string): void {
    // If the command does not reach the store, nothing needs to be done, because the lease expires by itself.
    getConnection()?.zRem(formatKey(user), formatHolder(holder)).then(report.recovered, handleFailure);
  }

  async function answerInTime<T>(request: Promise<T>): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const timedOut = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), answerMs);
    });
    const answer = await Promise.race([request, timedOut]).catch(() => undefined);
    clearTimeout(timer);
    return answer;
  }

  async function requestLease(
    user: Uuid,
    holder: string,
    maxConnections: number,
  ): Promise<'acquired' | 'full' | 'unknown'> {
    const request = getConnection()?.lease(formatKey(user), formatHolder(holder), maxConnections, leaseMs);
    if (!request) return 'unknown';
    request.then(report.recovered, handleFailure);
    const answer = await answerInTime(request);
    if (answer === undefined) return 'unknown';
    return answer === 1 ? 'acquired' : 'full';
  }

  /**
   * Renews the leases that are due. The map is ordered by `renewAt`, because a renewed lease moves to the end, so the
   * loop can stop at the first lease that is not due.
   */
  function renew(): void {
    const redis = getConnection();
    const now = Math.round(performance.now());
    let remaining = maxRenewalsPerTick;
    for (const [holder, { user, renewAt }] of heldLeases) {
      if (!redis || renewAt > now || remaining-- === 0) return;
      heldLeases.delete(holder);
      heldLeases.set(holder, { user, renewAt: now + renewEveryMs });
      redis.lease(formatKey(user), formatHolder(holder), 0, leaseMs).then(report.recovered, handleFailure);
    }
  }
  const timer = setInterval(renew, tickMs).unref();

  return {
    async acquire(user, holder, maxConnections) {
      heldLeases.set(holder, { user, renewAt: Math.round(performance.now()) + renewEveryMs });
      const answer = await requestLease(user, holder, maxConnections);
      if (answer === 'full') heldLeases.delete(holder);
      // If `release` was called during the request, the new lease is released here.
      else if (!heldLeases.has(holder)) releaseLease(user, holder);
      return answer;
    },
    release(user, holder) {
      heldLeases.delete(holder);
      releaseLease(user, holder);
    },
    async findConnected(users) {
      const redis = getConnection();
      if (!redis || Date.now() < incompleteUntil) return undefined;
      const counting = Promise.all(users.map((user) => redis.countLeases(formatKey(user))));
      counting.then(report.recovered, handleFailure);
      const counts = await answerInTime(counting);
      return counts && new Set(users.filter((_, n) => counts[n]! > 0));
    },
    /** Call this when the link to the store is up. After an interruption, the leases may have expired or may have been lost. */
    renewAll() {
      if (hasBeenUp) incompleteUntil = Date.now() + leaseMs;
      hasBeenUp = true;
      for (const entry of heldLeases.values()) entry.renewAt = 0;
      renew();
    },
    stop: () => clearInterval(timer),
  } satisfies ConnectionLeases & Record<string, unknown>;
}

/**
 * Takes tokens from a bucket that all nodes share; amounts are expressed as the time in which the bucket refills.
 * Resolves with the time until the bucket is full again. Returns or resolves with undefined if the store is unavailable; the
 * node then uses its own count. Requests do not wait for the result.
 */
export type SharedSpending = (key: string, spentMs: number, maxMs: number) => Promise<number | undefined> | undefined;

export function createSharedSpending(getStore: GetSharedStore, prefix: string, report: LimitsReport): SharedSpending {
  return (key, spentMs, maxMs) => {
    const current = getStore();
    if (!current?.isUp) return undefined;
    return current.connection.spend(`${prefix}:spent:${key}`, spentMs, maxMs).then(
      (untilFullMs) => {
        report.recovered();
        return untilFullMs;
      },
      (error) => {
        reportRefusal(error, () => current, report);
        return undefined;
      },
    );
  };
}

/** Reports an error reply from Redis. Other errors come from a failed connection, which the pub/sub client reports. */
function reportRefusal(error: unknown, getStore: GetSharedStore, report: LimitsReport): void {
  if (!(error instanceof ErrorReply)) return;
  report.failed(error);
  getStore()?.handleWriteFailure(error);
}
