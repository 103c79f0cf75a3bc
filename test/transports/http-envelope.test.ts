import { connect } from 'node:net';
import { expect } from 'chai';
import { type Alter, describeOneWiring } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { createUser, sign } from '../helpers/users.ts';

describeOneWiring('REST answers', ({ url }) => {
  const origin = { Origin: 'https://shop.example' };

  it('answers a REST request with meta and content', async () => {
    const { status, body } = await rest(url(), createUser().token).get('/rooms');
    expect(status).to.equal(200);
    expect(body).to.deep.equal({ meta: { code: 200, message: 'OK' }, content: [] });
  });

  it('answers a REST error with meta and content, and with a stable reason', async () => {
    const { body } = await rest(url(), createUser().token).get('/rooms/12345678');
    expect(body).to.have.all.keys('meta', 'content');
    expect(body.meta).to.include({ code: 404, reason: 'NOT_FOUND' });
    expect(body.content).to.equal(null);
  });

  it('answers an unknown path with 404', async () => {
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/nowhere'],
      ['PUT', '/rooms'],
      ['GET', '/rooms/1/2/3'],
      ['POST', '/rooms/1'],
    ] as const) {
      const { status, body } = await rest(url(), createUser().token).request(method, path);
      expect(status, `${method} ${path}`).to.equal(404);
      expect(body.meta).to.include({ code: 404, reason: 'NOT_FOUND' });
    }
  });

  it('reveals no stack trace and no SQL in an error, whatever the path', async () => {
    const paths = ['/rooms/%E0%A4%A', '/rooms/%00/members', "/rooms/'", '/rooms/1/members/%F0', '/rooms/..%2f..%2fetc'];
    for (const path of [
      ...paths,
      `/rooms/${'9'.repeat(4_000)}`,
      '/rooms?limit[]=1&limit[]=2',
      '/rooms?__proto__[x]=1',
    ]) {
      const { status, body } = await rest(url(), createUser().token).get(path);
      expect(status, path).to.be.below(500);
      expect(body, path).to.have.nested.property('meta.code', status);
      expect(JSON.stringify(body), path).to.not.match(/\bat .+:\d+:\d+|node_modules|select /i);
    }
  });

  it('sends CORS headers that allow any origin without credentials, also with errors', async () => {
    const person = rest(url(), createUser().token);
    const answers = [
      await person.get('/rooms', origin),
      await person.get('/rooms/12345678', origin),
      await person.post('/rooms', '{', origin),
      await person.get('/nowhere', origin),
      await rest(url()).get('/rooms', origin),
      await rest(url(), 'forged').get('/rooms', origin),
    ];
    expect(answers.map(({ status }) => status)).to.deep.equal([200, 404, 400, 404, 401, 401]);
    for (const { headers } of answers) {
      expect(headers.get('Access-Control-Allow-Origin')).to.equal('*');
      expect(headers.has('Access-Control-Allow-Credentials')).to.equal(false);
      expect(headers.get('Content-Type')).to.match(/^application\/json\b/);
    }
  });

  for (const path of ['/rooms', '/rooms/1/members', '/rooms/1/messages/']) {
    it(`answers a preflight of ${path} without a token and allows the headers of clients`, async () => {
      const asks = {
        'Access-Control-Request-Method': 'PUT',
        'Access-Control-Request-Headers': 'authorization,content-type',
      };
      const { status, headers } = await rest(url()).request('OPTIONS', path, { headers: { ...origin, ...asks } });
      expect(status).to.be.oneOf([200, 204]);
      expect(headers.get('Access-Control-Allow-Origin')).to.equal('*');
      const allowed = (name: string) =>
        headers
          .get(name)
          ?.toLowerCase()
          .split(/\s*,\s*/);
      expect(allowed('Access-Control-Allow-Headers')).to.include.members(['authorization', 'content-type']);
      expect(allowed('Access-Control-Allow-Methods')).to.include.members(['get', 'post', 'put', 'patch', 'delete']);
    });
  }

  it('answers a path with a trailing slash in the same way', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const client = rest(url(), owner.token);
    for (const path of ['/rooms', `/rooms/${room.id}`, `/rooms/${room.id}/members`, `/rooms/${room.id}/messages`]) {
      expect((await client.get(`${path}/`)).body).to.deep.equal((await client.get(path)).body);
    }
    expect((await client.post('/rooms/', { name: 'slash' })).status).to.equal(200);
    expect((await client.post(`/rooms/${room.id}/messages/`, { content: 'slash' })).status).to.equal(201);
    expect((await client.put(`/rooms/${room.id}/invitation/`, { accepted: true })).status).to.equal(200);
    expect((await client.delete(`/rooms/${room.id}/`)).status).to.equal(200);
  });

  it('answers HEAD like GET, without the body (the legacy service answered 500)', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    for (const path of ['/rooms', `/rooms/${room.id}`, `/rooms/${room.id}/messages`]) {
      const { status, body } = await rest(url(), owner.token).request('HEAD', path);
      expect(status).to.equal(200);
      expect(body).to.equal('');
    }
  });
});

