import type { ServerResponse } from 'node:http';
import { expect } from 'chai';
import { findBalancer, startBalancer } from '../helpers/balancer.ts';
import { restCalls } from '../helpers/rest-calls.ts';
import { type Behaviour, stubNodes } from '../helpers/stub-nodes.ts';

const yes = (response: ServerResponse) =>
  void response.setHeader('Content-Type', 'application/json').end('{"ok":true}');

/** Accepts the first request and closes without an answer, like a node that is killed. */
const dies: Behaviour = (request, response, n) => {
  if (n > 0) return yes(response);
  request.on('end', () => request.socket.destroy());
};

/** Answers the first request with 503. */
const refuses: Behaviour = (_request, response, n) => {
  if (n > 0) return yes(response);
  response.writeHead(503, { 'Content-Type': 'application/json' }).end('{"ok":false}');
};

interface Row {
  what: string;
  behave: Behaviour;
  method: string;
  path: string;
  headers?: Record<string, string>;
  status: number | number[];
  /** How many nodes received the request. */
  times: number;
}

const message = '/rooms/1/messages';
const named = { 'Idempotency-Key': 'a-1' };
const lost = [502, 504];

const rows: Row[] = [
  { what: 'retries a read', behave: dies, method: 'GET', path: message, status: 200, times: 2 },
  {
    what: 'retries the PUT of a rule',
    behave: dies,
    method: 'PUT',
    path: '/rooms/1/members',
    status: 200,
    times: 2,
  },
  {
    what: 'does not retry a message, which may be stored',
    behave: dies,
    method: 'POST',
    path: message,
    status: lost,
    times: 1,
  },
  {
    what: 'retries a message with an idempotency key',
    behave: dies,
    method: 'POST',
    path: message,
    headers: named,
    status: 200,
    times: 2,
  },
  {
    what: 'does not retry a change of a room',
    behave: dies,
    method: 'PATCH',
    path: '/rooms/1',
    headers: {},
    status: lost,
    times: 1,
  },
  { what: 'does not retry a rejected message', behave: refuses, method: 'POST', path: message, status: 503, times: 1 },
  {
    what: 'does not retry the creation of a room',
    behave: dies,
    method: 'POST',
    path: '/rooms',
    headers: named,
    status: lost,
    times: 1,
  },
  {
    what: 'retries a rejected message with an idempotency key',
    behave: refuses,
    method: 'POST',
    path: message,
    headers: named,
    status: 200,
    times: 2,
  },
  {
    what: 'retries a rejected handshake',
    behave: refuses,
    method: 'GET',
    path: '/socket.io/?EIO=4',
    status: 200,
    times: 2,
  },
  {
    what: 'does not retry a request of a session',
    behave: refuses,
    method: 'POST',
    path: '/socket.io/?EIO=4&sid=chat-1.x',
    status: 503,
    times: 1,
  },
];

for (const kind of ['nginx', 'haproxy'] as const) {
  describe(`retries of ${kind} (deploy/)`, () => {
    before(function () {
      this.timeout(300_000);
      findBalancer(kind);
    });

    for (const { what, behave, method, path, headers, status, times } of rows) {
      it(`${what}: ${method} ${path}${headers === named ? ' with an Idempotency-Key' : ''}, ${behave.name}`, async () => {
        const { ports, requests } = await stubNodes(behave);
        const { url } = await startBalancer(kind, ports);
        const body = method === 'GET' ? undefined : { content: 'hello' };
        const answer = await restCalls(url).request(method, path, { body, ...(headers && { headers }) });
        expect(answer.status).to.be.oneOf([status].flat());
        expect(requests).to.deep.equal(Array.from({ length: times }, () => `${method} ${path}`));
      });
    }

    it('keeps forwarding after all nodes have answered 503 for a while, because only the database is down', async () => {
      const { ports } = await stubNodes((request, response) => {
        response.statusCode = request.url!.startsWith('/rooms') ? 503 : 200;
        response.setHeader('Content-Type', 'application/json').end('{"from":"the node"}');
      });
      const { url } = await startBalancer(kind, ports);
      for (let n = 0; n < 6; n++) {
        for (const headers of [{}, named]) {
          const answer = await restCalls(url).post(message, { content: 'hello' }, headers as Record<string, string>);
          expect(answer).to.deep.include({ status: 503, body: { from: 'the node' } });
        }
        expect((await restCalls(url).get('/rooms')).body).to.deep.equal({ from: 'the node' });
        expect((await restCalls(url).get('/socket.io/?EIO=4&transport=polling')).status).to.equal(200);
      }
    });

    it('sends the client address to the node and ignores the forwarding headers of the client', async () => {
      const { ports } = await stubNodes((request, response) => {
        response.setHeader('Content-Type', 'application/json').end(JSON.stringify(request.headers));
      });
      const { url } = await startBalancer(kind, ports);
      const forged = {
        'X-Forwarded-For': '192.0.2.1',
        'X-Forwarded-Proto': 'https',
        'X-Forwarded-Host': 'bank.example',
      };
      const { body } = await restCalls(url).get('/rooms', forged);
      expect(body).to.include({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' });
      expect(body['x-forwarded-host']).to.match(/^127\.0\.0\.1/);
    });
  });
}
