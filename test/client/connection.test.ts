import { EventEmitter } from 'node:events';
import { type AddressInfo, createServer, connect as dial } from 'node:net';
import { expect } from 'chai';
import type { RoomState } from '../../src/client/client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { createClient, expectNoGaps, getRejection, recordMessages, toContents } from '../helpers/client.ts';
import { describeOneWiring, postgres, startNode } from '../helpers/node.ts';
import { createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const upTo = (last: number, name = '') => Array.from({ length: last }, (_, n) => `${name}${n + 1}`);

describeOneWiring('the client on a failing connection', ({ url }) => {
  /** A client that has joined a room through its own proxy. */
  async function joinOverProxy(transports: ('websocket' | 'polling')[] = ['websocket'], timeouts = {}) {
    const { owner, room } = await createRoomWithOwner(url());
    const proxy = await nodeProxy(url());
    const client = createClient(proxy.url, owner, { transports, timeouts });
    const clientRoom = client.room(room.id);
    await clientRoom.joined();
    const states: RoomState[] = [];
    clientRoom.on('state', (state) => void states.push(state));
    return { owner, room, proxy, client, clientRoom, states };
  }

  const stored = async (owner: { token: string }, room: { id: number }) => {
    const socket = await socketClient(url(), owner);
    const { messages } = await socket.request('message:history', { room_id: room.id, limit: 500 });
    return messages.map(({ content }: { content: string }) => content);
  };

  for (const transport of ['websocket', 'polling'] as const) {
    it(`sends and receives each message once over ${transport} although the connection is cut four times`, async () => {
      const { owner, room, proxy, clientRoom, states } = await joinOverProxy([transport]);
      const received = recordMessages(clientRoom);
      const mine = upTo(30, 'mine ');
      const sent = mine.map((content) => clientRoom.send(content));
      for (let cut = 1; cut <= 4; cut++) {
        await waitUntil('more messages are sent', () => sent.filter(({ state }) => state === 'sent').length >= cut * 4);
        proxy.cut();
        await waitUntil('the connection is lost', () => clientRoom.state === 'reconnecting');
        await sendMessages(url(), owner, room, `theirs ${cut}`);
        proxy.restore();
        await clientRoom.joined();
      }
      await Promise.all(sent.map(({ confirmed }) => confirmed));
      await waitUntil('all messages have arrived', () => clientRoom.messages.length === 34);
      expectNoGaps(clientRoom);
      expect(received)
        .to.deep.equal(toContents(clientRoom))
        .and.to.deep.equal(await stored(owner, room));
      expect(received.filter((content) => content.startsWith('mine'))).to.deep.equal(mine);
      expect(states.slice(0, 3)).to.deep.equal(['reconnecting', 'joining', 'joined']);
    });
  }

  for (const transport of ['websocket', 'polling'] as const) {
    it(`fails a message over ${transport} that exceeds the frame limit, and sends the next one`, async () => {
      const { owner, room, clientRoom } = await joinOverProxy([transport]);
      const large = clientRoom.send('x'.repeat(80_000));
      const next = clientRoom.send('next');
      expect(await getRejection(large.confirmed)).to.include({ code: 'TOO_LARGE' });
      await next.confirmed;
      expect(await stored(owner, room)).to.deep.equal(['next']);
      expect(clientRoom.outbox.map(({ state }) => state)).to.deep.equal(['failed']);
    });
  }

  it('becomes unauthorized if socket.io-client rejects its transport', async () => {
    const { owner } = await createRoomWithOwner(url());
    const client = createClient(url(), owner, { transports: ['pigeon' as 'polling'] });
    await waitUntil('the client gives up', () => client.state === 'unauthorized');
  });

  it('opens a single connection, even if a listener calls connect() when the previous connection is lost', async () => {
    const node = await startNode(postgres);
    const { owner, room } = await createRoomWithOwner(node.url);
    const proxy = await nodeProxy(node.url);
    const client = createClient(proxy.url, owner, { transports: ['websocket'] });
    const clientRoom = client.room(room.id);
    await clientRoom.joined();
    clientRoom.on('state', (state) => {
      if (state === 'reconnecting') client.connect();
    });
    for (let round = 0; round < 3; round++) {
      const gone = new Promise<void>((resolve) => {
        const stop = clientRoom.on('state', (state) => {
          if (state !== 'reconnecting') return;
          stop();
          resolve();
        });
      });
      proxy.cut();
      await gone;
      proxy.restore();
      await clientRoom.joined();
    }
    await clientRoom.send('one').confirmed;
    client.close();
    await waitUntil('no connection is left', async () =>
      /^nano_messaging_connections\{transport="socketio"\} 0$/m.test(await (await fetch(`${node.url}/metrics`)).text()),
    );
  });

  it('stores a message once although the answer to it is lost', async () => {
    const { owner, room, proxy, clientRoom } = await joinOverProxy();
    proxy.loseNextResponse();
    const outgoing = clientRoom.send('once');
    await waitUntil('the connection is lost', () => clientRoom.state === 'reconnecting');
    expect(outgoing.state).to.equal('pending');
    expect(await stored(owner, room)).to.deep.equal(['once']);
    expect(await outgoing.confirmed).to.include({ seq: 1, content: 'once' });
    await clientRoom.send('and then').confirmed;
    expect(await stored(owner, room)).to.deep.equal(['once', 'and then']);
    expect(toContents(clientRoom)).to.deep.equal(['once', 'and then']);
  });

  it('repeats a request on the same connection if no answer arrives in time', async () => {
    const { owner, room, proxy, client, clientRoom } = await joinOverProxy(['websocket'], { answerMs: 150 });
    const requests: string[] = [];
    client.on('frame', ({ direction, name }) => direction === 'out' && void requests.push(name));
    proxy.holdRequests();
    const outgoing = clientRoom.send('repeated');
    await waitUntil('the request is repeated', () => requests.length >= 3);
    proxy.restore();
    await outgoing.confirmed;
    expect(new Set(requests)).to.deep.equal(new Set(['message:send']));
    expect(await stored(owner, room)).to.deep.equal(['repeated']);
  });

  it('reports UNREACHABLE while it is disconnected, and then joins a room that was requested meanwhile', async () => {
    const { owner, room, proxy, client, clientRoom } = await joinOverProxy();
    await Promise.all(upTo(101).map((content) => sendMessages(url(), owner, room, content)));
    const fresh = createClient(proxy.url, owner).room(room.id);
    await fresh.joined();
    const errors: string[] = [];
    client.on('error', ({ code }) => void errors.push(code));
    proxy.cut();
    await waitUntil('the client has retried', () => errors.length >= 3 && fresh.state === 'reconnecting');
    expect(new Set(errors)).to.deep.equal(new Set(['UNREACHABLE']));
    expect(client.state).to.equal('connecting');
    expect((await getRejection(fresh.loadOlder())).code).to.equal('UNREACHABLE');
    const elsewhere = client.room(room.uuid);
    proxy.restore();
    await Promise.all([elsewhere.joined(), fresh.joined(), clientRoom.joined()]);
    expect(await fresh.loadOlder()).to.have.length(1);
    expect(toContents(clientRoom)).to.deep.equal(toContents(fresh));
  });

  it('resets a room to the latest page if it missed more than the server replays', async () => {
    const { owner, room, proxy, clientRoom } = await joinOverProxy();
    await sendMessages(url(), owner, room, 'before');
    await waitUntil('the message arrives', () => clientRoom.rev === 1);
    proxy.cut();
    await waitUntil('the connection is lost', () => clientRoom.state === 'reconnecting');
    const pending = clientRoom.send('written offline');
    const received = recordMessages(clientRoom);
    const shownAtReset: string[][] = [];
    clientRoom.on('reset', () => void shownAtReset.push(toContents(clientRoom)));
    const socket = await socketClient(url(), owner);
    await Promise.all(upTo(501).map((content) => socket.request('message:send', { room_id: room.id, content })));
    expect(toContents(clientRoom)).to.deep.equal(['before']);
    proxy.restore();
    await clientRoom.joined();
    await pending.confirmed;
    await waitUntil('its own message is shown', () => clientRoom.messages.at(-1)?.content === 'written offline');
    expect(shownAtReset).to.have.length(1);
    expect(shownAtReset[0]).to.deep.equal(upTo(501).slice(-100));
    expect(received).to.deep.equal(['written offline']);
    expect(clientRoom.hasOlder).to.equal(true);
    while (clientRoom.hasOlder) await clientRoom.loadOlder(500);
    expect(toContents(clientRoom)).to.deep.equal(['before', ...upTo(501), 'written offline']);
    expectNoGaps(clientRoom);
  });

  it('reconnects at once when the browser emits online', async () => {
    const page = installPage();
    const timeouts = { backoffMs: 600_000, maxBackoffMs: 600_000 };
    const { proxy, client, clientRoom } = await joinOverProxy(['websocket'], timeouts);
    proxy.cut();
    await waitUntil('the connection is lost', () => clientRoom.state === 'reconnecting');
    proxy.restore();
    page.emit('online');
    await clientRoom.joined();
    client.close();
    expect(page.listenerCount('online') + page.listenerCount('visibilitychange')).to.equal(0);
  });

  it('has a new connection 3 s after the page became visible with a dead one', async () => {
    const page = installPage();
    const { owner, room, proxy, client, clientRoom } = await joinOverProxy();
    const received = recordMessages(clientRoom);
    const requests: string[] = [];
    client.on('frame', ({ direction, name }) => direction === 'out' && void requests.push(name));
    proxy.dropTrafficOfOpenConnections();
    await sendMessages(url(), owner, room, 'unseen');
    page.visibilityState = 'hidden';
    page.emit('visibilitychange');
    expect(requests).to.deep.equal([]);
    page.visibilityState = 'visible';
    const start = performance.now();
    page.emit('visibilitychange');
    // The heartbeat would take longer.
    await waitUntil('the missed message arrives', () => received.length === 1, 20_000);
    expect(performance.now() - start).to.be.at.least(2_900);
    expect(requests).to.deep.equal(['connection:check', 'room:join']);
  });

  it('opens a WebSocket if it has just lost one, and begins with long polling if that fails', async () => {
    const { proxy, client, clientRoom } = await joinOverProxy(['polling', 'websocket']);
    const isUpgraded = () => proxy.requestLines.some((line) => line.includes('transport=websocket'));
    await waitUntil('the connection is upgraded', isUpgraded);
    // Its first answer over the WebSocket ends the upgrade.
    await waitUntil('long polling has ended', async () => {
      const before = proxy.requestLines.length;
      await clientRoom.send('which transport?').confirmed;
      return proxy.requestLines.length === before;
    });
    const reconnect = async (failures: number) => {
      const errors: string[] = [];
      client.on('error', ({ code }) => void errors.push(code));
      proxy.requestLines.length = 0;
      proxy.cut();
      await waitUntil('the connection is lost', () => errors.length > failures);
      proxy.restore();
      await clientRoom.joined();
      return proxy.requestLines[0];
    };
    expect(await reconnect(0)).to.include('transport=websocket');
    expect(await reconnect(2)).to.include('transport=polling');
  });

  it('keeps its connection when the page becomes visible and the service answers', async () => {
    const page = installPage();
    const { client, clientRoom, states } = await joinOverProxy();
    const frames: string[] = [];
    client.on('frame', ({ direction, name }) => void frames.push(`${direction} ${name}`));
    for (const event of ['visibilitychange', 'pageshow', 'online']) page.emit(event);
    client.connect();
    await waitUntil('the check is answered', () => frames.length >= 2);
    await clientRoom.send('fence').confirmed;
    expect(frames.slice(0, 3)).to.deep.equal(['out connection:check', 'in connection:check', 'out message:send']);
    expect(states).to.deep.equal([]);
  });
});

/** The globals of a browser. They are removed after the test. */
function installPage() {
  const page = Object.assign(new EventEmitter(), { visibilityState: 'visible' });
  const listening = { addEventListener: page.on.bind(page), removeEventListener: page.off.bind(page) };
  const globals = { ...listening, document: Object.assign(page, listening) };
  Object.assign(globalThis, globals);
  closeLater(() => {
    for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name);
  });
  return page;
}

