import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { chatInRoom } from '../helpers/chat-client.ts';
import { databaseSession, lockRoom } from '../helpers/database-session.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { runServer } from '../helpers/process.ts';
import { createRoomWithOwner } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { testSecret } from '../helpers/users.ts';

const handshake = '/socket.io/?EIO=4&transport=';

/** Returns the HTTP answer to an upgrade that the server rejects. */
async function refusedUpgrade(url: string, path: string): Promise<IncomingMessage> {
  const socket = new WebSocket(url.replace('http', 'ws') + path);
  socket.on('error', () => {}); // The client closes the connection before the handshake ends.
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  socket.terminate();
  return response;
}

/** A node whose drain lasts longer than a test if there is anything to wait for. */
const patientNode = () =>
  startNode(postgres, { DRAIN_TIMEOUT_SECONDS: 600 }, (config) => ({
    ...config,
    timeouts: { drain: { graceMs: 300_000 } },
  }));

/** Returns a node that keeps draining while a room is locked, because a client is sending to that room. */
async function drainingNode() {
  const DATABASE_URL = await freshDatabase();
  const node = await startNode(postgres, { DATABASE_URL, NODE_NAME: 'node-1' });
  const { owner, room } = await createRoomWithOwner(node.url);
  const polling = await socketClient(node.url, owner, { transports: ['polling'] });
  await polling.request('room:join', { room_id: room.id });
  const other = await databaseSession(DATABASE_URL);
  await lockRoom(other, room);
  const sent = polling.request('message:send', { room_id: room.id, content: 'accepted before the end' });
  // Requests of one connection are handled in order. So the message is queued when this later request is answered.
  await polling.request('message:history', { room_id: room.id });
  return { ...node, node, owner, room, polling, sent, unlock: () => other.query('commit') };
}

describe('a node that drains', function () {
  this.timeout(60_000);

  it('answers new handshakes with 503 while it drains, so that a balancer tries another node', async () => {
    const { node, url, unlock } = await drainingNode();
    const drained = node.drain();
    const polling = await fetch(`${url}${handshake}polling`, { headers: { Origin: 'https://page.example' } });
    expect(polling.status).to.equal(503);
    expect(polling.headers.get('Retry-After')).to.match(/^\d+$/);
    expect(polling.headers.get('Access-Control-Allow-Origin'), 'a page may read the refusal').to.equal('*');
    for (const path of [`${handshake}websocket`, `${handshake}websocket&sid=node-1.unknown`, '/chat']) {
      const { statusCode, headers } = await refusedUpgrade(url, path);
      expect(statusCode, path).to.equal(503);
      expect(headers['retry-after'], path).to.match(/^\d+$/);
    }
    await unlock();
    expect(await drained).to.equal(true);
  });

  it('serves its sessions until their messages are stored, and closes them so that they reconnect', async () => {
    const { node, url, owner, room, polling, sent, unlock } = await drainingNode();
    const chat = await chatInRoom(url, owner, room.id);
    const upgraded = await socketClient(url, owner);
    if (upgraded.raw.io.engine.transport.name === 'polling') await once(upgraded.raw.io.engine as never, 'upgrade');
    const drained = node.drain();
    await polling.next('server:draining');
    // On long polling, the client sends each of these in a separate HTTP request.
    for (let n = 0; n < 3; n++)
      expect(await polling.request('message:history', { room_id: room.id })).to.include({ ok: true });
    const late = await upgraded.request('message:send', { room_id: room.id, content: 'too late' });
    expect(late).to.have.nested.property('error.code', 'UNAVAILABLE');
    await unlock();
    expect(await sent).to.include({ ok: true });
    expect(await chat.closed).to.equal(1001);
    // After `io server disconnect` instead, the client would not reconnect.
    expect(await Promise.all([polling.closed, upgraded.closed])).to.deep.equal(['transport close', 'transport close']);
    expect(await drained).to.equal(true);
  });

  it('spreads the reconnect delays of its connections over the time that closing takes', async () => {
    const { url, drain } = await startNode(postgres, { DRAIN_TIMEOUT_SECONDS: 6 });
    const { owner } = await createRoomWithOwner(url);
    const sockets = await Promise.all(
      Array.from({ length: 8 }, (_, n) => socketClient(url, owner, { transports: [n % 2 ? 'polling' : 'websocket'] })),
    );
    const drained = drain();
    const events = await Promise.all(sockets.map((socket) => socket.next('server:draining')));
    const delays = events.map(({ reconnect_after_ms }) => reconnect_after_ms);
    expect(new Set(delays)).to.have.property('size', 8);
    expect(Math.max(...delays)).to.be.within(1_000, 2_000);
    expect(await drained).to.equal(true);
  });

  it('closes connections without a token when it drains', async () => {
    const { url, drain } = await patientNode();
    const socket = new WebSocket(`${url.replace('http', 'ws')}${handshake}websocket`);
    await once(socket, 'message');
    const closed = once(socket, 'close');
    expect(await drain()).to.equal(true);
    expect((await closed)[0], 'a close frame, and no 1006').to.equal(1005);
  });

  it('stops at once if it has no connections', async () => {
    const { drain } = await patientNode();
    expect(await drain()).to.equal(true);
  });

  it('closes every connection and exits with 1 within DRAIN_TIMEOUT_SECONDS if its database hangs', async () => {
    const database = new URL(await freshDatabase());
    const proxy = await tcpProxy(database.hostname, Number(database.port));
    database.port = String(proxy.port);
    const env = {
      ...{ DATABASE_URL: database.href, DATABASE_TIMEOUT_SECONDS: 300 },
      ...{ JWT_SECRET: testSecret, DRAIN_TIMEOUT_SECONDS: 4, LOG_LEVEL: 'info' },
    };
    const { url, kill, exited } = await runServer(env);
    const { owner, room } = await createRoomWithOwner(url);
    const chat = await chatInRoom(url, owner, room.id);
    const sockets = await Promise.all(
      ['polling', 'websocket'].map((transport) => socketClient(url, owner, { transports: [transport] })),
    );
    proxy.freeze();
    const unanswered = sockets[1]!.request('message:send', { room_id: room.id, content: 'never stored' });
    unanswered.catch(() => {}); // Nothing awaits this promise, so a rejection would be unhandled.
    const begin = Date.now();
    kill('SIGTERM');
    expect(await chat.closed).to.equal(1001);
    for (const { closed } of sockets) expect(await closed).to.equal('transport close');
    expect(await exited).to.include({ code: 1, signal: null });
    // The statement that hangs would take 5 minutes.
    expect(Date.now() - begin).to.be.within(2_000, 50_000);
  });
});
