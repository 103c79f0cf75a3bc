import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { expect } from 'chai';
import express from 'express';
import { io } from 'socket.io-client';
import WebSocket, { WebSocketServer } from 'ws';
import { ChatError, type ChatServer, ConfigError, createServer } from '../../src/index.ts';
import { chatInRoom } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, testSecret } from '../helpers/users.ts';

const prefix = '/in/messaging';
const settings = async () => ({
  ...{ DATABASE_URL: await freshDatabase(), JWT_SECRET: testSecret },
  ...{ LOG_LEVEL: 'silent', DRAIN_TIMEOUT_SECONDS: 3 },
});

function someApp() {
  const app = express();
  app.get('/', (_request, response) => void response.send('the app'));
  app.use((request, response) => void response.status(404).send(`the app has no ${request.url}`));
  return app;
}

async function listening(server: HttpServer): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const textOf = async (url: string) => (await fetch(url)).text();

describe('The service inside another program', function () {
  this.timeout(60_000);
  let host: HttpServer;
  let hostUrl: string;
  let chat: ChatServer;

  before(async () => {
    host = createHttpServer(someApp());
    hostUrl = await listening(host);
    chat = await createServer({ settings: await settings(), server: host, prefix });
    closeLater(() => chat.close());
  });

  it('says where it is', () => {
    expect(chat.url).to.equal(`${hostUrl}${prefix}`);
    expect(hostUrl).to.match(new RegExp(`:${chat.port}$`));
  });

  it('offers the server API as functions, without an ADMIN_TOKEN and without routes', async () => {
    const ana = createUser();
    const rules = [{ userUUID: ana.user, permissions: 'rw' }];
    const { code, content } = await chat.admin.rooms.put('key:order-42', { name: 'Order 42', rules });
    expect(code).to.equal(201);
    const { body } = await rest(chat.url, ana.token).get('/rooms/key:order-42');
    const { key, ...room } = content.room;
    expect({ key, room: body.content.room }).to.deep.equal({ key: 'order-42', room });
    const failed: unknown = await chat.admin.members.put('key:order-43', { rules }).catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(ChatError).and.include({ code: 'NOT_FOUND' });
    expect((await fetch(`${chat.url}/admin/rooms`)).status).to.equal(404);
  });

  it('leaves to the app what is not below its prefix', async () => {
    expect(await textOf(hostUrl)).to.equal('the app');
    for (const path of ['/rooms', `${prefix}x/rooms`, '/in', '/chat']) {
      expect(await textOf(hostUrl + path)).to.equal(`the app has no ${path}`);
    }
  });

  it('answers REST below it, in its own envelope, also what there is not', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(chat.url, owner);
    const { status, body } = await rest(chat.url, owner.token).get(`/rooms/${room.id}`);
    expect([status, body.content.room.name]).to.deep.equal([200, room.name]);
    const nothing = await rest(chat.url, owner.token).get('/nothing');
    expect([nothing.status, nothing.body.meta.reason]).to.deep.equal([404, 'NOT_FOUND']);
  });

  it('sends who asks for the prefix alone to what is below it', async () => {
    const answer = await fetch(`${hostUrl}${prefix}?a=1`, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('Location')]).to.deep.equal([308, `${prefix}/?a=1`]);
  });

  it('answers a request that waits for 100 Continue, where the app listens for those', async () => {
    const heard: unknown[] = [];
    const listen = (request: { url?: string }) => heard.push(request.url);
    host.on('checkContinue', listen);
    closeLater(() => host.off('checkContinue', listen));
    const { token } = createUser({ level: 100 });
    const answer = await new Promise<string>((resolve, reject) => {
      const headers = { Expect: '100-continue', Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
      const asked = request(`${chat.url}/rooms`, { method: 'POST', headers }, (response) => {
        response.setEncoding('utf8').once('data', resolve);
      });
      asked.on('continue', () => asked.end('{"name":"patient"}')).on('error', reject);
      asked.flushHeaders();
    });
    expect(JSON.parse(answer).content.room.name).to.equal('patient');
    expect(heard).to.deep.equal([]);
  });

  for (const transport of ['websocket', 'polling']) {
    it(`serves Socket.IO below it, over ${transport}, and /chat hears it`, async () => {
      const owner = createUser({ level: 100 });
      const room = await createRoom(chat.url, owner);
      const plain = await chatInRoom(chat.url, owner, room.id);
      const socket = await socketClient(hostUrl, owner, {
        path: `${prefix}/socket.io/`,
        transports: [transport as 'websocket'],
      });
      await socket.request('room:join', { room_id: room.id });
      await socket.request('message:send', { room_id: room.id, content: 'from inside' });
      expect((await plain.next()).data.content).to.equal('from inside');
      expect((await socket.next('message:new')).content).to.equal('from inside');
    });
  }

  it('does not take the WebSockets of the app, and refuses its own that there are not', async () => {
    const own = new WebSocketServer({ noServer: true });
    const upgrade = (request: IncomingMessage, socket: Socket, head: Buffer) =>
      own.handleUpgrade(request, socket, head, (webSocket) => webSocket.send('of the app'));
    host.on('upgrade', upgrade);
    closeLater(() => host.off('upgrade', upgrade));
    const said = await new Promise((resolve, reject) => {
      const socket = new WebSocket(`${hostUrl.replace('http', 'ws')}/elsewhere`);
      closeLater(() => socket.terminate());
      socket.on('message', (data) => resolve(data.toString())).on('error', reject);
    });
    expect(said).to.equal('of the app');
    const refused = await new Promise((resolve) => {
      new WebSocket(`${chat.url.replace('http', 'ws')}/nothing`).on('error', ({ message }) => resolve(message));
    });
    expect(refused).to.include('404');
  });

  it('answers an expectation that it does not know, where the app listens for those', async () => {
    const listen = () => {};
    host.on('checkExpectation', listen);
    closeLater(() => host.off('checkExpectation', listen));
    const status = await new Promise((resolve, reject) => {
      const asked = request(`${chat.url}/rooms`, { headers: { Expect: 'a miracle' } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      asked.on('error', reject).end();
    });
    expect(status).to.equal(400);
  });

  it('leaves requests to the app, and upgrades to nobody, also where there are two of it', async () => {
    const second = await createServer({ settings: await settings(), server: host, prefix: '/second' });
    closeLater(() => second.close());
    const said = await new Promise((resolve, reject) => {
      const socket = new WebSocket(`${hostUrl.replace('http', 'ws')}/elsewhere`);
      closeLater(() => socket.terminate());
      socket.on('error', ({ message }) => resolve(message)).on('open', () => reject(new Error('it was opened')));
    });
    expect(said).to.include('404');
    expect((await fetch(`${second.url}/readyz`)).status).to.equal(200);
    expect((await fetch(`${chat.url}/readyz`)).status).to.equal(200);
  });

  it('leaves a request with an Upgrade to the app, where nobody there serves one', async () => {
    const said = await new Promise((resolve, reject) => {
      const headers = { Connection: 'Upgrade', Upgrade: 'h2c' };
      request(hostUrl, { headers }, (response) => response.setEncoding('utf8').once('data', resolve))
        .on('error', reject)
        .end();
    });
    expect(said).to.equal('the app');
  });
});

describe('The service that was inside another program', function () {
  this.timeout(60_000);

  it('lets its clients go when it drains, and leaves everything to the app', async () => {
    const host = createHttpServer(someApp());
    const hostUrl = await listening(host);
    const chat = await createServer({ settings: await settings(), server: host, prefix });
    closeLater(() => chat.close());
    const owner = createUser({ level: 100 });
    const room = await createRoom(chat.url, owner);
    const plain = await chatInRoom(chat.url, owner, room.id);
    const socket = io(`${hostUrl}/rooms`, {
      ...{ path: `${prefix}/socket.io/`, auth: { token: owner.token }, forceNew: true, reconnection: false },
    });
    await new Promise((resolve) => socket.once('connect', () => resolve(undefined)));
    const disconnected = new Promise((resolve) => socket.once('disconnect', resolve));
    expect(await chat.drain()).to.equal(true);
    expect(await plain.closed).to.equal(1001);
    await disconnected;
    expect(await textOf(`${hostUrl}${prefix}/rooms`)).to.equal(`the app has no ${prefix}/rooms`);
    expect(await textOf(hostUrl)).to.equal('the app');
  });

  it('may be mounted before its server listens, and before the app is there', async () => {
    const host = createHttpServer();
    const chat = await createServer({ settings: await settings(), server: host, prefix });
    closeLater(() => chat.close());
    host.on('request', someApp());
    const hostUrl = await listening(host);
    expect(await textOf(hostUrl)).to.equal('the app');
    expect((await fetch(`${hostUrl}${prefix}/readyz`)).status).to.equal(200);
    expect(chat.url).to.equal(`${hostUrl}${prefix}`);
  });

  it('is the embedded default without other settings, on a port of its own', async () => {
    const chat = await createServer({
      settings: { DATA_DIR: await migratedDirectory(), LOG_LEVEL: 'silent', PORT: 0 },
    });
    closeLater(() => chat.close());
    expect((await fetch(`${chat.url}/readyz`)).status).to.equal(200);
  });
});

describe('createServer refuses', () => {
  const refusalOf = (options: Parameters<typeof createServer>[0]) =>
    createServer(options).then(
      () => undefined,
      (error: Error) => error,
    );

  it('wrong settings, all at once', async () => {
    const error = await refusalOf({ settings: { PORT: 'x', JWT_SECRET: '' } });
    expect(error).to.be.instanceOf(ConfigError);
    expect((error as ConfigError).mistakes.join()).to.match(/PORT: .*JWT_SECRET: /s);
  });

  it('WORKERS, because a service inside another program is one process', async () => {
    const settings = { WORKERS: 2, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none', JWT_SECRET: testSecret };
    expect((await refusalOf({ settings }))?.message).to.match(/WORKERS: .*one process/);
  });

  const variables = ['JWT_SECRET', 'JWT_PUBLIC_KEY_FILE', 'JWT_AUDIENCE', 'DATABASE_URL', 'REDIS_URL', 'METRICS_TOKEN'];
  for (const name of variables) {
    it(`${name} that is given as undefined, as by a variable that is missing`, async () => {
      const error = await refusalOf({ settings: { [name]: undefined, PORT: undefined } });
      expect(error).to.be.instanceOf(ConfigError);
      expect((error as ConfigError).mistakes).to.have.length(1);
      expect((error as ConfigError).mistakes[0]).to.match(new RegExp(`^${name}: .*undefined`));
    });
  }

  for (const [title, wrong] of [
    ['a server without a prefix', { server: createHttpServer() }],
    ['a prefix without a server', { prefix: '/a' }],
    ['a prefix that ends with a slash', { server: createHttpServer(), prefix: '/a/' }],
    ['the root as a prefix', { server: createHttpServer(), prefix: '/' }],
  ] as const) {
    it(title, async () => expect(await refusalOf(wrong)).to.be.instanceOf(TypeError));
  }
});
