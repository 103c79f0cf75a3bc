import { expect } from 'chai';
import { type BusNode, connectBusNode, connectBusNodes, createBusMessage, subscribeIn } from '../helpers/bus-nodes.ts';
import { itWithBothAdapters } from '../helpers/node-pair.ts';
import { sharedRedis, startRedis } from '../helpers/redis.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const room = 7;

/** The bodies that a node receives of a topic, each with its sender. */
function receive(node: BusNode, topic = 'test'): [body: unknown, from: string][] {
  const received: [unknown, string][] = [];
  node.ephemeral.subscribe(topic, (body, from) => void received.push([body, from]));
  return received;
}

describe('The ephemeral bus', () => {
  itWithBothAdapters('reaches the nodes that serve a room, one node or all, and never the sender', async (adapter) => {
    const nodes = await connectBusNodes(3, await sharedRedis(), adapter);
    const [a, b, c] = nodes as [BusNode, BusNode, BusNode];
    for (const node of [a, b]) await subscribeIn(node, room, adapter);
    const [ofA, ofB, ofC] = [receive(a), receive(b), receive(c)];
    const from = a.ephemeral.node;
    a.ephemeral.publish('test', { room }, { n: 1 });
    a.ephemeral.publish('test', { room: room + 1 }, { n: 2 });
    a.ephemeral.publish('test', { node: b.ephemeral.node }, { n: 3 });
    a.ephemeral.publish('another topic', 'all', { n: 4 });
    a.ephemeral.publish('test', 'all', { n: 5 });
    await waitUntil('both have received the last', () => ofB.length === 3 && ofC.length === 1);
    expect(ofB).to.have.deep.members([1, 3, 5].map((n) => [{ n }, from]));
    expect(ofC).to.deep.equal([[{ n: 5 }, from]]);
    expect(ofA).to.deep.equal([]);
  });

  itWithBothAdapters('is ignored in silence by a node that does not listen to the topic', async (adapter) => {
    const [a, b] = (await connectBusNodes(2, await sharedRedis(), adapter)) as [BusNode, BusNode];
    const changes = await subscribeIn(b, room, adapter);
    await subscribeIn(a, room, adapter);
    const missed = b.missed.length;
    for (const to of [{ room }, { node: b.ephemeral.node }, 'all'] as const) a.ephemeral.publish('test', to, {});
    a.bus.publish(createBusMessage(room, 1));
    await waitUntil('the fence has arrived', () => changes.length > 0);
    expect(changes.map(({ kind }) => kind)).to.deep.equal(['message']);
    expect(b.rejected).to.equal(0);
    expect(b.missed.length).to.equal(missed);
  });

  itWithBothAdapters('loses messages while Redis is unreachable, and triggers no reconciliation', async (adapter) => {
    const redis = await startRedis();
    const proxy = await tcpProxy('127.0.0.1', redis.port);
    const settings = { urls: [`redis://127.0.0.1:${proxy.port}`], adapter, prefix: 'test' };
    const near = await connectBusNode(settings, 'service');
    const far = await connectBusNode({ ...settings, urls: [redis.url] }, 'service');
    for (const node of [near, far]) await waitUntil('the bus is up', () => node.isUp);
    const received = receive(far);
    const missed = far.missed.length;
    await proxy.cut();
    await waitUntil('the bus is down', () => !near.isUp);
    near.ephemeral.publish('test', 'all', { n: 1 });
    await waitUntil('it is counted', () => near.droppedPublishes === 1);
    expect(near.lost).to.equal(0);
    proxy.restore();
    await waitUntil('the bus is up', () => near.isUp, 15_000);
    near.ephemeral.publish('test', 'all', { n: 2 });
    await waitUntil('the fence has arrived', () => received.length > 0);
    expect(received.map(([body]) => body)).to.deep.equal([{ n: 2 }]);
    expect(far.missed.length).to.equal(missed);
  });

  itWithBothAdapters('counts the running nodes, and forgets one that leaves', async (adapter) => {
    const [a, b] = (await connectBusNodes(2, await sharedRedis(), adapter)) as [BusNode, BusNode];
    expect(await a.ephemeral.countNodes(20_000)).to.equal(1);
    expect(await b.ephemeral.countNodes(20_000)).to.equal(2);
    expect(await a.ephemeral.countNodes(20_000)).to.equal(2);
    b.ephemeral.leaveNodes();
    await waitUntil('it has left', async () => (await a.ephemeral.countNodes(20_000)) === 1);
  });
});
