import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { expect } from 'chai';
import { io } from 'socket.io-client';
import WebSocketOfWs from 'ws';
import { ConnectError } from '../../src/core/contract/socketio.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { describeEveryWiring } from '../helpers/node.ts';
import { expectConnectError, socketClient } from '../helpers/socket-client.ts';
import { createUser, sign, withClaims } from '../helpers/users.ts';

const past = () => Math.floor(Date.now() / 1_000) - 60;

describeEveryWiring('Socket.IO connection', ({ url, startNode }) => {
  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    it(`is made over ${transports.join(' and ')}`, async () => {
      const socket = await socketClient(url(), createUser(), { transports });
      expect(await socket.request('room:leave', { room_id: 1 })).to.deep.equal({ ok: true });
    });
  }

  it('takes the token from an Authorization header, too', async () => {
    const { token } = createUser();
    const extraHeaders = { Authorization: `Bearer ${token}` };
    const socket = await socketClient(url(), createUser(), { auth: {}, extraHeaders });
    expect(await socket.request('room:leave', { room_id: 1 })).to.deep.equal({ ok: true });
  });

  it('may open the default namespace first, without a token, in which each request is refused', async () => {
    const first = io(url(), { forceNew: true, reconnection: false });
    closeLater(() => first.disconnect());
    await new Promise((resolve) => first.once('connect', () => resolve(undefined)));
    const rooms = first.io.socket('/rooms', { auth: { token: createUser().token } });
    await new Promise((resolve) => rooms.once('connect', () => resolve(undefined)));
    const { ok, error } = await first.timeout(5_000).emitWithAck('room:join', { room_id: 1 });
    expect({ ok, code: error.code }).to.deep.equal({ ok: false, code: 'BAD_REQUEST' });
    expect(error.message).to.include('/rooms');
    expect(await rooms.timeout(5_000).emitWithAck('room:leave', { room_id: 1 })).to.deep.equal({ ok: true });
  });

  it('to the default namespace still waits for its token, and is closed without one', async () => {
    const node = await startNode({}, (config) => ({ ...config, authTimeoutMs: 300 }));
    const { socket, heard, opened, closed } = engine(node.url);
    await opened;
    socket.send('40');
    await closed;
    expect(heard.filter((frame) => frame.startsWith('40{'))).to.have.length(1);
  });

  const others: [title: string, query: string, said: RegExp][] = [
    ['Socket.IO 2', 'EIO=3&transport=', /EIO=4/],
    ['no protocol version', 'transport=', /EIO=4/],
    ['JSONP', 'EIO=4&j=0&transport=', /JSONP/],
  ];
  for (const [title, query, said] of others) {
    for (const transport of ['polling', 'websocket']) {
      it(`with ${title} is refused with the reason before anything is opened, over ${transport}`, async () => {
        const path = `/socket.io/?${query}${transport}`;
        const answer = transport === 'polling' ? await refusedPolling(path) : await refusedUpgrade(path);
        expect(answer.status).to.equal(400);
        expect(JSON.parse(answer.body)).to.have.all.keys('code', 'message');
        expect(JSON.parse(answer.body).message).to.match(said);
      });
    }
  }

  it('with an upgrade of long polling is refused', async () => {
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

  it('to a namespace nobody serves is refused', async () => {
    expect(await expectConnectError(url(), { token: createUser().token }, '/admin')).to.be.instanceOf(Error);
  });

  const refused: Record<string, [code: string, auth: () => unknown]> = {
    'no auth': ['UNAUTHENTICATED', () => undefined],
    'no token': ['UNAUTHENTICATED', () => ({})],
    'a token of null': ['UNAUTHENTICATED', () => ({ token: null })],
    'a token that is an object': ['UNAUTHENTICATED', () => ({ token: { sub: 'x' } })],
    'what is no JWT': ['UNAUTHENTICATED', () => ({ token: 'token.jwt.secreto' })],
    'a forged token': ['UNAUTHENTICATED', () => ({ token: sign(createUser().claims, { secret: 'another secret' }) })],
    'an unsigned token (alg: none)': ['UNAUTHENTICATED', () => ({ token: sign(createUser().claims, { alg: 'none' }) })],
    'a token of no user': ['UNAUTHENTICATED', () => ({ token: createUser({ user: 'nobody' }).token })],
    'an expired token': ['TOKEN_EXPIRED', () => ({ token: withClaims(createUser(), { exp: past() }).token })],
  };
  for (const [title, [code, auth]] of Object.entries(refused)) {
    it(`with ${title} ends in connect_error ${code}`, async () => {
      const { data } = await expectConnectError(url(), auth());
      expect(ConnectError.strict().parse(data)).to.include.keys('code', 'message');
      expect(data.code).to.equal(code);
      expect(data.message).to.be.a('string').that.is.not.empty;
    });
  }

  it('answers UNAVAILABLE while the keys for tokens cannot be had', async () => {
    const node = await startNode({ JWT_SECRET: undefined, JWT_JWKS_URL: 'https://127.0.0.1:1/keys' });
    const token = sign(createUser().claims, { header: { alg: 'RS256', kid: '1' } });
    expect((await expectConnectError(node.url, { token })).data.code).to.equal('UNAVAILABLE');
  });

  /** The engine's own frames, with no client that hangs up or waits by itself. */
  function engine(at = url()) {
    const socket = new WebSocket(`${at.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
    const heard: string[] = [];
    socket.onmessage = ({ data }) => heard.push(String(data));
    const opened = new Promise((resolve) => {
      socket.onopen = resolve;
    });
    const closed = new Promise((resolve) => {
      socket.onclose = resolve;
    });
    return { socket, heard, opened, closed };
  }

  it('is closed after the third bad token', async () => {
    const { socket, heard, opened, closed } = engine();
    await opened;
    for (let n = 0; n < 3; n++) socket.send('40/rooms,{"token":"bad"}');
    await closed;
    expect(heard.filter((frame) => frame.startsWith('44/rooms,'))).to.have.length(3);
  });

  it('without a token in time is closed, whatever it says', async () => {
    const node = await startNode({}, (config) => ({ ...config, authTimeoutMs: 300 }));
    const { socket, opened, closed } = engine(node.url);
    await opened;
    for (const frame of ['3', '40/,', '40/admin,']) socket.send(frame);
    await closed;
  });

  it('with a frame of more than 4 KiB before the token is closed', async () => {
    const { socket, heard, opened, closed } = engine();
    await opened;
    const { token } = createUser();
    socket.send(`40/rooms,${JSON.stringify({ token, pad: 'x'.repeat(4_096) })}`);
    await closed;
    expect(heard.filter((frame) => frame.startsWith('40/rooms,'))).to.deep.equal([]);
  });
});
