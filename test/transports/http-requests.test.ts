import { deflateSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { startMountedNode } from '../helpers/mounted-node.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { openRawConnection, rawRequest } from '../helpers/raw-request.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoomWithOwner } from '../helpers/rooms.ts';
import { adminToken, createUser } from '../helpers/users.ts';

const bytes = (...parts: (string | number[])[]) => Buffer.concat(parts.map((part) => Buffer.from(part as string)));

describeOneWiring('REST requests', ({ url }) => {
  async function post(path: string, token: string, body: string | Buffer, headers: Record<string, string> = {}) {
    const all = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', ...headers };
    const response = await fetch(url() + path, { method: 'POST', headers: all, body: body as never });
    return {
      status: response.status,
      ...((await response.json()) as { meta: Record<string, unknown>; content: never }),
    };
  }

  const e9 = [0xe9];
  const refusals: [what: string, body: string | Buffer, headers: Record<string, string>, detail: string | RegExp][] = [
    ['bytes that are not UTF-8', bytes('{"content":"caf', e9, '"}'), {}, 'The body is not valid UTF-8'],
    ['a surrogate in UTF-8', bytes('{"content":"', [0xed, 0xa0, 0x80], '"}'), {}, 'The body is not valid UTF-8'],
    ['half a surrogate pair as an escape', '{"content":"\\ud800"}', {}, /^content: /],
    ['NUL as an escape', '{"content":"a\\u0000b"}', {}, /^content: /],
    [
      'another type',
      '{"content":"a"}',
      { 'Content-Type': 'text/plain' },
      'Content-Type: must be application/json, not text/plain',
    ],
    ['no type', bytes('{}'), { 'Content-Type': '' }, 'Content-Type: must be application/json, but is missing'],
    [
      'latin1',
      '{"content":"a"}',
      { 'Content-Type': 'application/json; charset=latin1' },
      'Content-Type: charset must be utf-8, not latin1',
    ],
    [
      'UTF-16',
      Buffer.from('{"content":"a"}', 'utf16le'),
      { 'Content-Type': 'application/json; charset=utf-16le' },
      'Content-Type: charset must be utf-8, not utf-16le',
    ],
    [
      'an unknown encoding',
      '{}',
      { 'Content-Encoding': 'x-gzip' },
      'Content-Encoding: must be gzip, deflate, br or zstd, or absent, not x-gzip',
    ],
    [
      'an encoding that it does not have',
      '{"content":"a"}',
      { 'Content-Encoding': 'gzip' },
      'The body cannot be decoded with its Content-Encoding',
    ],
    ['no content', '', {}, 'the body is missing: send a JSON object'],
  ];
  for (const [what, body, headers, detail] of refusals) {
    it(`rejects a REST body with ${what} and names the reason`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      const { status, meta } = await post(`/rooms/${room.id}/messages`, owner.token, body, headers);
      expect([status, meta.reason]).to.deep.equal([400, 'BAD_REQUEST']);
      if (typeof detail === 'string') expect(meta.detail).to.equal(detail);
      else expect(meta.detail).to.match(detail);
      expect((await rest(url(), owner.token).get(`/rooms/${room.id}/messages`)).body.content).to.deep.equal([]);
    });
  }

  it('keeps valid content of a REST body unchanged, and uses the last of two equal keys', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const bodies: [string | Buffer, Record<string, string>, string][] = [
      ['{"content":"e\u0301 \u00e9 \ufffd \ufeff"}', {}, 'e\u0301 \u00e9 \ufffd \ufeff'],
      ['\ufeff{"content":"after a byte order mark"}', {}, 'after a byte order mark'],
      ['{"content":"first","content":"second"}', {}, 'second'],
      [gzipSync('{"content":"zipped"}'), { 'Content-Encoding': 'gzip' }, 'zipped'],
      [deflateSync('{"content":"deflated"}'), { 'Content-Encoding': 'deflate' }, 'deflated'],
      ['{"content":"a"}', { 'Content-Type': 'application/json; charset="UTF-8"' }, 'a'],
    ];
    for (const [body, headers, content] of bodies) {
      const { status, content: message } = await post(`/rooms/${room.id}/messages`, owner.token, body, headers);
      expect([status, (message as { content: string }).content]).to.deep.equal([201, content]);
    }
  });

  it('rejects a room number beyond the safe integers, and a path or query that is not UTF-8', async () => {
    const { owner } = await createRoomWithOwner(url());
    const client = rest(url(), owner.token);
    for (const path of ['/rooms/9007199254740993', '/rooms/%E9', '/rooms?limit=%E9', '/rooms?accepted=%ff']) {
      const { status, body } = await client.get(path);
      expect([status, body.meta.reason], path).to.deep.equal([400, 'BAD_REQUEST']);
    }
    expect((await client.get('/rooms/%E9')).body.meta.detail).to.match(/UTF-8/);
  });

  it('treats an Idempotency-Key with and without quotes as equal', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const body = '{"content":"once"}';
    const send = (key: string) => post(`/rooms/${room.id}/messages`, owner.token, body, { 'Idempotency-Key': key });
    expect((await send('"abc"')).status).to.equal(201);
    expect(await send('abc')).to.deep.include({ status: 200 });
    expect((await send('"a b"')).status).to.equal(400);
  });

  it('allows a page of another origin to send every header that its preflight names', async () => {
    const asked = 'authorization,traceparent,sentry-trace,baggage,x-requested-with,x-request-id,cache-control';
    const headers = {
      Origin: 'https://app.example',
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': asked,
    };
    const preflight = await fetch(`${url()}/rooms`, { method: 'OPTIONS', headers });
    expect(preflight.status).to.equal(204);
    expect(preflight.headers.get('Access-Control-Allow-Headers')).to.equal(asked);
    expect(preflight.headers.get('Access-Control-Allow-Origin')).to.equal('*');
  });

  it('answers a plain HTTP request to /chat with 426 and names the WebSocket upgrade', async () => {
    const response = await fetch(`${url()}/chat`);
    const { meta } = (await response.json()) as { meta: Record<string, unknown> };
    expect([response.status, response.headers.get('Upgrade'), meta.reason]).to.deep.equal([
      426,
      'websocket',
      'BAD_REQUEST',
    ]);
  });

  it('sends Cache-Control: no-store with every REST answer', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const answers = [
      fetch(`${url()}/rooms`),
      ...['/rooms', `/rooms/${room.id}`, `/rooms/${room.id}/messages`, '/rooms/0'].map((path) =>
        fetch(url() + path, { headers: { Authorization: `Bearer ${owner.token}` } }),
      ),
      fetch(`${url()}/admin/revocations`, { headers: { Authorization: `Bearer ${adminToken}` } }),
      fetch(`${url()}/admin/revocations`),
    ];
    for (const answer of answers) expect((await answer).headers.get('Cache-Control')).to.equal('no-store');
  });

  it('serves requests in absolute form on every transport', async () => {
    const { owner } = await createRoomWithOwner(url());
    const ask = (target: string, headers = '') =>
      rawRequest(url(), `GET ${target} HTTP/1.1\r\nHost: chat.example\r\n${headers}Connection: close\r\n\r\n`);
    expect((await ask('http://chat.example/rooms', `Authorization: Bearer ${owner.token}\r\n`)).status).to.equal(200);
    expect((await ask('HTTP://chat.example/socket.io/?EIO=4&transport=polling')).body).to.match(/"sid"/);
    expect((await ask('http://chat.example/chat')).status).to.equal(426);
    expect((await ask('http://chat.example?x')).status).to.equal(404);
  });
});

