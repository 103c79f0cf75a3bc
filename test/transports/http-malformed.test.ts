import { expect } from 'chai';
import { startMountedNode } from '../helpers/mounted-node.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { openRawConnection, rawExchange, rawRequest, unreadableRequests } from '../helpers/raw-request.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser, sign } from '../helpers/users.ts';

const good = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';

/** Requests that Node.js accepts, so that a route answers them. */
const parsed: Record<string, [status: number, reason?: string]> = {
  'the method TRACE': [404, 'NOT_FOUND'],
  'headers of 20 KB': [401, 'UNAUTHENTICATED'],
};
const tooLarge = [
  'headers of 70 KB',
  'headers of 40 KB',
  'a URL of 40 KB',
  'chunk extensions of 20 KB',
  'trailers of 40 KB',
];

function expected(what: string): [status: number, reason?: string] {
  return parsed[what] ?? (tooLarge.includes(what) ? [413, 'TOO_LARGE'] : [400, 'BAD_REQUEST']);
}

/** Returns true if the error follows the headers. A route may have answered before the parser reaches it. */
const isInBody = (what: string) => /^(a bad chunk|chunk extensions|trailers)/.test(what);

describeOneWiring('malformed HTTP requests', ({ url }) => {
  for (const [what, bytes] of Object.entries(unreadableRequests)) {
    for (const [where, before] of [
      ['on a new connection', []],
      ['after another request on the same connection', [good]],
    ] as const) {
      it(`answers a malformed request with the envelope and CORS headers, ${where}: ${what}`, async () => {
        const path = what === 'headers of 20 KB' ? '/rooms' : '/nowhere';
        const answer = await rawRequest(url(), ...before, bytes(path));
        const [status, reason] = isInBody(what) && answer.status === 404 ? [404, 'NOT_FOUND'] : expected(what);
        expect(answer.status).to.equal(status);
        expect(answer.head).to.match(/access-control-allow-origin: \*/i);
        expect(JSON.parse(answer.body).meta).to.include({ code: status, reason });
      });
    }
  }

  it('answers pipelined requests in their order if the second one is malformed', async () => {
    const bytes = `GET /readyz HTTP/1.1\r\nHost: x\r\n\r\nFOO / HTTP/1.1\r\n\r\n`;
    const answers = (await rawExchange(url(), bytes)).match(/HTTP\/1\.1 \d{3}/g);
    expect(answers).to.deep.equal(['HTTP/1.1 200', 'HTTP/1.1 400']);
  });

  it('lets the app answer malformed requests if the service is mounted', async () => {
    const { appUrl } = await startMountedNode();
    for (const [what, bytes] of Object.entries(unreadableRequests)) {
      if (what === 'a tunnel') continue; // CONNECT has no path below the prefix, so the app answers it.
      const { status } = await rawRequest(appUrl, good, bytes('/messaging/nowhere'));
      expect(status, what).to.be.within(400, 431);
    }
  });

  it('rejects a long Authorization header without a token', async () => {
    const refused = await rest(url()).get('/rooms', { Authorization: 'a'.repeat(15_000) });
    expect(refused.body.meta.reason).to.equal('UNAUTHENTICATED');
  });

  it('rejects a token with an unknown critical header', async () => {
    const { claims } = createUser();
    const token = sign(claims, { header: { crit: ['x'], x: 1 } });
    expect((await rest(url(), token).get('/rooms')).body.meta.reason).to.equal('UNAUTHENTICATED');
  });

  it('closes the socket of an upgrade to an unknown path although the client does not close its side', async () => {
    const upgrade = 'GET /nobody HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    const { socket, answer } = openRawConnection(url(), upgrade);
    expect(await answer).to.match(/^HTTP\/1.1 404 /);
    await new Promise((resolve) => {
      socket.once('close', resolve);
      socket.on('error', () => {}); // Writes fail after the server has closed the socket.
      const writes = setInterval(() => socket.write('x'), 20);
      socket.once('close', () => clearInterval(writes));
    });
  });

  it('answers a request that offers an upgrade to HTTP/2, as curl does', async () => {
    const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__';
    const { answer } = openRawConnection(url(), `GET /healthz HTTP/1.1\r\nHost: x\r\n${offer}\r\n\r\n`);
    expect(await answer).to.match(/^HTTP\/1.1 200 /);
  });
});
