import { expect } from 'chai';
import { closeLater } from '../helpers/cleanup.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { PollingSession, splitPackets } from '../helpers/polling-session.ts';
import { RawWebSocket } from '../helpers/raw-web-socket.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser } from '../helpers/users.ts';

const engine = '/socket.io/?EIO=4&transport=websocket';

/** These clients do not answer a close frame and never close. The tests would time out if the server waited for them. */
describeOneWiring('clients that do not close their side', ({ url, startNode }) => {
  async function open(path: string, at = url()): Promise<RawWebSocket> {
    const raw = await RawWebSocket.open(at, path);
    closeLater(() => raw.destroy());
    return raw;
  }
  const paths = { '/chat': '/chat', 'Socket.IO': engine };
  const badToken = { '/chat': '{"type":"token","content":"bad"}', 'Socket.IO': '40/rooms,{"token":"bad"}' };

  for (const [name, path] of Object.entries(paths)) {
    it(`disconnects a client without a token when newer connections exceed the limit, on ${name}`, async () => {
      const node = await startNode({ MAX_UNAUTHENTICATED_CONNECTIONS: 5 });
      const sockets: RawWebSocket[] = [];
      for (let n = 0; n < 20; n++) sockets.push(await open(path, node.url));
      await Promise.all(sockets.slice(0, 15).map(({ closed }) => closed));
      expect(sockets.slice(15).filter(({ socket }) => socket.destroyed)).to.deep.equal([]);
    });

    it(`disconnects a client that sends no token in time, on ${name}`, async () => {
      const node = await startNode({}, (config) => ({ ...config, authTimeoutMs: 300 }));
      await (await open(path, node.url)).closed;
    });

    it(`disconnects a client after its third invalid token, on ${name}`, async () => {
      const raw = await open(path);
      for (let n = 0; n < 3; n++) raw.text(badToken[name as keyof typeof badToken]);
      await raw.closed;
    });

    it(`disconnects a client when the node drains, on ${name}`, async () => {
      const node = await startNode({ DRAIN_TIMEOUT_SECONDS: 3 });
      const raw = await open(path, node.url);
      const drained = node.drain();
      await raw.closed;
      await drained;
    });
  }

  it('ends a session of long polling when newer connections exceed the limit, whether the client polls or not', async () => {
    const node = await startNode({ MAX_UNAUTHENTICATED_CONNECTIONS: 1 });
    const polling = await PollingSession.open(node.url);
    const answer = polling.poll();
    const silent = await PollingSession.open(node.url);
    expect(splitPackets(await answer)).to.include('1');
    expect((await polling.poll()).status).to.equal(400);
    await PollingSession.open(node.url);
    expect((await silent.poll()).status).to.equal(400);
  });

  it('ends a session of long polling after the third invalid token although the client does not fetch the errors', async () => {
    const polling = await PollingSession.open(url());
    for (let n = 0; n < 3; n++) await polling.post('40/rooms,{"token":"bad"}');
    let status = 200;
    while (status === 200) status = (await polling.post('3')).status;
    expect(status).to.equal(400);
  });

  it('disconnects a client that does not read, on both transports and with long polling', async () => {
    const node = await startNode({ MAX_SEND_BUFFER_BYTES: 100_000, MAX_CONTENT_BYTES: 60_000 });
    const owner = createUser({ level: 100 });
    const { room } = (await rest(node.url, owner.token).post('/rooms', { name: 'busy' })).body.content;
    const chat = await open('/chat', node.url);
    chat.text(JSON.stringify({ type: 'token', content: owner.token }));
    chat.text(JSON.stringify({ type: 'select_room', room_id: room.id }));
    await chat.waitForText(/CONNECTED/);
    const socket = await open(engine, node.url);
    socket.text(`40/rooms,${JSON.stringify({ token: owner.token })}`);
    await socket.waitForText(/^40\/rooms/);
    const polling = await PollingSession.connected(node.url, owner.token);
    const join = `["room:join",${JSON.stringify({ room_id: room.id })}]`;
    socket.text(`42/rooms,1${join}`);
    await socket.waitForText(/^43\/rooms,1/);
    await polling.post(`42/rooms,1${join}`);
    expect((await polling.poll()).body).to.match(/^43\/rooms,1/);
    chat.stopReading();
    socket.stopReading();
    const sender = rest(node.url, owner.token);
    // More than the kernel buffers for a connection that is not read.
    const content = 'x'.repeat(59_000);
    while ((await polling.post('3')).status === 200 || !chat.hasEnded || !socket.hasEnded) {
      await sender.post(`/rooms/${room.id}/messages`, { content });
    }
  });
});
