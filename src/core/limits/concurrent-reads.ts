import type { Uuid } from '../ids.ts';

/** Large reads: pages of history, what was missed, lists of rooms and of rules. */
export interface ConcurrentReads {
  /** Runs the read when fewer than `most` of this user are under way. */
  run<T>(user: Uuid, read: () => Promise<T>): Promise<T>;
}

/** Enough for an app that loads two rooms side by side; more would only be taken from the others. */
const defaultMaxConcurrent = 2;

/** Bounds how many large reads of one user are under way at once. The others wait, in their order. */
export function createConcurrentReads(maxConcurrent = defaultMaxConcurrent): ConcurrentReads {
  const readsByUser = new Map<Uuid, { running: number; queued: (() => void)[] }>();
  return {
    async run(user, read) {
      const reads = readsByUser.get(user) ?? { running: 0, queued: [] };
      readsByUser.set(user, reads);
      if (reads.running < maxConcurrent) reads.running += 1;
      // Whoever is done hands over their place.
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
