import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { describeBothDatabases, describeOneWiring } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { admin, liftRevocation, revoke } from '../helpers/revocations.ts';
import { adminToken, createUser } from '../helpers/users.ts';

describeBothDatabases('POST /admin/revocations', ({ url }) => {
  it('answers a revocation with 201, and a repeated one with 200 and the same revocation', async () => {
    for (const target of [{ userUUID: randomUUID(), issued_before: 7 }, { jti: randomUUID() }]) {
      const first = await admin(url()).post('/admin/revocations', target);
      expect(first.body.meta).to.deep.equal({ code: 201, message: 'OK' });
      expect(first.body.content)
        .to.include(target)
        .and.to.have.all.keys('id', 'userUUID', 'issued_before', 'jti', 'createdAt');
      expect(Date.parse(first.body.content.createdAt)).to.be.closeTo(Date.now(), 60_000);
      const second = await admin(url()).post('/admin/revocations', first.body.content);
      const meta = { code: 200, message: 'OK', ignored: ['id', 'createdAt'] };
      expect(second.body).to.deep.equal({ meta, content: first.body.content });
    }
  });

  it('creates a new revocation if the first was deleted', async () => {
    const target = { jti: randomUUID() };
    const first = await revoke(url(), target);
    await liftRevocation(url(), first);
    expect((await revoke(url(), target)).id).to.be.above(first.id);
  });

  it('creates one revocation for many concurrent requests', async () => {
    const target = { userUUID: randomUUID(), issued_before: 7 };
    const answers = await Promise.all(Array.from({ length: 8 }, () => admin(url()).post('/admin/revocations', target)));
    expect(answers.map(({ status }) => status).sort()).to.deep.equal([...Array(7).fill(200), 201]);
    expect(new Set(answers.map(({ body }) => body.content.id))).to.have.property('size', 1);
  });

  const userUUID = 'aaaaaaaa-0000-4000-8000-000000000001';
  const wrong: [field: string, body: unknown][] = [
    ['userUUID', {}],
    ['userUUID', { userUUID: null, issued_before: null, jti: null }],
    ['userUUID', { issued_before: 5 }],
    ['userUUID', { userUUID: 'ana', issued_before: 5 }],
    ['issued_before', { userUUID }],
    ['issued_before', { userUUID, issued_before: 0 }],
    ['issued_before', { userUUID, issued_before: -1 }],
    ['issued_before', { userUUID, issued_before: 1.5 }],
    ['issued_before', { userUUID, issued_before: Date.now() }],
    ['issued_before', { userUUID, issued_before: 'yesterday' }],
    ['issued_before', { userUUID, issued_before: '2026-02-30' }],
    ['issued_before', { userUUID, issued_before: '1969-12-31' }],
    ['issued_before', { userUUID, issued_before: true }],
    ['jti', { jti: '' }],
    ['jti', { jti: 'x'.repeat(256) }],
    ['jti', { jti: 7.5 }],
    ['jti', { jti: 2 ** 60 }],
    ['jti', { jti: [7] }],
    ['jti', { jti: 'a\0b' }],
    ['jti', { jti: 'a\ud800b' }],
    ['jti', { jti: 'x', userUUID, issued_before: 5 }],
    ['jti', { jti: 'x', issued_before: 5 }],
    ['jti', { jti: 'x', userUUID }],
  ];
  for (const [field, body] of wrong) {
    it(`rejects the revocation ${JSON.stringify(body).slice(0, 80)} with 400 and the field ${field}`, async () => {
      expectRefusal(await admin(url()).post('/admin/revocations', body), 'BAD_REQUEST', field);
    });
  }

  it('rejects a revocation with 400 if it is not a JSON object, and with 413 if it is too large', async () => {
    for (const body of ['[]', '"x"', 'null', '{', '']) {
      expectRefusal(await admin(url()).post('/admin/revocations', body), 'BAD_REQUEST');
    }
    expectRefusal(await admin(url()).post('/admin/revocations'), 'BAD_REQUEST');
    expectRefusal(await admin(url()).post('/admin/revocations', { jti: 'x'.repeat(8_400_000) }), 'TOO_LARGE');
  });
});

