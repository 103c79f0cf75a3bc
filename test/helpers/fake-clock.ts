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
