import { once } from 'node:events';
import { connect, createServer as createTcpServer, isIPv6, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { expect } from 'chai';
import { closeLater } from '../helpers/cleanup.ts';
import { type Alter, describeOneWiring } from '../helpers/node.ts';
import { rawExchange, rawRequest } from '../helpers/raw-request.ts';
import { createUser } from '../helpers/users.ts';

const get = (path = '/healthz') => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

async function opened(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  closeLater(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Sends a request on an open connection and returns the answer. The connection stays open. */
async function answerOn(socket: Socket, bytes: string): Promise<string> {
  socket.write(bytes);
  const [data] = await once(socket, 'data');
  return String(data);
}

/** After this time, the node ends every request that has not arrived. */
const requestTimeoutMs = 30_000;

/** Sends a byte of a body at intervals until the connection closes; returns how long that took. */
async function drip(url: string, head: string): Promise<{ answer: string; closedAfterMs: number }> {
  const socket = await opened(url);
  const from = performance.now();
  let answer = '';
  socket.on('error', () => {}); // Writes fail after the server has closed the socket.
  socket.on('data', (data) => {
    answer += data;
  });
  socket.write(head);
  const dripping = setInterval(() => socket.write('x'), 50);
  // Not `once` of `node:events`, which rejects if a write has failed.
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(dripping);
  return { answer, closedAfterMs: performance.now() - from };
}

describeOneWiring('HTTP connections', ({ url, startNode }) => {
  it('closes the connection after an answer 401, which has `Connection: close`', async () => {
    const { head } = await rawRequest(url(), get('/rooms'));
    expect(head)
      .to.match(/^HTTP\/1\.1 401 /)
      .and.match(/^connection: close\r?$/im);
  });

  const post = (path: string, ...headers: string[]) =>
    ['POST', path, 'HTTP/1.1\r\n'].join(' ').concat(...headers.map((line) => `${line}\r\n`), 'Host: x\r\n\r\n');
  const dripping: [what: string, head: () => string, status: number][] = [
    ['without a token', () => post('/rooms', 'Content-Length: 60000'), 401],
    ['without a token, in chunks', () => `${post('/rooms', 'Transfer-Encoding: chunked')}ffff\r\n`, 401],
    [
      'with a body that is too large',
      () =>
        post(
          '/rooms',
          `Authorization: Bearer ${createUser().token}`,
          'Content-Length: 60000000',
          'Content-Type: application/json',
        ),
      413,
    ],
    ['to an unknown route', () => post('/nowhere', 'Content-Length: 60000'), 404],
    [
      'to the engine of Socket.IO',
      () => post('/socket.io/?EIO=4&transport=polling&sid=none', 'Content-Length: 60000'),
      400,
    ],
    [
      'for an upgrade to an unknown path',
      () => get('/x').replace('\r\n\r\n', '\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'),
      404,
    ],
    ['that is a GET', () => get().replace('\r\n\r\n', '\r\nContent-Length: 60000\r\n\r\n'), 200],
  ];
  for (const [what, head, status] of dripping) {
    it(`answers a request ${what} at once and closes the connection although the body is still being sent`, async () => {
      const { answer, closedAfterMs } = await drip(url(), head());
      expect(answer).to.match(new RegExp(`^HTTP/1.1 ${status} `));
      expect(closedAfterMs, 'not only at the timeout of a request').to.be.below(requestTimeoutMs);
    });
  }

  it('delivers the answer to a request whose body is not read', async () => {
    const head = post('/rooms', 'Content-Length: 3000000');
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => rawRequest(url(), head + 'x'.repeat(3_000_000))),
    );
    expect(answers.map(({ status }) => status)).to.deep.equal(answers.map(() => 401));
  });

  const soon: Alter = (config) => ({
    ...config,
    http: { ...config.http, headersTimeoutMs: 500, requestTimeoutMs: 1_000 },
  });
  it('answers with an error and closes the connection if headers or a body do not arrive in time', async () => {
    const node = await startNode({}, soon);
    const { token } = createUser();
    const body = post(
      '/rooms',
      `Authorization: Bearer ${token}`,
      'Content-Type: application/json',
      'Content-Length: 9',
    );
    for (const bytes of ['GET / HTTP/1.1\r\nHost:', `${body}{"na`]) {
      const { status, body: text } = await rawRequest(node.url, bytes);
      expect(status).to.equal(400);
      expect(JSON.parse(text).meta).to.include({ reason: 'BAD_REQUEST', detail: 'The request did not arrive in time' });
    }
    expect(await rawExchange(node.url, '')).to.match(/did not arrive in time/);
  });

  it('answers requests that have arrived in time, although the node was too busy to read them in time', async () => {
    // The connections may wait for most of a second before the node is busy.
    const http = { headersTimeoutMs: 1_000, requestTimeoutMs: 1_000 };
    const node = await startNode({}, (config) => ({ ...config, http: { ...config.http, ...http } }));
    const sockets = [await opened(node.url), await opened(node.url)];
    // The node accepts connections in their order, so it has accepted these two as soon as it answers the third.
    await answerOn(await opened(node.url), get());
    for (const socket of sockets) socket.write(get());
    const longerThanTheTimeoutMs = 2_100;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, longerThanTheTimeoutMs);
    const answers = await Promise.all(sockets.map((socket) => once(socket, 'data')));
    for (const [data] of answers) expect(String(data)).to.match(/^HTTP\/1.1 200 /);
  });

  it('keeps an idle connection open for HTTP_KEEP_ALIVE_SECONDS', async () => {
    const node = await startNode({ HTTP_KEEP_ALIVE_SECONDS: 300 });
    expect((await fetch(`${node.url}/healthz`)).headers.get('Keep-Alive')).to.equal('timeout=300');
  });

  it('limits connections to MAX_CONNECTIONS and closes idle ones in favour of new ones', async () => {
    const node = await startNode({ MAX_CONNECTIONS: 3 });
    const upgrade = `${get('/chat').trimEnd()}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
    const live = await opened(node.url);
    expect(await answerOn(live, upgrade)).to.match(/^HTTP\/1\.1 101 /);
    const idle = [await opened(node.url), await opened(node.url)];
    for (const socket of idle) expect(await answerOn(socket, get())).to.match(/^HTTP\/1\.1 200 /);
    const closed = Promise.all(idle.map((socket) => once(socket, 'close')));
    const refused = await opened(node.url);
    await once(refused, 'close');
    await closed;
    expect(await answerOn(await opened(node.url), get())).to.match(/^HTTP\/1\.1 200 /);
    expect(live.destroyed).to.equal(false);
  });
});

describeOneWiring('the port of a node', ({ startNode }) => {
  const hasIpv6 = Object.values(networkInterfaces())
    .flat()
    .some((one) => one && isIPv6(one.address));

  it('listens on IPv6 and IPv4 with DATABASE_URL', async function () {
    if (!hasIpv6) this.skip();
    const { port } = await startNode({ HOST: undefined });
    for (const host of ['127.0.0.1', '[::1]']) {
      expect((await fetch(`http://${host}:${port}/healthz`)).status, host).to.equal(200);
    }
  });

  it('names a port that is in use, and the setting that changes it', async () => {
    const other = createTcpServer().listen(0, '127.0.0.1');
    closeLater(() => other.close());
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const error = await startNode({ PORT: port }).catch((thrown) => thrown);
    expect(error.message).to.equal(
      `Port ${port} is in use on 127.0.0.1. Set PORT (or METRICS_PORT, ADMIN_PORT) to a free port, or stop the process that uses it`,
    );
    const elsewhere = await startNode({ HOST: '192.0.2.1' }).catch((thrown) => thrown);
    expect(elsewhere.message).to.match(/^192\.0\.2\.1 is not an address of this machine\. Set HOST/);
  });
});
