import { mock } from 'node:test';

/** Replaces `setTimeout` and `performance.now`. Returns a function that lets time pass; `mock.reset()` ends the replacement. */
export function useFakeClock(): (ms: number) => void {
  let now = 0;
  mock.timers.enable({ apis: ['setTimeout'] });
  mock.method(performance, 'now', () => now);
  return (ms) => {
    now += ms;
    mock.timers.tick(ms);
  };
}

/**
 * Runs the task on a clock that stands still while the task works, and moves on by 1 ms whenever the task waits. A busy
 * machine changes nothing. Returns the time that has passed on this clock.
 */
export async function onFakeClock(task: () => Promise<unknown>): Promise<number> {
  let ms = 0;
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  const clock = mock.method(performance, 'now', () => ms);
  try {
    let isDone = false;
    const done = task().finally(() => {
      isDone = true;
    });
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (isDone) break;
      ms += 1;
      mock.timers.tick(1);
    }
    await done;
    return ms;
  } finally {
    clock.mock.restore();
    mock.timers.reset();
  }
}
