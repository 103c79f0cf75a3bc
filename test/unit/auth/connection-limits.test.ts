import { expect } from 'chai';
import { createConnectionLimits } from '../../../src/auth/connection-limits.ts';
import type { ConnectionLeases } from '../../../src/cluster/shared-limits.ts';

const ana = '00000000-0000-4000-8000-00000000000a';
const ben = '00000000-0000-4000-8000-00000000000b';

/** The leases of other nodes; undefined if Redis does not answer. */
function createLeases(connected: ReadonlySet<string> | undefined) {
  const calls: string[] = [];
  const leases: ConnectionLeases = {
    async acquire(user, _holder, max) {
      calls.push(`acquire ${user} ${max}`);
      return 'unknown';
    },
    release: (user) => void calls.push(`release ${user}`),
    async findConnected(users) {
      calls.push(`find ${users.join()}`);
      return connected;
    },
  };
  return { leases, calls };
}

const unlimited = { unauthenticatedConnections: 0, connectionsPerUser: 0 };

describe('ConnectionLimits', () => {
  it('knows which users are connected to the only node', async () => {
    const limits = createConnectionLimits(unlimited);
    const first = await limits.admit(ana);
    const second = await limits.admit(ana);
    const find = async () => [...(await limits.findConnected([ana, ben]))];
    expect(await find()).to.deep.equal([
      [ana, true],
      [ben, false],
    ]);
    first.release();
    first.release();
    expect((await find())[0]).to.deep.equal([ana, true]);
    second.release();
    expect((await find())[0]).to.deep.equal([ana, false]);
  });

  it('asks Redis only for the users who are not connected to this node', async () => {
    const { leases, calls } = createLeases(new Set([ben]));
    const limits = createConnectionLimits(unlimited, leases);
    await limits.admit(ana);
    expect([...(await limits.findConnected([ana, ben]))]).to.deep.equal([
      [ana, true],
      [ben, true],
    ]);
    await limits.findConnected([ana]);
    expect(calls.slice(1)).to.deep.equal([`find ${ben}`]);
  });

  it('does not know who is connected elsewhere while Redis does not answer', async () => {
    const limits = createConnectionLimits(unlimited, createLeases(undefined).leases);
    await limits.admit(ana);
    expect([...(await limits.findConnected([ana, ben]))]).to.deep.equal([
      [ana, true],
      [ben, null],
    ]);
  });

  it('holds a lease for each connection also without a limit', async () => {
    const { leases, calls } = createLeases(undefined);
    const admission = await createConnectionLimits(unlimited, leases).admit(ana);
    admission.release();
    expect(calls).to.deep.equal([`acquire ${ana} 0`, `release ${ana}`]);
  });
});
