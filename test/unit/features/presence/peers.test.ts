import { expect } from 'chai';
import type { EphemeralBus, EphemeralListener } from '../../../../src/core/ephemeral.ts';
import { Peers } from '../../../../src/features/presence/peers.ts';
import { closeLater } from '../../../helpers/cleanup.ts';
import { onFakeClock } from '../../../helpers/fake-clock.ts';
import { waitUntil } from '../../../helpers/wait-until.ts';

const room = 7;
const uuidOf = (n: number) => `00000000-0000-4000-8000-00000000000${n}`;
const timeouts = { aliveMs: 30, deadMs: 150, byeMs: 20, retryMs: 20 };

/** Nodes that send to each other through this process; `isLost` says which messages do not arrive. */
function createNetwork() {
  const listeners = new Map<string, EphemeralListener>();
  const network = { isLost: (_kind: string, _to: string) => false, delivered: [] as string[] };

  function addNode(node: string, isUp = true) {
    let users: string[] = [];
    const changes: number[] = [];
    const bus: EphemeralBus = {
      ...{ node, isUp, onUp: () => () => {}, leaveNodes: () => {} },
      publish(_topic, to, body) {
        const targets = to === 'all' ? [...listeners.keys()] : 'node' in to ? [to.node] : [];
        for (const target of targets.filter((name) => name !== node)) {
          const { kind } = body as { kind: string };
          if (network.isLost(kind, target)) continue;
          setImmediate(() => {
            listeners.get(target)?.(JSON.parse(JSON.stringify(body)), node);
            network.delivered.push(`${node} ${kind} ${target}`);
          });
        }
      },
      subscribe(_topic, listener) {
        listeners.set(node, listener);
        return () => void listeners.delete(node);
      },
      countNodes: async () => listeners.size,
    };
    const peers = new Peers({
      ...{ bus, timeouts, onPublished: () => {} },
      readOwn: () => ({ count: users.length, users }),
      onChange: (changed) => void changes.push(changed),
    });
    closeLater(() => peers.close());
    return {
      ...{ peers, changes },
      setUsers(...now: number[]) {
        users = now.map(uuidOf);
        peers.publish(room);
      },
      /** What this node knows about the users of the other nodes. */
      list: () => peers.listStates(room).flatMap((state) => state.users!),
      die: () => {
        listeners.delete(node);
        bus.publish = () => {};
      },
    };
  }
  /** Delivers a message as if it came from that node. */
  const inject = (to: string, from: string, body: object) => listeners.get(to)!(body, from);
  return Object.assign(network, { addNode, inject });
}

/** On a busy machine, the short timeouts would otherwise end before messages arrive. */
const itOnFakeClock = (title: string, test: () => Promise<void>) =>
  it(title, async () => void (await onFakeClock(test)));

