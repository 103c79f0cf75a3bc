import type { Uuid } from '../core/ids.ts';
import { ErrorReply } from './redis-connection.ts';
import type { RedisLine } from './redis-pubsub.ts';

/** Counts the connections of each user on all nodes together. */
export interface ConnectionLeases {
  /**
   * `full`: the user has `most` and this one is not counted. `unknown`: that cannot be said now; it is counted as soon
   * as it can be. `holder` names the connection.
   */
  take(user: Uuid, holder: string, most: number): Promise<'taken' | 'full' | 'unknown'>;
  release(user: Uuid, holder: string): void;
}

const usual = {
  /** What a node that died has held is free after this. */
  leaseMs: 45_000,
  renewEveryMs: 15_000,
  tickMs: 1_000,
};
const mostPerTick = 2_000;
const patienceMs = 500;

interface LeaseReport {
  /** A connection could not be counted, or given up: by now it is counted on this node only. */
  failed(error: unknown): void;
  recovered(): void;
}

interface Held {
  user: Uuid;
  renewAt: number;
}

/** A sorted set in Redis per user: the holders, by the end of their leases. */
export function redisLeases(
  line: () => Pick<RedisLine, 'isUp' | 'connection' | 'writeFailed'> | undefined,
  nodeId: string,
  prefix: string,
  report: LeaseReport,
  { leaseMs, renewEveryMs, tickMs } = usual,
) {
  const held = new Map<string, Held>();
  const keyOf = (user: Uuid) => `${prefix}:connections:${user}`;
  const nameOf = (holder: string) => `${nodeId}:${holder}`;

  function connection() {
    const current = line();
    return current?.isUp ? current.connection : undefined;
  }

  function free(user: Uuid, holder: string): void {
    // What does not get there runs out.
    connection()?.zRem(keyOf(user), nameOf(holder)).then(report.recovered, failed);
  }

  function failed(error: unknown): void {
    // Whether Redis can be reached is the business of the line.
    if (!(error instanceof ErrorReply)) return;
    report.failed(error);
    line()?.writeFailed(error);
  }

  async function ask(user: Uuid, holder: string, most: number): Promise<'taken' | 'full' | 'unknown'> {
    const asked = connection()?.lease(keyOf(user), nameOf(holder), most, leaseMs);
    if (!asked) return 'unknown';
    asked.then(report.recovered, failed);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patienceMs);
    });
    const answer = await Promise.race([asked, late]).catch(() => undefined);
    clearTimeout(timer);
    if (typeof answer !== 'number') return 'unknown';
    return answer === 1 ? 'taken' : 'full';
  }

  /** In the order in which they are due, so that what is not due ends it. */
  function renew(): void {
    const redis = connection();
    const now = Date.now();
    let left = mostPerTick;
    for (const [holder, { user, renewAt }] of held) {
      if (!redis || renewAt > now || left-- === 0) return;
      held.delete(holder);
      held.set(holder, { user, renewAt: now + renewEveryMs });
      redis.lease(keyOf(user), nameOf(holder), 0, leaseMs).then(report.recovered, failed);
    }
  }
  const timer = setInterval(renew, tickMs).unref();

  return {
    async take(user, holder, most) {
      held.set(holder, { user, renewAt: Date.now() + renewEveryMs });
      const answer = await ask(user, holder, most);
      if (answer === 'full') held.delete(holder);
      // Released while it was asked for.
      else if (!held.has(holder)) free(user, holder);
      return answer;
    },
    release(user, holder) {
      held.delete(holder);
      free(user, holder);
    },
    /** Redis may have lost them all. */
    renewAll() {
      for (const entry of held.values()) entry.renewAt = 0;
      renew();
    },
    stop: () => clearInterval(timer),
  } satisfies ConnectionLeases & Record<string, unknown>;
}