describeBothDatabases('GET and DELETE /admin/revocations', ({ startNode }) => {
  it('lists active revocations from newest to oldest page by page, and deletes them', async () => {
    const { url } = await startNode();
    const get = async (query = '') => {
      const { body } = await admin(url).get(`/admin/revocations${query}`);
      return { ...body.meta, ids: body.content.map(({ id }: { id: number }) => id) };
    };
    const empty = { code: 200, message: 'OK', has_more: false, ids: [] };
    expect(await get()).to.deep.equal(empty);
    const made = [];
    for (let n = 1; n <= 5; n++) made.push(await revoke(url, { jti: `token ${n}` }));
    const [a, b, c, d, e] = made.map(({ id }) => id);
    expect((await admin(url).get('/admin/revocations/?limit=1')).body.content).to.deep.equal([made[4]]);
    expect(await get()).to.deep.include({ has_more: false, ids: [e, d, c, b, a] });
    expect(await get('?limit=5')).to.deep.include({ has_more: false, ids: [e, d, c, b, a] });
    expect(await get('?limit=2')).to.deep.include({ has_more: true, ids: [e, d] });
    expect(await get(`?limit=2&before=${d}`)).to.deep.include({ has_more: true, ids: [c, b] });
    expect(await get(`?limit=2&before=${b}`)).to.deep.include({ has_more: false, ids: [a] });
    const taken = await admin(url).delete(`/admin/revocations/${c}`);
    expect(taken.body).to.deep.equal({ meta: { code: 200, message: 'OK' }, content: null });
    expect(await get()).to.deep.include({ ids: [e, d, b, a] });
    for (const id of [c, 1_000_000, Number.MAX_SAFE_INTEGER]) {
      expectRefusal(await admin(url).delete(`/admin/revocations/${id}`), 'NOT_FOUND');
    }
    expectRefusal(await admin(url).delete('/admin/revocations/first'), 'BAD_REQUEST', 'id');
    for (const [query, field] of [
      ['limit=0', 'limit'],
      ['limit=1001', 'limit'],
      ['before=x', 'before'],
    ] as const) {
      expectRefusal(await admin(url).get(`/admin/revocations?${query}`), 'BAD_REQUEST', field);
    }
  });
});

describeOneWiring('/admin', ({ url, startNode }) => {
  const calls = [
    ['POST', '/admin/revocations'],
    ['GET', '/admin/revocations'],
    ['DELETE', '/admin/revocations/1'],
    ['OPTIONS', '/admin/revocations'],
    ['GET', '/admin'],
    ['GET', '/Admin/anything'],
  ] as const;
  /** The headers that a browser sends for a page of another site. */
  const fromSite = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST' };

  it('answers /admin with 401 without ADMIN_TOKEN, and does not read the body', async () => {
    const tokens = [undefined, adminToken.slice(0, -1), `${adminToken}x`, adminToken.toUpperCase(), createUser().token];
    for (const token of tokens) {
      for (const [method, path] of calls) {
        const answer = await rest(url(), token).request(method, path);
        expectRefusal(answer, 'UNAUTHENTICATED');
        expect(answer.headers.get('WWW-Authenticate')).to.equal('Bearer');
      }
      expectRefusal(await rest(url(), token).post('/admin/revocations', '{'), 'UNAUTHENTICATED');
    }
  });

  it('answers unknown /admin routes with 404, and does not accept ADMIN_TOKEN as the token of a user', async () => {
    for (const [method, path] of [
      ['PUT', '/admin/revocations'],
      ['GET', '/admin/revocations/1'],
      ['GET', '/admin'],
    ]) {
      expectRefusal(await admin(url()).request(method!, path!), 'NOT_FOUND');
    }
    expectRefusal(await admin(url()).get('/rooms'), 'UNAUTHENTICATED');
  });

  it('sends no CORS headers on any answer of /admin', async () => {
    for (const [method, path] of [...calls, ['GET', '/admin/revocations/1'] as const]) {
      for (const token of [adminToken, undefined]) {
        const { headers } = await rest(url(), token).request(method, path, { headers: fromSite });
        const cors = [...headers.keys()].filter((name) => name.startsWith('access-control-') || name === 'vary');
        expect(cors, `${method} ${path}`).to.deep.equal([]);
      }
    }
  });

  it('answers /admin like an unknown route if ADMIN_TOKEN is not set', async () => {
    const { url } = await startNode({ ADMIN_TOKEN: undefined });
    const ask = async (method: string, path: string) => {
      const { status, headers, body } = await rest(url, adminToken).request(method, path, { headers: fromSite });
      const others = [...headers].filter(([name]) => name !== 'date');
      return JSON.stringify({ status, others, body }).replaceAll(path, '/path');
    };
    for (const [method, path] of calls) {
      expect(await ask(method, path), `${method} ${path}`).to.equal(await ask(method, path.replace(/dmin/, 'nyth')));
    }
    expect((await rest(url, adminToken).get('/admin/revocations')).status).to.equal(404);
  });
});
