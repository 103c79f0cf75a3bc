import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { expect } from 'chai';
import { io } from 'socket.io-client';
import WebSocketOfWs from 'ws';
import { ConnectError } from '../../src/core/contract/socketio.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { expectConnectError, socketClient } from '../helpers/socket-client.ts';
import { createUser, sign, withClaims } from '../helpers/users.ts';

const past = () => Math.floor(Date.now() / 1_000) - 60;

describeOneWiring('Socket.IO connections', ({ url, startNode }) => {
  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    it(`connects a Socket.IO client over ${transports.join(' and ')}`, async () => {
      const socket = await socketClient(url(), createUser(), { transports });
      expect(await socket.request('room:leave', { room_id: 1 })).to.deep.equal({ ok: true });
    });
  }

  it('accepts the token in an Authorization header, too', async () => {
    const { token } = createUser();
    const extraHeaders = { Authorization: `Bearer ${token}` };
    const socket = await socketClient(url(), createUser(), { auth: {}, extraHeaders });
    expect(await socket.request('room:leave', { room_id: 1 })).to.deep.equal({ ok: true });
  });

  it('lets a client without a token open the default namespace, which rejects each request', async () => {
    const first = io(url(), { forceNew: true, reconnection: false });
    closeLater(() => first.disconnect());
    await new Promise((resolve) => first.once('connect', () => resolve(undefined)));
    const rooms = first.io.socket('/rooms', { auth: { token: createUser().token } });
    await new Promise((resolve) => rooms.once('connect', () => resolve(undefined)));
    const { ok, error } = await first.timeout(15_000).emitWithAck('room:join', { room_id: 1 });
    expect({ ok, code: error.code }).to.deep.equal({ ok: false, code: 'BAD_REQUEST' });
    expect(error.message).to.include('/rooms');
    expect(await rooms.timeout(15_000).emitWithAck('room:leave', { room_id: 1 })).to.deep.equal({ ok: true });
  });

  it('closes a connection to the default namespace that sends no token', async () => {
    // Long enough for the answer.
    const node = await startNode({}, (config) => ({ ...config, authTimeoutMs: 1_500 }));
    const { socket, received, opened, closed } = engine(node.url);
    await opened;
    socket.send('40');
    await closed;
    expect(received.filter((frame) => frame.startsWith('40{'))).to.have.length(1);
  });

  const others: [title: string, query: string, explanation: RegExp][] = [
    ['Socket.IO 2', 'EIO=3&transport=', /EIO=4/],
    ['no protocol version', 'transport=', /EIO=4/],
    ['JSONP', 'EIO=4&j=0&transport=', /JSONP/],
  ];
  for (const [title, query, explanation] of others) {
    for (const transport of ['polling', 'websocket']) {
      it(`rejects a handshake with ${title} and gives the reason, over ${transport}`, async () => {
        const path = `/socket.io/?${query}${transport}`;
        const answer = transport === 'polling' ? await refusedPolling(path) : await refusedUpgrade(path);
        expect(answer.status).to.equal(400);
        expect(JSON.parse(answer.body)).to.have.all.keys('code', 'message');
        expect(JSON.parse(answer.body).message).to.match(explanation);
      });
    }
  }

  it('rejects an invalid upgrade of long polling', async () => {
    expect((await refusedUpgrade('/socket.io/?EIO=4&transport=polling')).body).to.include('transport=websocket');
  });

  async function refusedPolling(path: string) {
    const response = await fetch(url() + path);
    return { status: response.status, body: await response.text() };
  }

  async function refusedUpgrade(path: string): Promise<{ status: number; body: string }> {
    const socket = new WebSocketOfWs(url().replace('http', 'ws') + path);
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
    let body = '';
    for await (const chunk of response) body += chunk;
    return { status: response.statusCode!, body };
  }

  it('rejects a connection to an unknown namespace', async () => {
    expect(await expectConnectError(url(), { token: createUser().token }, '/admin')).to.be.instanceOf(Error);
  });

  const refused: Record<string, [code: string, auth: () => unknown]> = {
    'no auth': ['UNAUTHENTICATED', () => undefined],
    'no token': ['UNAUTHENTICATED', () => ({})],
    'a token of null': ['UNAUTHENTICATED', () => ({ token: null })],
    'a token that is an object': ['UNAUTHENTICATED', () => ({ token: { sub: 'x' } })],
    'a string that is not a JWT': ['UNAUTHENTICATED', () => ({ token: 'token.jwt.secreto' })],
    'a forged token': ['UNAUTHENTICATED', () => ({ token: sign(createUser().claims, { secret: 'another secret' }) })],
    'an unsigned token (alg: none)': ['UNAUTHENTICATED', () => ({ token: sign(createUser().claims, { alg: 'none' }) })],
    'a token without a valid user': ['UNAUTHENTICATED', () => ({ token: createUser({ user: 'nobody' }).token })],
    'an expired token': ['TOKEN_EXPIRED', () => ({ token: withClaims(createUser(), { exp: past() }).token })],
  };
  for (const [title, [code, auth]] of Object.entries(refused)) {
    it(`answers a connection with ${title} with connect_error ${code}`, async () => {
      const { data } = await expectConnectError(url(), auth());
      expect(ConnectError.strict().parse(data)).to.include.keys('code', 'message');
      expect(data.code).to.equal(code);
      expect(data.message).to.be.a('string').that.is.not.empty;
    });
  }

  it('answers a connection with UNAVAILABLE while the keys for tokens are unavailable', async () => {
    const node = await startNode({ JWT_SECRET: undefined, JWT_JWKS_URL: 'https://127.0.0.1:1/keys' });
    const token = sign(createUser().claims, { header: { alg: 'RS256', kid: '1' } });
    expect((await expectConnectError(node.url, { token })).data.code).to.equal('UNAVAILABLE');
  });

  /** Sends Engine.IO packets directly, because a client library would close the connection or delay packets itself. */
  function engine(at = url()) {
    const socket = new WebSocket(`${at.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
    const received: string[] = [];
    socket.onmessage = ({ data }) => received.push(String(data));
    const opened = new Promise((resolve) => {
      socket.onopen = resolve;
    });
    const closed = new Promise((resolve) => {
      socket.onclose = resolve;
    });
    return { socket, received, opened, closed };
  }

  it('closes the connection after the third invalid token', async () => {
    const { socket, received, opened, closed } = engine();
    await opened;
    for (let n = 0; n < 3; n++) socket.send('40/rooms,{"token":"bad"}');
    await closed;
    expect(received.filter((frame) => frame.startsWith('44/rooms,'))).to.have.length(3);
  });

  it('closes a connection without a token in time, whatever it sends', async () => {
    const node = await startNode({}, (config) => ({ ...config, authTimeoutMs: 300 }));
    const { socket, opened, closed } = engine(node.url);
    await opened;
    for (const frame of ['3', '40/,', '40/admin,']) socket.send(frame);
    await closed;
  });

  it('closes a connection that sends more than 4 KiB before the token', async () => {
    const { socket, received, opened, closed } = engine();
    await opened;
    const { token } = createUser();
    socket.send(`40/rooms,${JSON.stringify({ token, pad: 'x'.repeat(4_096) })}`);
    await closed;
    expect(received.filter((frame) => frame.startsWith('40/rooms,'))).to.deep.equal([]);
  });
});
