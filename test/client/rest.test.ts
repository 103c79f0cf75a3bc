import { expect } from 'chai';
import { createRestClient } from '../../src/client/rest.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { createRoomWithOwner } from '../helpers/rooms.ts';
import { createUser, withClaims } from '../helpers/users.ts';

describeOneWiring('the REST client', ({ url }) => {
  /** A client whose token function returns these tokens in order, and the last one from then on. */
  function createClient(...tokens: string[]) {
    let calls = 0;
    const token = async () => tokens[Math.min(calls++, tokens.length - 1)]!;
    return { api: createRestClient({ url: url(), token }), calls: () => calls };
  }

  const expired = () => withClaims(createUser(), { exp: 1_000_000_000 }).token;

  it('sends parameters, queries, headers and bodies, and calls the token function once', async () => {
    const { api, calls } = createClient(createUser({ level: 100 }).token);
    const created = await api.POST('/rooms', { body: { name: 'typed' } });
    const { id } = created.data.content.room;
    const send = (key: string) =>
      api.POST('/rooms/{id}/messages', {
        params: { path: { id }, header: { 'Idempotency-Key': key } },
        body: { content: 'hello' },
      });
    const sent = await Promise.all(['a', 'a', 'b'].map(send));
    expect(sent.map(({ response }) => response.status).sort()).to.deep.equal([200, 201, 201]);
    const page = await api.GET('/rooms/{id}/messages', { params: { path: { id }, query: { limit: 1 } } });
    expect(page.data).to.nested.include({ 'meta.has_more': true, 'content[0].content': 'hello', 'content[0].seq': 2 });
    expect(calls()).to.equal(1);
  });

  it('returns the envelope of a refusal as the error', async () => {
    const { room } = await createRoomWithOwner(url());
    const { api } = createClient(createUser().token);
    const { data, error, response } = await api.GET('/rooms/{id}', { params: { path: { id: room.id } } });
    expect([data, response.status]).to.deep.equal([undefined, 404]);
    expect(error).to.nested.include({ 'meta.reason': 'NOT_FOUND' });
  });

  it('gets one token for all requests whose token was rejected, and repeats each of them once, with its body', async () => {
    const { api, calls } = createClient(expired(), createUser({ level: 100 }).token);
    const names = ['one', 'two', 'three'];
    const created = await Promise.all(names.map((name) => api.POST('/rooms', { body: { name } })));
    expect(created.map(({ data }) => data?.content.room.name)).to.deep.equal(names);
    expect(calls()).to.equal(2);
  });

  it('returns the refusal if the next token is the same, or is rejected, too', async () => {
    const token = expired();
    const { api, calls } = createClient(token);
    const { error } = await api.GET('/rooms', {});
    expect(error).to.nested.include({ 'meta.reason': 'TOKEN_EXPIRED' });
    expect(calls()).to.equal(2);
    const others = createClient(token, expired(), createUser().token);
    expect((await others.api.GET('/rooms', {})).error).to.nested.include({ 'meta.reason': 'TOKEN_EXPIRED' });
    expect((await others.api.GET('/rooms', {})).data).to.deep.include({ content: [] });
  });

  it('rejects with NO_TOKEN if the token function fails, and calls it again for the next request', async () => {
    const person = createUser();
    let calls = 0;
    const token = async () => {
      if (++calls === 1) throw new Error('the backend is down');
      return person.token;
    };
    const api = createRestClient({ url: url(), token });
    const failures = await Promise.allSettled([api.GET('/rooms', {}), api.GET('/rooms', {})]);
    expect(failures.map((failure) => failure.status === 'rejected' && failure.reason.code)).to.deep.equal([
      'NO_TOKEN',
      'NO_TOKEN',
    ]);
    expect((await api.GET('/rooms', {})).response.status).to.equal(200);
    expect(calls).to.equal(2);
  });

  it('rejects an id that a URL would resolve to another route', async () => {
    const { api, calls } = createClient(createUser().token);
    const outcome = await api.GET('/rooms/{id}/messages', { params: { path: { id: '..' } } }).catch((error) => error);
    expect(outcome).to.be.an.instanceOf(TypeError).with.property('message', 'id must not be ..');
    expect(calls()).to.equal(0);
  });
});
