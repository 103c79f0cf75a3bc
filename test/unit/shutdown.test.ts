import { expect } from 'chai';
import { closeInSlices, computeDrainTimes } from '../../src/shutdown.ts';

/** Connections that close at once, and how many of them did in each slice. */
function connections(size: number) {
  const slices: number[] = [];
  return {
    slices,
    size,
    closeUpTo(most: number) {
      const some = Math.min(most, this.size);
      this.size -= some;
      slices.push(some);
      return some;
    },
  };
}

const far = () => Date.now() + 60_000;

describe('closing the connections of a node that drains', () => {
  for (const [many, few] of [
    [3_000, 10],
    [50_000, 500],
  ] as const) {
    it(`spreads ${many + few} of both transports evenly over the time`, async () => {
      const transports = [connections(many), connections(few)];
      const begin = Date.now();
      await closeInSlices(transports, 600, far());
      expect(Date.now() - begin).to.be.within(450, 1_200);
      expect(transports.map(({ size }) => size)).to.deep.equal([0, 0]);
      // Evenly, with room for a machine that is busy.
      expect(Math.max(...transports.flatMap(({ slices }) => slices))).to.be.below((many + few) / 3);
    });
  }

  it('is quick where there are few', async () => {
    const transport = connections(20);
    const begin = Date.now();
    await closeInSlices([transport], 5_000, far());
    expect(transport.slices).to.deep.equal([20, 0]);
    expect(Date.now() - begin).to.be.below(1_000);
  });

  it('is done at once where there are none', async () => {
    const begin = Date.now();
    await closeInSlices([connections(0)], 5_000, far());
    expect(Date.now() - begin).to.be.below(40);
  });

  it('does not go on after the deadline', async () => {
    const transport = connections(10_000);
    await closeInSlices([transport], 5_000, Date.now() + 200);
    expect(transport.size).to.be.above(5_000);
  });

  for (const drainMs of [0, 1_000, 15_000, 600_000]) {
    it(`has time for writes, for closing and for goodbyes in ${drainMs} ms`, () => {
      const { writesUntil, spreadMs, deadline } = computeDrainTimes(drainMs, 0);
      expect(deadline).to.equal(drainMs);
      expect(writesUntil + spreadMs).to.be.at.most(drainMs * 0.95);
      expect(spreadMs).to.be.at.most(5_000);
    });
  }
});
