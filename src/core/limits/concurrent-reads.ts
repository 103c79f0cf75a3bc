import type { Uuid } from '../ids.ts';

/**
 * Limits how many large reads of one user run at the same time: pages of history, missed changes, lists of rooms and
 * lists of rules.
 */
export interface ConcurrentReads {
  /** Runs the read as soon as the user has fewer running reads than the maximum. Waiting reads run in order. */
  run<T>(user: Uuid, read: () => Promise<T>): Promise<T>;
}

/** Two reads are enough for an app that loads two rooms at the same time. More would only slow down other users. */
const defaultMaxConcurrent = 2;

export function createConcurrentReads(maxConcurrent = defaultMaxConcurrent): ConcurrentReads {
  const readsByUser = new Map<Uuid, { running: number; queued: (() => void)[] }>();
  return {
    async run(user, read) {
      const reads = readsByUser.get(user) ?? { running: 0, queued: [] };
      readsByUser.set(user, reads);
      if (reads.running < maxConcurrent) reads.running += 1;
      // A read that finishes hands its slot to the first queued read. Therefore a queued read does not increase
      // `running`.
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
