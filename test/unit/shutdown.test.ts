import { expect } from 'chai';
import { closeInSlices, computeDrainTimes, drainServer } from '../../src/shutdown.ts';

/** Connections that close at once. Records how many closed in each slice. */
function connections(size: number) {
  const slices: number[] = [];
  return {
    slices,
    size,
    closeUpTo(max: number) {
      const closed = Math.min(max, this.size);
      this.size -= closed;
      slices.push(closed);
      return closed;
    },
  };
}

const inAMinute = () => Date.now() + 60_000;

describe('the connections of a draining node', () => {
  for (const [many, few] of [
    [3_000, 10],
    [50_000, 500],
  ] as const) {
    it(`closes ${many + few} connections of two transports evenly over the drain time`, async () => {
      const transports = [connections(many), connections(few)];
      const begin = Date.now();
      await closeInSlices(transports, 600, inAMinute());
      expect(Date.now() - begin).to.be.within(450, 1_200);
      expect(transports.map(({ size }) => size)).to.deep.equal([0, 0]);
      // The slices are even, with a tolerance for a busy machine.
      expect(Math.max(...transports.flatMap(({ slices }) => slices))).to.be.below((many + few) / 3);
    });
  }

  it('closes no connection before all clients have been asked to reconnect', async () => {
    const steps: string[] = [];
    const transport = connections(1);
    const closeUpTo = transport.closeUpTo.bind(transport);
    transport.closeUpTo = (max) => {
      steps.push('close');
      return closeUpTo(max);
    };
    await drainServer({
      drainTimeoutMs: 60_000,
      queue: { size: 0, settled: async () => {} },
      transports: [transport],
      async notifyClients() {
        await new Promise((resolve) => setTimeout(resolve, 30));
        steps.push('asked');
      },
      finishRequests: async () => {},
      close: async () => {},
    });
    expect(steps.slice(0, 2)).to.deep.equal(['asked', 'close']);
  });

  it('closes 20 connections within a second, although 5 s are allowed', async () => {
    const transport = connections(20);
    const begin = Date.now();
    await closeInSlices([transport], 5_000, inAMinute());
    expect(transport.slices).to.deep.equal([20, 0]);
    expect(Date.now() - begin).to.be.below(1_000);
  });

  it('finishes at once if there are no connections to close', async () => {
    const begin = Date.now();
    await closeInSlices([connections(0)], 5_000, inAMinute());
    expect(Date.now() - begin).to.be.below(40);
  });

  it('stops closing connections at the deadline', async () => {
    const transport = connections(10_000);
    await closeInSlices([transport], 5_000, Date.now() + 200);
    expect(transport.size).to.be.above(5_000);
  });

  for (const drainMs of [0, 1_000, 15_000, 600_000]) {
    it(`divides a drain time of ${drainMs} ms among writes, closing connections and a reserve`, () => {
      const { writesUntil, spreadMs, deadline } = computeDrainTimes(drainMs, 0);
      expect(deadline).to.equal(drainMs);
      expect(writesUntil + spreadMs).to.be.at.most(drainMs * 0.95);
      expect(spreadMs).to.be.at.most(5_000);
    });
  }
});