describeOneWiring('REST requests that must not change anything', ({ url }) => {
  it('ignores method overrides, so that a POST deletes no room (in the legacy service it did)', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const client = rest(url(), owner.token);
    const overrides = ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'];
    for (const name of overrides) await client.post(`/rooms/${room.id}`, {}, { [name]: 'DELETE' });
    await client.post(`/rooms/${room.id}?_method=DELETE`, { _method: 'DELETE' });
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    await client.post(`/rooms/${room.id}`, '_method=DELETE', form);
    expect((await client.get(`/rooms/${room.id}`)).status).to.equal(200);
  });

  it('changes nothing after a rejected REST request', async () => {
    const owner = createUser({ level: 100 });
    for (const body of [{ name: 'x', level_admin: 1.5 }, { level_admin: 1 }, { name: 'x', type: 'x' }]) {
      expectRefusal(await rest(url(), owner.token).post('/rooms', body), 'BAD_REQUEST');
    }
    expect((await rest(url(), owner.token).get('/rooms')).body.content).to.deep.equal([]);
  });
});

describeOneWiring('REST bodies', ({ url }) => {
  for (const body of ['{', '{"name":', 'name=x', '{"name":"x"}}', "{'name':'x'}", '\0']) {
    it(`answers the body ${JSON.stringify(body)}, which is not JSON, with 400`, async () => {
      expectRefusal(await rest(url(), createUser({ level: 100 }).token).post('/rooms', body), 'BAD_REQUEST');
    });
  }

  for (const body of ['null', '[]', '"x"', '42', '', '[{"name":"x"}]']) {
    it(`answers the body ${body || 'of 0 bytes'}, which is not an object, with 400`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      const client = rest(url(), owner.token);
      expectRefusal(await client.post('/rooms', body), 'BAD_REQUEST');
      expectRefusal(await client.patch(`/rooms/${room.id}`, body), 'BAD_REQUEST');
      expectRefusal(await client.put(`/rooms/${room.id}/members`, body), 'BAD_REQUEST');
      expectRefusal(await client.put(`/rooms/${room.id}/invitation`, body), 'BAD_REQUEST');
      expectRefusal(await client.post(`/rooms/${room.id}/messages`, body), 'BAD_REQUEST');
    });
  }

  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
    it(`rejects a body of type ${type}`, async () => {
      const body = '{"name":"x"}';
      const made = await rest(url(), createUser({ level: 100 }).token).post('/rooms', body, { 'Content-Type': type });
      expect(made.status).to.be.within(400, 499);
    });
  }

  it('ignores keys of the prototype in a body', async () => {
    const body = '{"name":"x","__proto__":{"level_admin":1},"constructor":{"prototype":{"admin":true}}}';
    const made = await rest(url(), createUser({ level: 100 }).token).post('/rooms', body);
    expect(made.body.content.room).to.include({ level_admin: 100 });
    expect({}).to.not.have.property('admin');
  });

  it('answers a body that is too large with 413 TOO_LARGE', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const body = { content: 'x', pad: 'x'.repeat(200_000) };
    expectRefusal(await rest(url(), owner.token).post(`/rooms/${room.id}/messages`, body), 'TOO_LARGE');
  });

  it('does not read a body before the token is verified', async () => {
    for (const body of ['{', 'x'.repeat(200_000)]) {
      expectRefusal(await rest(url()).post('/rooms', body), 'UNAUTHENTICATED');
    }
  });

  it('does not wait for the body if the token is invalid', async () => {
    const { hostname, port } = new URL(url());
    const socket = connect(Number(port), hostname);
    const head = ['POST /rooms HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Content-Length: 1000'];
    socket.write(`${head.join('\r\n')}\r\n\r\n{`);
    const [answer] = (await new Promise<Buffer>((resolve) => socket.once('data', resolve))).toString().split('\r\n');
    socket.destroy();
    expect(answer).to.equal('HTTP/1.1 401 Unauthorized');
  });
});

