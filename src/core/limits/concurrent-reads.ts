import type { Uuid } from '../ids.ts';

/** Limits large reads: pages of history, missed changes, lists of rooms and of rules. */
export interface ConcurrentReads {
  /** Runs the read as soon as fewer than the maximum of this user's reads are running. */
  run<T>(user: Uuid, read: () => Promise<T>): Promise<T>;
}

/** Enough for an app that loads two rooms side by side. More would only slow down other users. */
const defaultMaxConcurrent = 2;

/** Limits how many large reads of one user run at the same time. The others wait in order. */
export function createConcurrentReads(maxConcurrent = defaultMaxConcurrent): ConcurrentReads {
  const readsByUser = new Map<Uuid, { running: number; queued: (() => void)[] }>();
  return {
    async run(user, read) {
      const reads = readsByUser.get(user) ?? { running: 0, queued: [] };
      readsByUser.set(user, reads);
      if (reads.running < maxConcurrent) reads.running += 1;
      // A finished read starts the next one without changing `running`.
      else await new Promise<void>((resolve) => reads.queued.push(resolve));
      try {
        return await read();
      } finally {
        const next = reads.queued.shift();
        if (next) next();
        else reads.running -= 1;
        if (reads.running === 0) readsByUser.delete(user);
      }
    },
  };
}
