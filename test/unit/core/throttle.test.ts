import { mock } from 'node:test';
import { expect } from 'chai';
import { Throttle } from '../../../src/core/throttle.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { useFakeClock } from '../../helpers/fake-clock.ts';

const tick = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** A throttle whose runs are recorded. */
function createThrottle(intervalMs: number) {
  const runs: string[] = [];
  return { throttle: new Throttle<string>(intervalMs, (key) => void runs.push(key)), runs };
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
    const pass = useFakeClock();
    closeLater(() => mock.reset());
    const { throttle, runs } = createThrottle(40);
    throttle.request('a');
    await tick();
    throttle.request('a');
    throttle.request('a');
    await tick();
    pass(39);
    expect(runs).to.deep.equal(['a']);
    pass(1);
    expect(runs).to.deep.equal(['a', 'a']);
  });

  it('runs at once again after an interval without requests', async () => {
    const pass = useFakeClock();
    closeLater(() => mock.reset());
    const { throttle, runs } = createThrottle(40);
    throttle.request('a');
    await tick();
    pass(40);
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
