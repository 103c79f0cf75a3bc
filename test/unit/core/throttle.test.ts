import { expect } from 'chai';
import { Throttle } from '../../../src/core/throttle.ts';

const tick = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** A throttle whose runs are recorded, and a promise for the next run. */
function createThrottle(intervalMs: number) {
  const runs: string[] = [];
  let onRun = () => {};
  const throttle = new Throttle<string>(intervalMs, (key) => {
    runs.push(key);
    onRun();
  });
  const nextRun = () =>
    new Promise<void>((resolve) => {
      onRun = resolve;
    });
  return { throttle, runs, nextRun };
}

describe('Throttle', () => {
  it('runs once per key for all requests of a tick', async () => {
    const { throttle, runs } = createThrottle(3_600_000);
    for (const key of ['a', 'b', 'a', 'a']) throttle.request(key);
    expect(runs).to.deep.equal([]);
    await tick();
    expect(runs).to.deep.equal(['a', 'b']);
    throttle.clear();
  });

  it('runs once more after the interval for all requests that were made during the interval', async () => {
    const { throttle, runs, nextRun } = createThrottle(40);
    throttle.request('a');
    await tick();
    const startedAt = performance.now();
    const second = nextRun();
    throttle.request('a');
    throttle.request('a');
    await tick();
    expect(runs).to.deep.equal(['a']);
    await second;
    expect(performance.now() - startedAt).to.be.at.least(30);
    expect(runs).to.deep.equal(['a', 'a']);
    throttle.clear();
  });

  it('runs at once again after an interval without requests', async () => {
    const { throttle, runs } = createThrottle(1);
    throttle.request('a');
    await new Promise((resolve) => setTimeout(resolve, 20));
    throttle.request('a');
    await tick();
    expect(runs).to.deep.equal(['a', 'a']);
  });

  it('runs nothing after it was cleared', async () => {
    const { throttle, runs } = createThrottle(1);
    throttle.request('a');
    throttle.clear();
    await tick();
    expect(runs).to.deep.equal([]);
  });
});
