import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { expect } from 'chai';
import { Server as SocketServer } from 'socket.io';
import { WebSocketServer } from 'ws';
import type { ChatClientError, ClientOptions } from '../../src/client/client.ts';
import { browserWindow, hasChromium } from '../helpers/chromium.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { createClient } from '../helpers/client.ts';
import { freePort } from '../helpers/free-port.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import { createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const serveHttp = (listener: RequestListener) =>
  listen(createServer(listener).on('upgrade', (_, socket) => socket.end()));

/** A WebSocket server of another protocol, which waits for the client to speak first. */
async function serveWebSockets(): Promise<string> {
  const server = createServer((_request, response) => response.writeHead(426).end());
  const sockets = new WebSocketServer({ server });
  closeLater(() => {
    for (const socket of sockets.clients) socket.terminate();
  });
  return listen(server);
}

async function serveSocketIo(): Promise<string> {
  const server = createServer((_request, response) => response.writeHead(404).end());
  const io = new SocketServer(server);
  closeLater(() => io.close());
  return listen(server);
}

/** Accepts connections and never answers. */
async function serveNothing(): Promise<string> {
  const server = createTcpServer((socket) => closeLater(() => socket.destroy()));
  return listen(server);
}

const servers: Record<string, [serve: () => Promise<string>, code: string]> = {
  'a web server that has no such page': [
    () => serveHttp((_, response) => response.writeHead(404).end('?')),
    'WRONG_SERVER',
  ],
  'a web server with a page for every path': [
    () => serveHttp((_, response) => response.end('<!doctype html><title>app</title>')),
    'WRONG_SERVER',
  ],
  'an API that answers with JSON': [() => serveHttp((_, response) => response.end('{"ok":true}')), 'WRONG_SERVER'],
  'a WebSocket server of another protocol': [serveWebSockets, 'WRONG_SERVER'],
  'another Socket.IO server': [serveSocketIo, 'WRONG_SERVER'],
  'a proxy whose service is away': [() => serveHttp((_, response) => response.writeHead(502).end()), 'UNREACHABLE'],
  'a closed port': [async () => `http://127.0.0.1:${await freePort()}`, 'UNREACHABLE'],
  'a host that never answers': [serveNothing, 'UNREACHABLE'],
};

describe('the client with a wrong URL', function () {
  this.timeout(30_000);

  /** Returns the first error, and the milliseconds until then. */
  async function findFirstError(url: string, options: Partial<ClientOptions>) {
    const start = performance.now();
    const client = createClient(url, createUser(), options);
    const error = await new Promise<ChatClientError>((resolve) => client.on('error', resolve));
    return { client, error, ms: performance.now() - start };
  }

  for (const [name, [serve, code]] of Object.entries(servers)) {
    it(`reports ${code} within 5 s if it is that of ${name}, on both transports, and goes on trying`, async () => {
      const url = await serve();
      const found = await Promise.all(
        (['polling', 'websocket'] as const).map((transport) => findFirstError(url, { transports: [transport] })),
      );
      expect(found.map(({ error }) => error.code)).to.deep.equal([code, code]);
      for (const { client, ms } of found) {
        // 3 s more for a busy machine.
        expect(ms).to.be.below(8_000);
        expect(client.state).to.equal('connecting');
      }
    });
  }
});

describeOneWiring('the client in a page with a wrong URL', ({ url }) => {
  before(function () {
    this.timeout(240_000);
    if (!hasChromium()) this.skip();
  });

  it('tells another server from none', async function () {
    this.timeout(60_000);
    const page = await serveHttp((_, response) => {
      response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>app</title>');
    });
    const other = await serveHttp((_, response) => response.writeHead(404).end('?'));
    const tab = await (await browserWindow()).newPage();
    await tab.goto(page);
    const findError = (wrong: string) =>
      tab.evaluate(`import('${url()}/client.mjs').then(({ connect }) => new Promise((resolve) => {
        const client = connect({ url: '${wrong}', token: () => 'none' });
        client.on('error', ({ code }) => { client.close(); resolve(code); });
      }))`);
    expect(await findError(other)).to.equal('WRONG_SERVER');
    expect(await findError(await serveWebSockets())).to.equal('WRONG_SERVER');
    expect(await findError(`http://127.0.0.1:${await freePort()}`)).to.equal('UNREACHABLE');
  });

  it('is not suspected once the client has connected', async () => {
    const requested: string[] = [];
    const proxy = await nodeProxy(url());
    const client = createClient(proxy.url, createUser());
    await waitUntil('the client is connected', () => client.state === 'connected');
    const errors: string[] = [];
    client.on('error', ({ code }) => void errors.push(code));
    const other = await serveHttp(({ url }, response) => {
      requested.push(url!);
      response.writeHead(404).end('?');
    });
    proxy.redirectTo(Number(new URL(other).port));
    proxy.cut();
    proxy.restore();
    await waitUntil('the client has asked the other server', () => requested.length >= 2);
    expect(new Set(errors)).to.deep.equal(new Set(['UNREACHABLE']));
    expect(requested).not.to.include('/rooms');
  });
});