describe('the client on a connection that is dead but not closed', function () {
  this.timeout(60_000);

  /** A proxy that changes the service's `pingTimeout` of 20 s to 1 s, to shorten the test. */
  async function shortenPingTimeout(url: string): Promise<string> {
    const proxyServer = createServer((client) => {
      const upstream = dial(Number(new URL(url).port), '127.0.0.1');
      client.pipe(upstream);
      upstream.on('data', (data: Buffer) => {
        client.write(data.toString('latin1').replace('"pingTimeout":20000', '"pingTimeout":1000 '), 'latin1');
      });
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        one.on('error', () => other.destroy()).on('close', () => other.destroy());
      }
    });
    await new Promise<void>((resolve) => proxyServer.listen(0, '127.0.0.1', resolve));
    closeLater(() => proxyServer.close());
    return `http://127.0.0.1:${(proxyServer.address() as AddressInfo).port}`;
  }

  it('detects a dead connection by the heartbeat, and sends its pending message on the next connection', async () => {
    const { url } = await startNode(postgres, {}, (config) => ({ ...config, pingIntervalMs: 300 }));
    const { owner, room } = await createRoomWithOwner(url);
    const proxy = await nodeProxy(await shortenPingTimeout(url));
    const client = createClient(proxy.url, owner, { transports: ['websocket'], timeouts: { answerMs: 60_000 } });
    const clientRoom = client.room(room.id);
    await clientRoom.joined();
    const errors: string[] = [];
    client.on('error', ({ message }) => void errors.push(message));
    proxy.dropTrafficOfOpenConnections();
    const outgoing = clientRoom.send('into the void');
    await waitUntil('the message is sent', () => outgoing.state === 'sent', 15_000);
    expect(errors).to.include('ping timeout');
    expect(await outgoing.confirmed).to.include({ seq: 1 });
  });
});
