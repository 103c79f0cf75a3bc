import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { expect } from 'chai';
import type { Namespace } from 'socket.io';
import type { Adapter } from 'socket.io-adapter';
import { BoundedPublisher, EchoFilter } from '../../../src/cluster/publisher.ts';
import type { RedisConnection } from '../../../src/cluster/redis-connection.ts';
import { createBusMessage } from '../../helpers/bus-nodes.ts';

/** Creates a publisher whose fake Redis answers only when the test allows it. */
function stage() {
  const onTheirWay: { resolve: (receivers: number) => void; reject: (error: Error) => void }[] = [];
  const lost: unknown[] = [];
  let recoveries = 0;
  const publisher = new BoundedPublisher(() => ({}) as RedisConnection, {
    onLost: (error) => void lost.push(error),
    onRecovered: () => void recoveries++,
  });
  const publish = (bytes: number) =>
    publisher.publish(bytes, () => new Promise((resolve, reject) => onTheirWay.push({ resolve, reject })));
  const publishDroppable = (bytes: number) =>
    publisher.publishDroppable(bytes, () => new Promise((resolve, reject) => onTheirWay.push({ resolve, reject })));
  return { publisher, publish, publishDroppable, onTheirWay, lost, recoveries: () => recoveries };
}

describe('BoundedPublisher', () => {
  it('drops and counts messages beyond the limit if Redis does not answer', async () => {
    const { publish, onTheirWay, lost } = stage();
    const results = Array.from({ length: 20_000 }, () => publish(100));
    expect(onTheirWay).to.have.lengthOf(5_000);
    expect(lost).to.have.lengthOf(15_000);
    for (const { reject } of onTheirWay.splice(0)) reject(new Error('gone'));
    await Promise.all(results);
    expect(lost).to.have.lengthOf(20_000);
    void publish(100);
    expect(onTheirWay, 'there is room again').to.have.lengthOf(1);
  });

  it('reports once that messages arrive again', async () => {
    const { publish, onTheirWay, recoveries } = stage();
    const results = [publish(1), publish(1), publish(1), publish(1)];
    for (const [n, { resolve, reject }] of onTheirWay.entries()) n < 2 ? reject(new Error('refused')) : resolve(1);
    await Promise.all(results);
    expect(recoveries()).to.equal(1);
  });

  it('limits the bytes of messages in flight, too', async () => {
    const { publish, onTheirWay, lost } = stage();
    const results = Array.from({ length: 100 }, () => publish(1024 * 1024));
    expect(onTheirWay).to.have.lengthOf(16);
    for (const { resolve } of onTheirWay.splice(0)) resolve(1);
    await Promise.all(results);
    expect(lost).to.have.lengthOf(84);
    void publish(1024 * 1024);
    expect(onTheirWay).to.have.lengthOf(1);
  });

  it('drops droppable messages long before others, and only counts those that it drops or loses', async () => {
    const { publisher, publish, publishDroppable, onTheirWay, lost } = stage();
    const results = Array.from({ length: 600 }, () => publishDroppable(100));
    expect(onTheirWay).to.have.lengthOf(500);
    results.push(publish(100));
    expect(onTheirWay, 'other messages are still published').to.have.lengthOf(501);
    for (const { reject } of onTheirWay.splice(0)) reject(new Error('gone'));
    await Promise.all(results);
    expect(publisher.dropped).to.equal(600);
    expect(lost).to.have.lengthOf(1);
    void publish(2 * 1024 * 1024);
    void publishDroppable(100);
    expect(publisher.dropped, 'because of the bytes in flight').to.equal(601);
  });

  it('never throws from publish, even if the connection throws', async () => {
    const lost: unknown[] = [];
    const publisher = new BoundedPublisher(
      () => {
        throw new Error('closed');
      },
      { onLost: (error) => void lost.push(error), onRecovered() {} },
    );
    expect(await publisher.publish(1, async () => 1)).to.equal(0);
    expect(lost).to.have.lengthOf(1);
  });
});

type Published = string | Buffer;