describeOneWiring('ALLOWED_ORIGINS', ({ startNode }) => {
  const ours = 'https://app.example';
  const theirs = 'https://other.example';
  const polling = '/socket.io/?EIO=4&transport=polling';

  it('accepts pages of ALLOWED_ORIGINS with credentials, and rejects others on every transport', async () => {
    const { url } = await startNode({ ALLOWED_ORIGINS: `https://APP.example:443, capacitor://localhost` });
    const { token } = createUser();
    const ask = async (path: string, origin: string | undefined, more: Record<string, string> = {}, method = 'GET') => {
      const headers = { ...(origin && { Origin: origin }), Authorization: `Bearer ${token}`, ...more };
      return fetch(url + path, { method, headers });
    };
    for (const path of ['/rooms', polling]) {
      const allowed = await ask(path, ours);
      expect(allowed.status, path).to.equal(200);
      expect(allowed.headers.get('Access-Control-Allow-Origin'), path).to.equal(ours);
      expect(allowed.headers.get('Access-Control-Allow-Credentials'), path).to.equal('true');
      expect((await ask(path, undefined)).status, path).to.equal(200);
      expect((await ask(path, url)).status, path).to.equal(200);
      expect((await ask(path, 'capacitor://localhost')).status, path).to.equal(200);
      for (const origin of [theirs, 'null', 'http://app.example', `${ours}.evil.example`]) {
        const refused = await ask(path, origin);
        expect(refused.status, path).to.equal(403);
        expect(await refused.text()).to.include(`Origin: ${origin} is not in ALLOWED_ORIGINS`);
        expect(refused.headers.get('Access-Control-Allow-Origin'), path).to.not.be.oneOf(['*', origin]);
      }
    }
    const preflight = { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization' };
    expect((await ask('/rooms', ours, preflight, 'OPTIONS')).headers.get('Access-Control-Allow-Credentials')).to.equal(
      'true',
    );
    expect((await ask('/rooms', theirs, preflight, 'OPTIONS')).status).to.equal(403);
    for (const path of ['/chat', '/socket.io/?EIO=4&transport=websocket']) {
      for (const [origin, status] of [
        [ours, 101],
        // Engine.IO has one status for all upgrades that it rejects.
        [theirs, path === '/chat' ? 403 : 400],
      ] as const) {
        const lines = [
          'Connection: Upgrade',
          'Upgrade: websocket',
          'Sec-WebSocket-Version: 13',
          'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
        ];
        expect(
          await readStatus(
            url,
            `GET ${path} HTTP/1.1\r\nHost: x\r\nOrigin: ${origin}\r\n${lines.join('\r\n')}\r\n\r\n`,
          ),
          path,
        ).to.equal(status);
      }
    }
  });
});

const readStatus = async (url: string, head: string) =>
  Number((await openRawConnection(url, head).answer).split(' ', 2)[1]);

describeOneWiring('/metrics', ({ startNode }) => {
  it('rejects /metrics on an address that others can reach, unless it has a token or a separate port', async () => {
    const { port } = await startNode({ HOST: undefined });
    const refused = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect(refused.status).to.equal(401);
    expect(await refused.text()).to.include('set METRICS_TOKEN, or METRICS_PORT');
    const METRICS_TOKEN = 'a token for the metrics';
    const other = await startNode({ HOST: undefined, METRICS_TOKEN });
    const headers = { Authorization: `Bearer ${METRICS_TOKEN}` };
    expect((await fetch(`http://127.0.0.1:${other.port}/metrics`, { headers })).status).to.equal(200);
  });
});

describeOneWiring('headers for a whole host', ({ url }) => {
  it('omits headers for a whole host if the service is mounted, and otherwise excludes subdomains from them', async () => {
    const mounted = await startMountedNode();
    for (const path of ['/rooms', '/healthz', '/nowhere']) {
      const { headers } = await fetch(mounted.url + path);
      for (const name of ['Strict-Transport-Security', 'Origin-Agent-Cluster', 'X-Permitted-Cross-Domain-Policies']) {
        expect(headers.get(name), `${path} ${name}`).to.equal(null);
      }
      expect(headers.get('X-Content-Type-Options')).to.equal('nosniff');
    }
    expect((await fetch(`${url()}/healthz`)).headers.get('Strict-Transport-Security')).to.match(/^max-age=\d+$/);
  });
});
