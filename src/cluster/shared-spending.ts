import { ErrorReply } from './redis-connection.ts';
import type { RedisPubSub } from './redis-pubsub.ts';

/**
 * What has been taken from a bucket on all nodes together, kept in Redis as the time at which the bucket is full again.
 * Nobody waits for it: while Redis is unavailable the answer is undefined, and a node goes by its own count.
 */
export type SharedSpending = (key: string, spentMs: number, maxMs: number) => Promise<number | undefined> | undefined;

interface SpendingReport {
  /** Redis refused to count: by now each node counts alone. */
  failed(error: unknown): void;
  recovered(): void;
}

export function createSharedSpending(
  getPubSub: () => Pick<RedisPubSub, 'isUp' | 'connection' | 'handleWriteFailure'> | undefined,
  prefix: string,
  report: SpendingReport,
): SharedSpending {
  return (key, spentMs, maxMs) => {
    const current = getPubSub();
    if (!current?.isUp) return undefined;
    return current.connection.spend(`${prefix}:spent:${key}`, spentMs, maxMs).then(
      (emptyMs) => {
        report.recovered();
        return emptyMs;
      },
      (error) => {
        // Whether Redis can be reached is the business of the line.
        if (error instanceof ErrorReply) {
          report.failed(error);
          current.handleWriteFailure(error);
        }
        return undefined;
      },
    );
  };
}
