import { expect } from 'chai';
import { closeInSlices, computeDrainTimes, drainServer } from '../../src/shutdown.ts';
import { onFakeClock } from '../helpers/fake-clock.ts';

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

const minute = 60_000;

describe('the connections of a draining node', () => {
  for (const [many, few] of [
    [3_000, 10],
    [50_000, 500],
  ] as const) {
    it(`closes ${many + few} connections of two transports evenly over the drain time`, async () => {
      const transports = [connections(many), connections(few)] as const;
      expect(await onFakeClock(() => closeInSlices([...transports], 600, minute))).to.equal(600);
      expect(transports.map(({ size }) => size)).to.deep.equal([0, 0]);
      const [first, second] = transports.map(({ slices }) => slices);
      const slices = first!.map((closed, n) => closed + second![n]!);
      expect(slices.pop(), 'nothing is left').to.equal(0);
      expect(slices).to.have.length(12);
      for (const closed of slices) expect(closed).to.be.closeTo((many + few) / 12, 1);
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

  it('closes 20 connections at once, although 5 s are allowed', async () => {
    const transport = connections(20);
    expect(await onFakeClock(() => closeInSlices([transport], 5_000, minute))).to.equal(50);
    expect(transport.slices).to.deep.equal([20, 0]);
  });

  it('finishes at once if there are no connections to close', async () => {
    expect(await onFakeClock(() => closeInSlices([connections(0)], 5_000, minute))).to.equal(0);
  });

  it('stops closing connections at the deadline', async () => {
    const transport = connections(10_000);
    expect(await onFakeClock(() => closeInSlices([transport], 5_000, 200))).to.equal(200);
    expect(transport.slices).to.deep.equal([100, 100, 100, 100]);
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
