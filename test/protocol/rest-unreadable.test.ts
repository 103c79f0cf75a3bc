import { connect } from 'node:net';
import { expect } from 'chai';
import { closeLater } from '../support/cleanup.ts';
import { describeEveryWiring } from '../support/node.ts';
import { sign, somebody } from '../support/people.ts';
import { rest } from '../support/rest-client.ts';

/** Raw bytes to the port, and what comes back until it is closed. */
function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  closeLater(() => socket.destroy());
  socket.end(text);
  return new Promise((resolve, reject) => {
    let answer = '';
    socket.on('data', (data) => {
      answer += data;
    });
    socket.once('close', () => resolve(answer));
    socket.once('error', reject);
  });
}

describeEveryWiring('What is hardly a request', ({ url }) => {
  const requests: Record<string, [text: string, status: number, reason: string]> = {
    'no HTTP at all': ['hello\r\n\r\n', 400, 'BAD_REQUEST'],
    'headers of 70 KB': [`GET /rooms HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`, 413, 'TOO_LARGE'],
    'a bad chunk': [
      'POST /rooms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzz\r\n',
      400,
      'BAD_REQUEST',
    ],
    'an unknown expectation': [
      'GET /rooms HTTP/1.1\r\nHost: x\r\nExpect: foo\r\nConnection: close\r\n\r\n',
      400,
      'BAD_REQUEST',
    ],
    'no Host': ['GET /rooms HTTP/1.1\r\nConnection: close\r\n\r\n', 401, 'UNAUTHENTICATED'],
  };
  for (const [what, [text, status, reason]] of Object.entries(requests)) {
    it(`is answered with the envelope and CORS: ${what}`, async () => {
      const answer = await raw(url(), text);
      expect(answer)
        .to.match(new RegExp(`^HTTP/1.1 ${status} `))
        .and.match(/access-control-allow-origin: \*/i);
      const body = JSON.parse(answer.slice(answer.indexOf('{')).replace(/\r\n.*$/s, ''));
      expect(body.meta).to.include({ code: status, reason });
    });
  }

  it('is a long Authorization header without a token: it is refused, unread', async () => {
    const refused = await rest(url()).get('/rooms', { Authorization: 'a'.repeat(15_000) });
    expect(refused.body.meta.reason).to.equal('UNAUTHENTICATED');
  });

  it('is a token with a critical header that nobody here knows', async () => {
    const { claims } = somebody();
    const token = sign(claims, { header: { crit: ['x'], x: 1 } });
    expect((await rest(url(), token).get('/rooms')).body.meta.reason).to.equal('UNAUTHENTICATED');
  });

  it('is an upgrade to a path that nobody serves: the socket is closed, though the client does not close its side', async () => {
    const { hostname, port } = new URL(url());
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
    closeLater(() => socket.destroy());
    socket.write('GET /nobody HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())));
    expect(answer).to.match(/^HTTP\/1.1 404 /);
    await new Promise((resolve) => {
      socket.once('close', resolve);
      socket.on('error', () => {}); // writing to what the server has closed
      const knock = setInterval(() => socket.write('x'), 20);
      socket.once('close', () => clearInterval(knock));
    });
  });

  it('is no offer of HTTP/2, as curl makes it: the request is answered', async () => {
    const { hostname, port } = new URL(url());
    const socket = connect({ port: Number(port), host: hostname });
    closeLater(() => socket.destroy());
    const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__';
    socket.write(`GET /healthz HTTP/1.1\r\nHost: x\r\n${offer}\r\n\r\n`);
    const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())));
    expect(answer).to.match(/^HTTP\/1.1 200 /);
  });
});
