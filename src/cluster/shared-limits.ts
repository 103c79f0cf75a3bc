import type { Uuid } from '../core/ids.ts';
import { ErrorReply } from './redis-connection.ts';
import type { RedisPubSub } from './redis-pubsub.ts';

type GetPubSub = () => Pick<RedisPubSub, 'isUp' | 'connection' | 'handleWriteFailure'> | undefined;

interface LimitsReport {
  /** Redis refused a command. Until Redis accepts commands again, each node counts on its own. */
  failed(error: unknown): void;
  recovered(): void;
}

/** Counts the connections that each user has on all nodes together. */
export interface ConnectionLeases {
  /**
   * `holder` identifies the connection. `full`: the user already has `maxConnections`, and this connection is not
   * counted. `unknown`: Redis did not answer; the connection is counted as soon as Redis is available.
   */
  acquire(user: Uuid, holder: string, maxConnections: number): Promise<'acquired' | 'full' | 'unknown'>;
  release(user: Uuid, holder: string): void;
}

const defaultTimeouts = {
  /** When a node dies, its leases expire after this time. */
  leaseMs: 45_000,
  renewEveryMs: 15_000,
  tickMs: 1_000,
};
const maxRenewalsPerTick = 2_000;
const answerTimeoutMs = 500;

interface HeldLease {
  user: Uuid;
  renewAt: number;
}

/**
 * Keeps a sorted set for each user in Redis. The members are the holders, and their scores are the times at which their
 * leases end.
 */
export function createRedisLeases(
  getPubSub: GetPubSub,
  nodeId: string,
  prefix: string,
  report: LimitsReport,
  { leaseMs, renewEveryMs, tickMs } = defaultTimeouts,
) {
  const heldLeases = new Map<string, HeldLease>();
  const formatKey = (user: Uuid) => `${prefix}:connections:${user}`;
  const formatHolder = (holder: string) => `${nodeId}:${holder}`;
  const handleFailure = (error: unknown) => reportRefusal(error, getPubSub, report);

  function getConnection() {
    const current = getPubSub();
    return current?.isUp ? current.connection : undefined;
  }

  function releaseLease(user: Uuid, holder: string): void {
    // If the command does not reach Redis, the lease expires by itself.
    getConnection()?.zRem(formatKey(user), formatHolder(holder)).then(report.recovered, handleFailure);
  }

  async function requestLease(
    user: Uuid,
    holder: string,
    maxConnections: number,
  ): Promise<'acquired' | 'full' | 'unknown'> {
    const request = getConnection()?.lease(formatKey(user), formatHolder(holder), maxConnections, leaseMs);
    if (!request) return 'unknown';
    request.then(report.recovered, handleFailure);
    let timer: NodeJS.Timeout | undefined;
    const timedOut = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, answerTimeoutMs);
    });
    const answer = await Promise.race([request, timedOut]).catch(() => undefined);
    clearTimeout(timer);
    if (typeof answer !== 'number') return 'unknown';
    return answer === 1 ? 'acquired' : 'full';
  }

  /**
   * The leases in the map are ordered by the time at which they are due, so the loop can stop at the first lease that
   * is not due.
   */
  function renew(): void {
    const redis = getConnection();
    const now = Date.now();
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
      heldLeases.set(holder, { user, renewAt: Date.now() + renewEveryMs });
      const answer = await requestLease(user, holder, maxConnections);
      if (answer === 'full') heldLeases.delete(holder);
      // The lease was released while the request was on its way.
      else if (!heldLeases.has(holder)) releaseLease(user, holder);
      return answer;
    },
    release(user, holder) {
      heldLeases.delete(holder);
      releaseLease(user, holder);
    },
    /** Called when the link to Redis is up again, because Redis may have lost all leases. */
    renewAll() {
      for (const entry of heldLeases.values()) entry.renewAt = 0;
      renew();
    },
    stop: () => clearInterval(timer),
  } satisfies ConnectionLeases & Record<string, unknown>;
}

/**
 * Spends from a bucket that all nodes share. Redis stores the time at which the bucket is full again. Callers do not
 * wait for the result. While Redis is unavailable, the result is undefined, and the node uses its own count.
 */
export type SharedSpending = (key: string, spentMs: number, maxMs: number) => Promise<number | undefined> | undefined;

export function createSharedSpending(getPubSub: GetPubSub, prefix: string, report: LimitsReport): SharedSpending {
  return (key, spentMs, maxMs) => {
    const current = getPubSub();
    if (!current?.isUp) return undefined;
    return current.connection.spend(`${prefix}:spent:${key}`, spentMs, maxMs).then(
      (emptyMs) => {
        report.recovered();
        return emptyMs;
      },
      (error) => {
        reportRefusal(error, () => current, report);
        return undefined;
      },
    );
  };
}

/** Reports only errors that Redis itself answered. If the connection fails, the pub/sub client reports it. */
function reportRefusal(error: unknown, getPubSub: GetPubSub, report: LimitsReport): void {
  if (!(error instanceof ErrorReply)) return;
  report.failed(error);
  getPubSub()?.handleWriteFailure(error);
}
