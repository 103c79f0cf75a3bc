import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setImmediate as endOfTick } from 'node:timers/promises';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { BoundedWebSocketServer } from '../../src/patches/ws-bounded-server.ts';
import { maxUpgradesPerTick } from '../../src/transports/chat/upgrade.ts';
import { chatClient } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { describeOneWiring } from '../helpers/node.ts';

describeOneWiring('/chat upgrade', ({ url }) => {
  for (const path of ['/chat', '/chat/', '/chat?room=1', '/chat/?x']) {
    it(`serves /chat at ${path}`, async () => {
      const chat = await chatClient(url(), path);
      expect(await chat.next()).to.deep.equal({ type: 'query', data: 'START?' });
    });
  }

  for (const path of ['/', '/chats', '/chat/1', '/chat//', '/rooms', '/CHAT', '/socket.io', '/../chat', '/%63hat']) {
    it(`rejects an upgrade to ${path} at once`, async () => {
      expect(await answerTo(url(), path)).to.match(/^HTTP\/1\.1 404 /);
    });
  }

  it('accepts an upgrade to /chat without an Origin header', async () => {
    const origin = 'https://elsewhere.example';
    const socket = new WebSocket(`${url().replace('http', 'ws')}/chat`, { origin });
    expect(String(await once(socket, 'message'))).to.include('START?');
    socket.terminate();
  });

  it('survives requests to /chat that are not WebSocket handshakes', async () => {
    expect(await answerTo(url(), '/chat', 'Sec-WebSocket-Version: 1')).to.match(/^HTTP\/1\.1 4\d\d /);
    const chat = await chatClient(url());
    expect(await chat.next()).to.include({ data: 'START?' });
  });

  it('accepts a few of many upgrades in each tick, and survives those that are reset meanwhile', async () => {
    const { handleUpgrade } = BoundedWebSocketServer.prototype;
    closeLater(() => {
      BoundedWebSocketServer.prototype.handleUpgrade = handleUpgrade;
    });
    const counts = [0];
    const onFirst = Promise.withResolvers<void>();
    BoundedWebSocketServer.prototype.handleUpgrade = function (...upgrade) {
      if (counts.at(-1) === 0) setImmediate(() => counts.push(0));
      counts[counts.length - 1]! += 1;
      onFirst.resolve();
      return handleUpgrade.apply(this, upgrade);
    };
    const sockets = await Promise.all(Array.from({ length: 5 * maxUpgradesPerTick }, () => connectTo(url())));
    // Node.js accepts one connection per tick.
    for (let n = 0; n < 2 * sockets.length; n++) await endOfTick();
    for (const socket of sockets) socket.write(toUpgrade('/chat'));
    const reset = sockets.splice(-maxUpgradesPerTick);
    await onFirst.promise;
    for (const socket of reset) socket.resetAndDestroy();
    for (const socket of sockets) expect(await answerOn(socket, 'START?')).to.match(/^HTTP\/1\.1 101 /);
    expect(Math.max(...counts)).to.be.at.most(maxUpgradesPerTick);
    for (const socket of sockets) socket.destroy();
  });

  it('does not offer compression on /chat', async () => {
    const socket = new WebSocket(`${url().replace('http', 'ws')}/chat`, { perMessageDeflate: true });
    const [response] = (await once(socket, 'upgrade')) as [IncomingMessage];
    expect(response.headers).not.to.have.property('sec-websocket-extensions');
    socket.terminate();
  });
});

const toUpgrade = (path: string, header = 'Sec-WebSocket-Version: 13') => {
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
  return `${[`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', ...upgrade, header].join('\r\n')}\r\n\r\n`;
};

/** Resolves when the connection is established. */
async function connectTo(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  return socket;
}

/** Returns what the server sends until it has sent this text or closes the connection. */
async function answerOn(socket: Socket, until?: string): Promise<string> {
  let answer = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    answer += chunk;
    if (until !== undefined && answer.includes(until)) break;
  }
  return answer;
}

/** Returns everything that the server sends in answer to an upgrade until it closes the connection. */
async function answerTo(url: string, path: string, header?: string): Promise<string> {
  const socket = await connectTo(url);
  socket.write(toUpgrade(path, header));
  return answerOn(socket);
}
