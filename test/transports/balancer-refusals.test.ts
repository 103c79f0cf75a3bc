import { expect } from 'chai';
import { type Balancer, findBalancer, highLimits, patientChecks, startBalancer } from '../helpers/balancer.ts';
import { sharded, sharedNodes } from '../helpers/node.ts';
import { type RawAnswer, rawExchange, rawRequest, unreadableRequests } from '../helpers/raw-request.ts';
import { stubNodes } from '../helpers/stub-nodes.ts';
import { createUser } from '../helpers/users.ts';

const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}Connection: close\r\n\r\n`;

function expectEnvelope({ head, body }: RawAnswer, status: number, reason: string): void {
  expect(head).to.match(new RegExp(`^HTTP/1.1 ${status} `));
  expect(head)
    .to.match(/^access-control-allow-origin: \*\r?$/im)
    .and.match(/^content-type: application\/json/im);
  expect(JSON.parse(body).meta).to.include({ code: status, reason });
}

for (const kind of ['nginx', 'haproxy'] as const) {
  describe(`refusals of ${kind} (deploy/) and of the nodes behind it`, function () {
    this.timeout(60_000);
    let url: string;

    before(async function () {
      this.timeout(300_000);
      findBalancer(kind);
      const [first, second] = await sharedNodes(sharded);
      ({ url } = await startBalancer(kind, [first!.port, second!.port], [...highLimits[kind], ...patientChecks[kind]]));
    });

    /** REST paths and handshakes, which have separate upstreams in nginx. */
    async function expectGoodAnswers(count: number): Promise<void> {
      const { token } = createUser();
      const asks = Array.from({ length: count }, async (_, n) => {
        const path = n % 3 === 0 ? '/socket.io/?EIO=4&transport=polling' : '/rooms';
        return (await fetch(url + path, { headers: { Authorization: `Bearer ${token}` } })).status;
      });
      expect(await Promise.all(asks)).to.deep.equal(asks.map(() => 200));
    }

    for (const [what, bytes] of Object.entries(unreadableRequests)) {
      // HAProxy accepts HTTP/2 on its plain-text port, too.
      if (kind === 'haproxy' && what === 'the preface of HTTP/2') continue;
      it(`keeps both nodes in service after a request with ${what}`, async () => {
        await expectGoodAnswers(6);
        for (const path of ['/rooms', '/socket.io/', '/chat']) {
          const { status, head } = await rawRequest(url, bytes(path));
          expect(status, `${path}: ${head}`).to.be.within(200, 499);
          await expectGoodAnswers(25);
        }
      });
    }

    for (const [path, status, reason] of [
      ['/nowhere', 404, 'NOT_FOUND'],
      ['/metrics', 404, 'NOT_FOUND'],
      ['/refused', 404, 'NOT_FOUND'],
      ['/rooms/%2e%2e/admin/revocations', 400, 'BAD_REQUEST'],
    ] as const) {
      it(`answers ${path} with ${status}, the envelope and CORS headers`, async () => {
        expectEnvelope(await rawRequest(url, get(path)), status, reason);
      });
    }

    it('answers an unknown method with 405, the envelope and CORS headers', async () => {
      expectEnvelope(await rawRequest(url, unreadableRequests['an unknown method']!('/rooms')), 405, 'BAD_REQUEST');
    });

    it('answers with 502 to 504, the envelope and CORS headers if no node can be reached', async () => {
      const balancer = await startBalancer(kind, [1, 2]);
      const answer = await rawRequest(balancer.url, get('/rooms'));
      expect(answer.status).to.be.within(502, 504);
      expectEnvelope(answer, answer.status, 'UNAVAILABLE');
    });

    it('answers an address that exceeds its rate with 429, the envelope, CORS headers and Retry-After', async () => {
      const { ports, requests } = await stubNodes((_request, response) => void response.end('ok'));
      const { url: limited } = await startBalancer(kind, ports, lowLimits[kind]);
      const answers = [];
      for (let n = 0; n < 10; n++) answers.push(await rawRequest(limited, get('/rooms')));
      expect(answers.filter(({ status }) => status === 200).length).to.be.within(3, 6);
      const last = answers.at(-1)!;
      expectEnvelope(last, 429, 'RATE_LIMITED');
      const message = get('/rooms/1/messages', 'Idempotency-Key: m1\r\n').replace('GET', 'POST');
      expectEnvelope(await rawRequest(limited, message), 429, 'RATE_LIMITED');
      expect(last.head).to.match(/^retry-after: \d+\r?$/im);
      expect(requests.length).to.equal(answers.filter(({ status }) => status === 200).length);
    });

    /** Each path has a public prefix either in its raw form, or after it has been decoded and normalised. */
    const ways = [
      '/admin/..%2frooms',
      '/admin/%2e%2e/rooms',
      '/admin/../rooms',
      '/admin/revocations/..%2f..%2frooms/1',
      '/admin/.%2e/rooms',
      '/admin//../../rooms',
      '/admin%2f..%2frooms',
      '/admin\\..\\rooms',
      '/rooms/..%2fadmin/revocations',
      '/rooms/../admin/revocations',
      '/rooms/..;/admin/revocations',
      '/rooms/%2e%2e%2fadmin/revocations',
      '/rooms%2f..%2fadmin/revocations',
      '/rooms/..\\admin/revocations',
      '/rooms/%5c..%5cadmin/revocations',
      '/./admin/revocations',
      '//admin/revocations',
      '/%61dmin/revocations',
      '/ADMIN/revocations',
      '/socket.io/..%2f..%2fadmin/revocations',
      '/metrics/..%2frooms',
      '/metrics/..%2fhealthz',
      '/metrics%3f/../rooms',
      '/metrics?/rooms',
      '/readyz#/rooms',
      'http://x/admin/revocations',
      'http://x/rooms/../admin/revocations',
      'http://rooms/metrics',
    ];
    it('does not forward a path that differs from its decoded and normalised form', async () => {
      const { ports, requests } = await stubNodes((_request, response) => void response.end('ok'));
      const { url: stubbed } = await startBalancer(kind, ports);
      for (const path of ways) {
        const { status } = await rawRequest(stubbed, get(path));
        expect(status, path).to.be.oneOf([400, 404]);
      }
      expect(requests).to.deep.equal([]);
      expect((await rawRequest(stubbed, get('/rooms?name=%2e%2e%2f//..'))).status).to.equal(200);
      expect((await rawRequest(stubbed, get('http://x/rooms'))).status).to.equal(200);
      expect(requests.length).to.equal(2);
    });

    it('does not forward a request whose body arrives slowly', async () => {
      const { ports, requests } = await stubNodes((_request, response) => void response.end('ok'));
      const balancer: Balancer = await startBalancer(kind, ports, shortTimeouts[kind]);
      const head = 'POST /rooms HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{';
      const answer = await rawExchange(balancer.url, head);
      // nginx closes the connection without an answer.
      expect(answer).to.match(kind === 'nginx' ? /^$/ : /^HTTP\/1\.1 408 /);
      expect(requests).to.deep.equal([]);
    });
  });
}

const lowLimits = {
  nginx: [
    ['rate=200r/s', 'rate=1r/m'],
    ['burst=1000', 'burst=4'],
  ],
  haproxy: [
    ['http_req_rate(10s)', 'http_req_rate(10m)'],
    ['gt 3000', 'gt 4'],
  ],
} satisfies Record<string, [string, string][]>;

const shortTimeouts = {
  nginx: [['client_body_timeout 10s', 'client_body_timeout 1s']],
  haproxy: [['timeout http-request 10s', 'timeout http-request 1s']],
} satisfies Record<string, [string, string][]>;
