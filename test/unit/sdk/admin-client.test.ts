import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import type { Route } from '../../../src/core/contract/rest.ts';
import { adminRoutes } from '../../../src/features/admin-calls.ts';
import { adminPaths } from '../../../src/sdk/admin-paths.ts';
import { AdminError, createAdminClient } from '../../../src/sdk/sdk.ts';
import { closeLater } from '../../helpers/cleanup.ts';

const token = 'the-administrator-of-the-tests-and-of-nothing-else';
const revocation = { id: 1, userUUID: null, issued_before: null, jti: 's8Qe41', createdAt: '2026-11-28T12:00:00.000Z' };

interface Received {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingMessage['headers'];
  body: string;
}

type Answer = (response: ServerResponse) => void;

const json =
  (status: number, meta: object, content: unknown, headers: Record<string, string> = {}): Answer =>
  (response) => {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    response.end(JSON.stringify({ meta: { code: status, message: 'OK', ...meta }, content }));
  };
const refuse = (status: number, reason: string, meta: object = {}) => json(status, { reason, ...meta }, null);
const created = json(201, {}, revocation);
const unavailable = refuse(503, 'UNAVAILABLE');
const cut: Answer = (response) => response.destroy();

/** A service that gives these answers, one for each request, and the last one again and again. */
async function serve(...answers: Answer[]) {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const { method, url, headers } = request;
    received.push({ method, url, headers, body: await text(request) });
    answers[Math.min(received.length, answers.length) - 1]!(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

async function failureOf(call: Promise<unknown>): Promise<AdminError> {
  const error = await call.then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).to.be.an.instanceof(AdminError);
  return error;
}

describe('the client of the server API', () => {
  const routes = Object.entries(adminRoutes).flatMap(([group, calls]) =>
    Object.entries(calls).map(([name, route]) => ({ group, name, route: route as Route })),
  );

  it('has method and path of every route below /admin', () => {
    const paths = Object.entries(adminPaths).flatMap(([group, calls]) =>
      Object.entries(calls).map(([name, path]) => `${group}.${name}: ${path}`),
    );
    expect(paths).to.have.members(
      routes.map(({ group, name, route }) => `${group}.${name}: ${route.method} ${route.path}`),
    );
  });

  it('may tell the query from the body by the method', () => {
    for (const { route } of routes) {
      const sendsQuery = ['GET', 'DELETE'].includes(route.method);
      expect(sendsQuery ? route.body : route.query, `${route.method} ${route.path}`).to.equal(undefined);
    }
  });

  it('sends the body, and resolves to status and content', async () => {
    const { url, received } = await serve(created);
    const answer = await createAdminClient({ url, token }).revocations.create({ jti: 's8Qe41' });
    expect(answer).to.deep.equal({ code: 201, content: revocation });
    expect(received).to.have.length(1);
    expect(received[0]).to.deep.include({ method: 'POST', url: '/admin/revocations', body: '{"jti":"s8Qe41"}' });
    expect(received[0]!.headers).to.deep.include({
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
    });
  });

  it('sends the query without what is undefined, and resolves to the rest of meta', async () => {
    const { url, received } = await serve(json(200, { has_more: false }, []));
    const answer = await createAdminClient({ url, token }).revocations.list({ limit: 5, before: undefined });
    expect(answer).to.deep.equal({ code: 200, content: [], meta: { has_more: false } });
    expect(received[0]!.url).to.equal('/admin/revocations?limit=5');
  });

  it('keeps the path under which the service is mounted, and encodes parameters', async () => {
    const { url, received } = await serve(json(200, {}, null));
    for (const mounted of [`${url}/messaging`, `${url}/messaging/`]) {
      await createAdminClient({ url: mounted, token }).revocations.lift('key:a/b?c' as never);
    }
    const path = '/messaging/admin/revocations/key:a%2Fb%3Fc';
    expect(received.map((request) => request.url)).to.deep.equal([path, path]);
  });

  for (const value of [undefined, null, '']) {
    it(`rejects with a TypeError instead of sending a path without its parameter: ${JSON.stringify(value)}`, async () => {
      const { url, received } = await serve(created);
      const error = await createAdminClient({ url, token })
        .revocations.lift(value as never)
        .catch((thrown: unknown) => thrown);
      expect(error).to.be.an.instanceof(TypeError).and.have.property('message').that.includes('id: is missing');
      expect(received).to.deep.equal([]);
    });
  }

  it('rejects with the code, status, field and delay of the service', async () => {
    const { url, received } = await serve(refuse(400, 'BAD_REQUEST', { detail: 'rules.0.level: must be an integer' }));
    const error = await failureOf(createAdminClient({ url, token }).revocations.create({ jti: '' }));
    expect(error).to.include({ code: 'BAD_REQUEST', status: 400, field: 'rules.0.level', retryAfterMs: undefined });
    expect(error.message).to.equal('POST /admin/revocations: rules.0.level: must be an integer');
    expect(received, 'another attempt would not help').to.have.length(1);
  });

  it('reads no field from a detail that has none', async () => {
    const { url } = await serve(refuse(404, 'NOT_FOUND', { detail: 'No route matches POST: /admin/x' }));
    const error = await failureOf(createAdminClient({ url, token }).revocations.list());
    expect(error).to.include({ code: 'NOT_FOUND', field: undefined });
  });

  it('retries with the same request if the service is unavailable, answers through a broken balancer, or cuts the connection', async () => {
    const badGateway: Answer = (response) => response.writeHead(502, { 'Content-Type': 'text/html' }).end('<html>');
    const { url, received } = await serve(unavailable, badGateway, cut, created);
    const answer = await createAdminClient({ url, token }).revocations.create({ jti: 's8Qe41' });
    expect(answer.code).to.equal(201);
    expect(received).to.have.length(4);
    expect(new Set(received.map((request) => JSON.stringify(request)))).to.have.length(1);
  });

  it('gives each call a key, which its retries repeat', async () => {
    const { url, received } = await serve(unavailable, json(201, { duplicates: [] }, []));
    const { messages } = createAdminClient({ url, token });
    await messages.send('key:order-17', { messages: [{ content: 'one' }] });
    // @ts-expect-error a message has no such field
    await messages.send('key:order-17', { messages: [{ content: 'one', clientMsgId: 'a' }] });
    const [first, retry, other] = received.map(({ headers }) => headers['idempotency-key']);
    expect(first).to.match(/^[0-9a-f-]{36}$/);
    expect(retry).to.equal(first);
    expect(other).to.not.equal(first);
  });

  it('gives up after the retries, with the last error', async () => {
    const { url, received } = await serve(cut, unavailable);
    const error = await failureOf(createAdminClient({ url, token, retries: 1 }).revocations.list());
    expect(error).to.include({ code: 'UNAVAILABLE', status: 503 });
    expect(received).to.have.length(2);
  });

  it('waits as long as the service asks', async () => {
    const { url } = await serve(refuse(503, 'UNAVAILABLE', { retry_after_ms: 700 }), json(200, {}, []));
    const start = performance.now();
    await createAdminClient({ url, token }).revocations.list();
    expect(performance.now() - start).to.be.at.least(695);
  });

  it('leaves it to the caller if the service asks for more than 10 s', async () => {
    const inAnHour = json(503, { reason: 'UNAVAILABLE' }, null, { 'Retry-After': '3600' });
    const { url, received } = await serve(inAnHour);
    const error = await failureOf(createAdminClient({ url, token }).revocations.list());
    expect(error).to.include({ code: 'UNAVAILABLE', retryAfterMs: 3_600_000 });
    expect(received).to.have.length(1);
  });

  it('rejects with TIMEOUT if no answer arrives in time', async () => {
    const { url, received } = await serve(() => {});
    const client = createAdminClient({ url, token, timeoutMs: 500, retries: 1 });
    const error = await failureOf(client.revocations.list());
    expect(error).to.include({ code: 'TIMEOUT', status: undefined });
    expect(error.message).to.equal('GET /admin/revocations: no answer within 500 ms');
    expect(received).to.have.length(2);
  });

  it('rejects with UNREACHABLE and the reason if nobody listens', async () => {
    const error = await failureOf(
      createAdminClient({ url: 'http://127.0.0.1:1', token, retries: 0 }).revocations.list(),
    );
    expect(error).to.include({ code: 'UNREACHABLE', status: undefined });
    expect(error.message).to.match(/^GET \/admin\/revocations: fetch failed: .+/);
  });

  for (const [title, answer, status] of [
    ['a page', (response: ServerResponse) => response.end('<!doctype html>'), 200],
    ['JSON of another service', (response: ServerResponse) => response.end('{"ok":true}'), 200],
    ['a redirect', (response: ServerResponse) => response.writeHead(301, { Location: '/login' }).end(), 301],
  ] as const) {
    it(`rejects with UNREACHABLE and does not retry if ${title} answers`, async () => {
      const { url, received } = await serve(answer);
      const error = await failureOf(createAdminClient({ url, token }).revocations.list());
      expect(error).to.include({ code: 'UNREACHABLE', status });
      expect(error.message).to.include('not from the service; check the url');
      expect(received).to.have.length(1);
    });
  }

  it('rejects with a TypeError instead of a call of another route by a parameter that a URL resolves', async () => {
    const { url, received } = await serve(json(200, { next: null }, []));
    for (const uuid of ['.', '..']) {
      const answer = createAdminClient({ url, token }).users.rooms(uuid);
      const error = await answer.then(
        () => undefined,
        (thrown) => thrown,
      );
      expect(error).to.be.an.instanceof(TypeError).and.have.property('message').that.includes('uuid: must not be .');
    }
    expect(received).to.deep.equal([]);
  });

  it('throws a TypeError without a token', () => {
    expect(() => createAdminClient({ url: 'http://127.0.0.1', token: '' })).to.throw(TypeError, /^token: /);
  });
});