describeOneWiring('REST requests without a valid token', ({ url }) => {
  it('answers a request without a token with 401 UNAUTHENTICATED in JSON on every route (text in the legacy service)', async () => {
    const calls: [string, string][] = [
      ['GET', '/rooms'],
      ['POST', '/rooms'],
      ['GET', '/rooms/1'],
      ['PATCH', '/rooms/1'],
      ['DELETE', '/rooms/1'],
      ['GET', '/rooms/1/members'],
      ['PUT', '/rooms/1/members'],
      ['DELETE', `/rooms/1/members/${createUser().user}`],
      ['PUT', '/rooms/1/invitation'],
      ['GET', '/rooms/1/messages'],
      ['POST', '/rooms/1/messages'],
    ];
    for (const [method, path] of calls) {
      expectRefusal(await rest(url()).request(method, path), 'UNAUTHENTICATED');
    }
  });

  it('answers every malformed Authorization header with 401', async () => {
    const { token } = createUser();
    for (const authorization of [
      'Bearer',
      'Bearer ',
      token,
      `Basic ${token}`,
      'Bearer x.y.z',
      `Bearer ${token}x`,
      '{}',
    ]) {
      const answer = await rest(url()).get('/rooms', { Authorization: authorization });
      expectRefusal(answer, 'UNAUTHENTICATED');
    }
  });

  it('answers a token in the query or the body with 401', async () => {
    const { token } = createUser({ level: 100 });
    expectRefusal(await rest(url()).get(`/rooms?token=${token}&access_token=${token}`), 'UNAUTHENTICATED');
    expectRefusal(await rest(url()).post('/rooms', { name: 'x', token, auth_token: token }), 'UNAUTHENTICATED');
  });

  it('answers an expired token with 401 TOKEN_EXPIRED', async () => {
    const { claims } = createUser();
    expectRefusal(await rest(url(), sign({ ...claims, exp: 1_000_000_000 })).get('/rooms'), 'TOKEN_EXPIRED');
  });
});

describeOneWiring('probes of a balancer', ({ url }) => {
  it('answers probes without a token and without an envelope', async () => {
    for (const path of ['/healthz', '/readyz', '/metrics']) {
      const { status, body } = await rest(url()).get(path);
      expect(status, path).to.equal(200);
      expect(body, path).to.be.a('string');
    }
  });
});

describeOneWiring('GET /metrics', ({ startNode }) => {
  it('requires METRICS_TOKEN if it is configured', async () => {
    const { url } = await startNode({ METRICS_TOKEN: 'a token for the metrics' });
    const metrics = (token?: string) => rest(url, token).get('/metrics');
    for (const token of [undefined, 'another', createUser().token]) expect((await metrics(token)).status).to.equal(401);
    expect((await metrics('a token for the metrics')).status).to.equal(200);
    const headers = { Authorization: 'bEARER a token for the metrics' };
    expect((await rest(url).get('/metrics', headers)).status).to.equal(200);
  });

  it('serves metrics at METRICS_PORT if it is configured', async () => {
    const { url } = await startNode({ METRICS_PORT: 0 });
    expect((await rest(url).get('/metrics')).status).to.equal(404);
  });
});

describeOneWiring('SEND_RATE on REST', ({ startNode }) => {
  it('answers a user who sends too fast with 429 RATE_LIMITED and Retry-After', async () => {
    // The rate is so low that no further message is allowed during the test.
    const slow: Alter = (config) => ({ ...config, limits: { ...config.limits, sendRate: 0.01 } });
    const { url } = await startNode({ SEND_BURST: 3 }, slow);
    const owner = createUser({ level: 100 });
    const room = await createRoom(url, owner);
    await sendMessages(url, owner, room, '1', '2', '3');
    const refused = await rest(url, owner.token).post(`/rooms/${room.id}/messages`, { content: '4' });
    expectRefusal(refused, 'RATE_LIMITED');
    expect(Number(refused.headers.get('Retry-After'))).to.be.at.least(1);
    expect((await rest(url, owner.token).get(`/rooms/${room.id}/messages`)).body.content).to.have.length(3);
  });
});