/** A server whose adapter publishes into an array, as it would to Redis. */
function server(kind: 'sharded' | 'classic', name = 'adapter of the tests') {
  const published: Published[] = [];
  const publish = async (_channel: string, message: Published) => published.push(message);
  const nothing = async () => {};
  const subscribing = { subscribe: nothing, pSubscribe: nothing, sSubscribe: nothing, on() {}, listenerCount: () => 1 };
  const redis = { ...subscribing, publish, sPublish: publish };
  const nsp = { name: '/', server: { encoder: { encode: () => [] } }, sockets: new Map() };
  const make = kind === 'sharded' ? createShardedAdapter : createAdapter;
  const adapter: Adapter = make(redis, redis)(nsp as unknown as Namespace);
  return {
    /** The payload for Redis of a message in a room. */
    async says(room: number, content: string, rev = 1): Promise<Published> {
      published.length = 0;
      const options = { rooms: new Set([`room:${room}`]), except: new Set<string>(), flags: {} };
      await adapter.broadcast({ type: 2, data: ['change', createBusMessage(room, rev, content)] } as never, options);
      expect(published, name).to.have.lengthOf(1);
      return published[0]!;
    },
    uid: (adapter as unknown as { uid: string }).uid,
  };
}

/** The payload as it arrives from Redis. */
const heard = (published: Published) => Buffer.from(published);

for (const kind of ['sharded', 'classic'] as const) {
  describe(`EchoFilter [${kind}]`, () => {
    it('recognizes all bus messages of this server after the first, and none of another server', async () => {
      const [own, other] = [server(kind), server(kind)];
      const mark = new EchoFilter();
      mark.recordPublished(await own.says(1, 'the first'));
      for (const [room, content] of [
        [1, 'the first'],
        [2, 'x'.repeat(70_000)],
        [123_456, ''],
      ] as const) {
        expect(mark.isEcho(heard(await own.says(room, content, room))), 'own').to.equal(true);
        expect(mark.isEcho(heard(await other.says(room, content, room))), 'of the other').to.equal(false);
      }
    });

    it('does not mistake the content of a message for the mark of a server', async () => {
      const [own, other] = [server(kind), server(kind)];
      const mark = new EchoFilter();
      const first = await own.says(1, 'the first');
      mark.recordPublished(first);
      const forgeries = [`,"uid":"${own.uid}","nsp":"/"}`, heard(first).toString('latin1'), own.uid];
      for (const content of forgeries) {
        expect(mark.isEcho(heard(await other.says(1, content)))).to.equal(false);
        // The content of the first message contains the mark as well. The filter must not confuse the two.
        const another = new EchoFilter();
        another.recordPublished(await other.says(1, content));
        expect(another.isEcho(heard(first))).to.equal(false);
        expect(another.isEcho(heard(await other.says(2, 'hello')))).to.equal(true);
      }
    });

    it('recognizes no bus message before the first, and no truncated message', async () => {
      const own = server(kind);
      const message = heard(await own.says(1, 'hello'));
      const mark = new EchoFilter();
      for (const beat of ['', Buffer.alloc(0)]) mark.recordPublished(beat);
      for (const one of [message, Buffer.alloc(0)]) expect(mark.isEcho(one)).to.equal(false);
      mark.recordPublished(await own.says(1, 'hello'));
      const cut = kind === 'sharded' ? message.subarray(0, -1) : message.subarray(1);
      for (const one of [cut, Buffer.alloc(0), Buffer.from('x')]) expect(mark.isEcho(one)).to.equal(false);
      expect(mark.isEcho(message)).to.equal(true);
    });
  });
}

describe('EchoFilter', () => {
  it('does not learn its mark from a request, which only other nodes answer', async () => {
    const mark = new EchoFilter();
    const request = JSON.stringify({ uid: 'own', requestId: 'one', type: 0, rooms: [] });
    mark.recordPublished(request);
    expect(mark.isEcho(Buffer.from(request))).to.equal(false);
  });

  it('compares the name of the server and not an equal field inside a message', () => {
    const mark = new EchoFilter();
    const message = (n: number, uid: string) =>
      `{"type":3,"data":{"n":0,"uid":"inside","of":${n}},"uid":"${uid}","nsp":"/"}`;
    mark.recordPublished(message(1, 'own'));
    mark.recordPublished(message(2, 'own'));
    expect(mark.isEcho(Buffer.from(message(3, 'own')))).to.equal(true);
    expect(mark.isEcho(Buffer.from(message(3, 'other')))).to.equal(false);
  });

  for (const order of [
    ['sharded', 'classic'],
    ['classic', 'sharded'],
  ] as const) {
    it(`recognizes its messages in both formats if ${order[0]} comes first`, async () => {
      const both = order.map((kind) => server(kind));
      const mark = new EchoFilter();
      for (const one of both) mark.recordPublished(await one.says(1, 'hello'));
      for (const one of both) expect(mark.isEcho(heard(await one.says(2, 'bye')))).to.equal(true);
    });
  }
});
