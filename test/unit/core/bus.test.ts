import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { createClient } from 'redis';
import { connectBusNodes, createBusMessage, subscribeIn } from '../../helpers/bus-nodes.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { sharedRedis, startRedis } from '../../helpers/redis.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

async function anybody(url: string) {
  const client = createClient({ url });
  client.on('error', () => {});
  await client.connect();
  closeLater(() => client.destroy());
  return client;
}

for (const adapter of ['sharded', 'classic'] as const) {
  describe(`RoomBus between nodes [${adapter}]`, () => {
    it('delivers the messages of a room to the other node in order, and not to listeners of other rooms', async () => {
      const [here, there] = await connectBusNodes(2, await sharedRedis(), adapter);
      const [heard, other] = [await subscribeIn(there!, 1, adapter), await subscribeIn(there!, 11, adapter)];
      const envelopes = Array.from({ length: 500 }, (_, n) => createBusMessage(1, n + 1));
      for (const envelope of envelopes) here!.bus.publish(envelope);
      await waitUntil('all are heard', () => heard.length >= envelopes.length);
      expect(heard).to.deep.equal(envelopes);
      expect(other).to.deep.equal([]);
    });

    it('calls listeners on the publishing node once, before publish returns', async () => {
      const [here, there] = await connectBusNodes(2, await sharedRedis(), adapter);
      const [own, heard] = [await subscribeIn(here!, 1, adapter), await subscribeIn(there!, 1, adapter)];
      here!.bus.publish(createBusMessage(1, 1));
      expect(own).to.have.lengthOf(1);
      await waitUntil('the other has heard', () => heard.length === 1);
      there!.bus.publish(createBusMessage(1, 2));
      await waitUntil('the fence is back', () => own.length === 2);
      expect(own.map((envelope) => 'rev' in envelope && envelope.rev)).to.deep.equal([1, 2]);
    });

    it('delivers signals over the bus to all other nodes', async () => {
      const nodes = await connectBusNodes(3, await sharedRedis(), adapter);
      const called = [0, 0, 0];
      for (const [n, { signals }] of nodes.entries()) signals.onSignal('revocations', () => void called[n]!++);
      // Signals are delivered at most once, and a new node may not be connected to all others yet.
      await waitUntil('both others are called', () => {
        nodes[0]!.signals.send('revocations');
        return called[1]! > 0 && called[2]! > 0;
      });
      expect(called[0]).to.equal(0);
    });

    it('separates services and prefixes that share one Redis', async () => {
      const url = await sharedRedis();
      const [here, there] = await connectBusNodes(2, url, adapter, { service: 'one' });
      const [stranger] = await connectBusNodes(1, url, adapter, { service: 'two' });
      const [other] = await connectBusNodes(1, url, adapter, { service: 'one', prefix: 'test2' });
      const ears = await Promise.all([there!, stranger!, other!].map((node) => subscribeIn(node, 1, adapter)));
      here!.bus.publish(createBusMessage(1, 1));
      await waitUntil('the right one has heard', () => ears[0]!.length === 1);
      for (const node of [stranger!, other!]) node.bus.publish(createBusMessage(1, 2));
      expect(ears.map((heard) => heard.length)).to.deep.equal([1, 1, 1]);
    });

    it('rejects and counts invalid bus messages, and continues to receive valid ones', async () => {
      const url = await sharedRedis();
      const service = randomBytes(6).toString('hex');
      const [here, there] = await connectBusNodes(2, url, adapter, { service });
      const heard = await subscribeIn(there!, 1, adapter);
      const unhandled: unknown[] = [];
      const note = (error: unknown) => void unhandled.push(error);
      process.on('unhandledRejection', note);
      closeLater(() => process.off('unhandledRejection', note));
      const client = await anybody(url);
      const packet = (data: unknown) => ({ type: 2, nsp: '/', data });
      const bodies = [null, 7, 'x'.repeat(5_000_000), {}, { ...createBusMessage(1, 1), rev: 'one' }];
      for (const body of bodies) await forged(packet(['change', body]));
      await forged(packet('no array'));
      await forged(packet(undefined));
      await waitUntil('they are counted', () => there!.rejected === bodies.length + 2);
      for (const garbage of [
        '',
        '{',
        '{}',
        'null',
        '{"type":3}',
        '{"type":5}',
        Buffer.from([0xc0]),
        '\xff\xff',
        Buffer.from([0x93, 1, 2]),
        randomBytes(9),
      ]) {
        await say(garbage);
      }
      here!.bus.publish(createBusMessage(1, 1));
      await waitUntil('the next one is heard', () => heard.length === 1);
      here!.bus.publish(createBusMessage(99, 1));
      await forged(packet(['change', createBusMessage(99, 1)]));
      here!.bus.publish(createBusMessage(1, 2));
      await waitUntil('so is what comes after a room nobody listens to', () => heard.length === 2);
      expect(there!.isUp).to.equal(true);
      expect(unhandled).to.deep.equal([]);

      async function say(body: string | Buffer): Promise<void> {
        const name = `test:${service}`;
        if (adapter === 'sharded') {
          for (const room of ['', 'room:1#', 'nodes#']) await client.sPublish(`${name}#/#${room}`, body as string);
        } else {
          for (const room of ['', 'room:1#', 'nodes#']) await client.publish(`${name}#/#${room}`, body as string);
          for (const kind of ['request', 'response']) await client.publish(`${name}-${kind}#/#`, body as string);
        }
      }

      async function forged(one: unknown): Promise<void> {
        const opts = { rooms: ['room:1'], except: [], flags: {} };
        const name = `test:${service}#/#room:1#`;
        if (adapter === 'sharded') {
          const data = { packet: one, opts };
          await client.sPublish(name, JSON.stringify({ uid: 'nobody', nsp: '/', type: 3, data }));
        } else {
          const { encode } = await import('notepack.io' as string);
          await client.publish(name, encode(['nobody', one, opts]));
        }
      }
    });

    it('reports rooms with possibly missed messages: a newly subscribed room, and all rooms after a reconnect', async () => {
      const redis = await startRedis();
      const [node] = await connectBusNodes(1, redis.url, adapter);
      if (adapter === 'sharded') {
        node!.missed.length = 0;
        for (const room of [1, 2, 3]) node!.bus.subscribe(room, () => {});
        await waitUntil('the rooms are named', () => node!.missed.flat().length === 3);
        expect(node!.missed.flat()).to.have.members([1, 2, 3]);
      }
      await redis.kill();
      await waitUntil('it is down', () => !node!.isUp);
      node!.missed.length = 0;
      await redis.start();
      await waitUntil('it is up', () => node!.isUp);
      expect(node!.missed).to.deep.include('all');
    });
  });
}
