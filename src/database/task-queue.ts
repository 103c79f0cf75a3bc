import pLimit from 'p-limit';
import type { Pool } from 'pg';
import type { Load } from './store.ts';

/** Decides when each task runs on the database. Urgent tasks overtake the others. */
export interface TaskQueue {
  run<T>(task: () => Promise<T>, isUrgent?: boolean): Promise<T>;
  readonly load: Load;
}

/** Creates a queue that runs one task at a time, urgent tasks first. `check` runs before each task. */
export function createSerialQueue(check: () => void): TaskQueue {
  const urgent: (() => Promise<void>)[] = [];
  const others: (() => Promise<void>)[] = [];
  let isBusy = false;

  async function drain(): Promise<void> {
    isBusy = true;
    while (urgent.length + others.length > 0) {
      if (urgent.length > 0) {
        await urgent.shift()!();
      } else {
        await others.shift()!();
        // PGlite answers within the same tick. Without this delay, the process would not read from any socket while
        // tasks wait.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    isBusy = false;
  }

  async function runChecked<T>(task: () => Promise<T>): Promise<T> {
    check();
    return task();
  }

  return {
    run: (task, isUrgent) =>
      new Promise((resolve, reject) => {
        (isUrgent ? urgent : others).push(() => runChecked(task).then(resolve, reject));
        if (!isBusy) void drain();
      }),
    get load() {
      const busy = Number(isBusy);
      return { busy, idle: 1 - busy, max: 1, waiting: urgent.length + others.length };
    },
  };
}

/**
 * Creates a queue that keeps one connection free for urgent tasks, so that transactions that wait for a lock cannot
 * delay messages.
 */
export function createPoolQueue(pool: Pool, max: number): TaskQueue {
  const others = pLimit(Math.max(1, max - 1));
  return {
    run: (task, isUrgent) => (isUrgent ? task() : others(task)),
    get load() {
      const { totalCount, idleCount, waitingCount } = pool;
      const waiting = waitingCount + others.pendingCount;
      return { busy: totalCount - idleCount, idle: idleCount, max, waiting };
    },
  };
}
