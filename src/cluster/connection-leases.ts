import type { Uuid } from '../core/ids.ts';
import { ErrorReply } from './redis-connection.ts';
import type { RedisPubSub } from './redis-pubsub.ts';

/** Counts the connections of each user on all nodes together. */
export interface ConnectionLeases {
  /**
   * `full`: the user has `most` and this one is not counted. `unknown`: that cannot be said now; it is counted as soon
   * as it can be. `holder` names the connection.
   */
  acquire(user: Uuid, holder: string, maxConnections: number): Promise<'taken' | 'full' | 'unknown'>;
  release(user: Uuid, holder: string): void;
}

const defaultTimeouts = {
  /** What a node that died has held is free after this. */
  leaseMs: 45_000,
  renewEveryMs: 15_000,
  tickMs: 1_000,
};
const maxRenewalsPerTick = 2_000;
const answerTimeoutMs = 500;

interface LeaseReport {
  /** A connection could not be counted, or given up: by now it is counted on this node only. */
  failed(error: unknown): void;
  recovered(): void;
}

interface HeldLease {
  user: Uuid;
  renewAt: number;
}

/** A sorted set in Redis per user: the holders, by the end of their leases. */
export function createRedisLeases(
  getPubSub: () => Pick<RedisPubSub, 'isUp' | 'connection' | 'handleWriteFailure'> | undefined,
  nodeId: string,
  prefix: string,
  report: LeaseReport,
  { leaseMs, renewEveryMs, tickMs } = defaultTimeouts,
) {
  const heldLeases = new Map<string, HeldLease>();
  const formatKey = (user: Uuid) => `${prefix}:connections:${user}`;
  const formatHolder = (holder: string) => `${nodeId}:${holder}`;

  function getConnection() {
    const current = getPubSub();
    return current?.isUp ? current.connection : undefined;
  }

  function releaseLease(user: Uuid, holder: string): void {
    // What does not get there runs out.
    getConnection()?.zRem(formatKey(user), formatHolder(holder)).then(report.recovered, handleFailure);
  }

  function handleFailure(error: unknown): void {
    // Whether Redis can be reached is the business of the line.
    if (!(error instanceof ErrorReply)) return;
    report.failed(error);
    getPubSub()?.handleWriteFailure(error);
  }

  async function requestLease(
    user: Uuid,
    holder: string,
    maxConnections: number,
  ): Promise<'taken' | 'full' | 'unknown'> {
    const asked = getConnection()?.lease(formatKey(user), formatHolder(holder), maxConnections, leaseMs);
    if (!asked) return 'unknown';
    asked.then(report.recovered, handleFailure);
    let timer: NodeJS.Timeout | undefined;
    const timedOut = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, answerTimeoutMs);
    });
    const answer = await Promise.race([asked, timedOut]).catch(() => undefined);
    clearTimeout(timer);
    if (typeof answer !== 'number') return 'unknown';
    return answer === 1 ? 'taken' : 'full';
  }

  /** In the order in which they are due, so that what is not due ends it. */
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
      // Released while it was asked for.
      else if (!heldLeases.has(holder)) releaseLease(user, holder);
      return answer;
    },
    release(user, holder) {
      heldLeases.delete(holder);
      releaseLease(user, holder);
    },
    /** Redis may have lost them all. */
    renewAll() {
      for (const entry of heldLeases.values()) entry.renewAt = 0;
      renew();
    },
    stop: () => clearInterval(timer),
  } satisfies ConnectionLeases & Record<string, unknown>;
}