describe('Peers', () => {
  itOnFakeClock('knows the users of all nodes after it has asked, and each later change', async () => {
    const { addNode } = createNetwork();
    const [a, b, c] = [addNode('a'), addNode('b'), addNode('c')];
    b.setUsers(1);
    a.peers.watch(room);
    expect(a.peers.isComplete(room)).to.equal(false);
    await waitUntil('all have answered', () => a.peers.isComplete(room));
    expect(a.list()).to.deep.equal([uuidOf(1)]);
    c.setUsers(2);
    b.setUsers();
    await waitUntil('the changes have arrived', () => a.list().join() === uuidOf(2));
  });

  itOnFakeClock('sends nothing about a room that nobody watches, or watches any more', async () => {
    const network = createNetwork();
    const [a, b] = [network.addNode('a'), network.addNode('b')];
    await waitUntil('they have met', () => network.delivered.includes('b alive a'));
    b.setUsers(1);
    a.peers.watch(room);
    await waitUntil('all have answered', () => a.peers.isComplete(room));
    a.peers.unwatch(room);
    b.setUsers(2);
    await waitUntil('b knows', () => !b.peers.hasWatchers(room));
    const states = () => network.delivered.filter((message) => message === 'b states a').length;
    const before = states();
    b.setUsers(3);
    b.peers.watch(room);
    await waitUntil('the fence has arrived', () => b.peers.isComplete(room));
    expect(states()).to.equal(before);
  });

  itOnFakeClock('asks again if a question or its answer is lost', async () => {
    const network = createNetwork();
    const [a, b] = [network.addNode('a'), network.addNode('b')];
    b.setUsers(1);
    await waitUntil('they have met', () => network.delivered.includes('b alive a'));
    let lost = 0;
    network.isLost = (kind) => (kind === 'watch' || kind === 'states') && lost++ < 3;
    a.peers.watch(room);
    await waitUntil('it has answered', () => a.peers.isComplete(room));
    expect(lost).to.be.above(3);
    expect(a.list()).to.deep.equal([uuidOf(1)]);
  });

  itOnFakeClock('notices that a change was lost, and asks again', async () => {
    const network = createNetwork();
    const [a, b] = [network.addNode('a'), network.addNode('b')];
    a.peers.watch(room);
    await waitUntil('it has answered', () => a.peers.isComplete(room));
    network.isLost = (kind, to) => kind === 'states' && to === 'a';
    b.setUsers(1);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    network.isLost = () => false;
    expect(a.list()).to.deep.equal([]);
    await waitUntil('it has repaired the loss', () => a.list().length === 1);
  });

  itOnFakeClock('asks again if a node has taken it for dead and forgotten its questions', async () => {
    const network = createNetwork();
    const [a, b] = [network.addNode('a'), network.addNode('b')];
    a.peers.watch(room);
    await waitUntil('it has answered', () => a.peers.isComplete(room));
    network.delivered.length = 0;
    const alive = () => network.delivered.filter((message) => message === 'b alive a').length;
    await waitUntil('the node has told how much it has sent', () => alive() >= 2);
    network.isLost = (_kind, to) => to === 'b';
    await waitUntil('it is taken for dead', () => !b.peers.hasWatchers(room));
    network.delivered.length = 0;
    await waitUntil('the node has told that it has forgotten it', () => alive() >= 2);
    network.isLost = () => false;
    b.setUsers(1);
    await waitUntil('it knows the change', () => a.list().length === 1);
  });

  itOnFakeClock('ignores a state that is older than the one that it knows', async () => {
    const network = createNetwork();
    const [a, b] = [network.addNode('a'), network.addNode('b')];
    a.peers.watch(room);
    await waitUntil('it has answered', () => a.peers.isComplete(room));
    b.setUsers(1);
    await waitUntil('the change has arrived', () => a.list().length === 1);
    network.inject('a', 'b', { kind: 'states', states: [{ room_id: room, counter: 1, count: 0, users: [] }] });
    expect(a.list()).to.deep.equal([uuidOf(1)]);
    network.inject('a', 'b', { kind: 'states', states: [{ room_id: room, counter: 1e9, count: 0, users: [] }] });
    expect(a.list(), 'the same with a later counter').to.deep.equal([]);
  });

  itOnFakeClock('forgets the users of a dead node, and of one that ends', async () => {
    const network = createNetwork();
    const [a, b, c] = [network.addNode('a'), network.addNode('b'), network.addNode('c')];
    b.setUsers(1);
    c.setUsers(2);
    a.peers.watch(room);
    await waitUntil('all have answered', () => a.peers.isComplete(room));
    expect(a.list()).to.have.members([uuidOf(1), uuidOf(2)]);
    const diedAt = performance.now();
    b.die();
    c.peers.close();
    await waitUntil('the user of the ended node is gone', () => a.list().join() === uuidOf(1));
    await waitUntil('the user of the dead node is gone', () => a.list().length === 0);
    expect(performance.now() - diedAt).to.be.at.least(timeouts.deadMs - timeouts.aliveMs - 10);
    await waitUntil('it is complete without them', () => a.peers.isComplete(room));
  });

  itOnFakeClock(
    'keeps the users of a node that ends only until they could reconnect, whatever it still sends',
    async () => {
      const network = createNetwork();
      const [a, b] = [network.addNode('a'), network.addNode('b')];
      b.setUsers(1);
      a.peers.watch(room);
      await waitUntil('it has answered', () => a.peers.isComplete(room));
      const endedAt = performance.now();
      b.peers.close();
      b.setUsers(1, 2);
      await waitUntil('the late state has arrived', () => a.list().length === 2);
      await waitUntil('its users are gone', () => a.list().length === 0);
      expect(performance.now() - endedAt).to.be.within(timeouts.byeMs, timeouts.deadMs / 2);
    },
  );

  itOnFakeClock('asks a node that starts later about the rooms that it watches already', async () => {
    const network = createNetwork();
    const a = network.addNode('a');
    a.peers.watch(room);
    await waitUntil('it is complete', () => a.peers.isComplete(room));
    const late = network.addNode('b');
    late.setUsers(1);
    await waitUntil('it has answered', () => a.list().length === 1);
  });

  itOnFakeClock('is never complete while other nodes cannot be reached', async () => {
    const network = createNetwork();
    const a = network.addNode('a', false);
    a.peers.watch(room);
    await new Promise((resolve) => setTimeout(resolve, 3 * timeouts.aliveMs));
    expect(a.peers.isComplete(room)).to.equal(false);
  });
});
