import { expect } from 'chai';
import { authenticatedChat, chatClient } from '../helpers/chat-client.ts';
import { describeEveryWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser, sign, type TestUser, withClaims } from '../helpers/users.ts';

const now = () => Math.floor(Date.now() / 1_000);

const forged = ({ claims }: TestUser) => sign(claims, { secret: 'somebody else knows this one, not the server' });
const expired = (person: TestUser) => withClaims(person, { exp: now() - 60 }).token;

describeEveryWiring('/chat tokens', ({ url, startNode }) => {
  async function started(at = url()) {
    const chat = await chatClient(at);
    expect(await chat.next()).to.include({ data: 'START?' });
    return chat;
  }

  it('asks START? as soon as it is connected', async () => {
    const chat = await chatClient(url());
    expect(await chat.next()).to.deep.equal({ type: 'query', data: 'START?' });
  });

  it('says READY to a token', async () => {
    const chat = await started();
    chat.send({ type: 'token', content: createUser().token });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY' });
  });

  const bad: Record<string, () => unknown> = {
    'what is no JWT': () => 'token.jwt.secreto',
    'an empty string': () => '',
    nothing: () => undefined,
    null: () => null,
    'an object': () => ({ token: 'x' }),
    'a forged token': () => forged(createUser()),
    'an expired token': () => expired(createUser()),
    'a token of no user': () => createUser({ user: 'nobody' }).token,
    'a token with a broken level': () => createUser({ level: 1.5 }).token,
    'an unsigned token (alg: none)': () => sign(createUser().claims, { alg: 'none' }),
  };
  for (const [title, content] of Object.entries(bad)) {
    it(`asks TOKEN? again after ${title}, and takes a good one then`, async () => {
      const chat = await started();
      chat.send({ type: 'token', content: content() });
      expect(await chat.next()).to.include({ type: 'query', data: 'TOKEN?' });
      chat.send({ type: 'token', content: createUser().token });
      expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY' });
    });
  }

  it('tells an expired token from a forged one', async () => {
    const chat = await started();
    chat.send({ type: 'token', content: expired(createUser()) });
    chat.send({ type: 'token', content: 'forged' });
    expect(await chat.next()).to.include({ data: 'TOKEN?', reason: 'TOKEN_EXPIRED' });
    expect(await chat.next()).to.include({ data: 'TOKEN?', reason: 'UNAUTHENTICATED' });
  });

  const early: Record<string, string> = {
    'what is not JSON': '{"type":',
    'an empty frame': '',
    'null (it ended the original)': 'null',
    'an array': '[{"type":"token"}]',
    'a number': '42',
    'a string': '"token"',
    'an object without a type': '{}',
    'another command': '{"type":"select_room","room_id":1}',
    'an unknown type': '{"type":"hello"}',
    'a type that is no string': '{"type":["token"]}',
  };
  for (const [title, frame] of Object.entries(early)) {
    it(`counts ${title} as a bad try: TOKEN?, TOKEN?, BADAUTH and 4401`, async () => {
      const chat = await started();
      for (let n = 0; n < 3; n++) chat.sendRaw(frame);
      expect(await chat.next()).to.include({ type: 'query', data: 'TOKEN?' });
      expect(await chat.next()).to.include({ type: 'query', data: 'TOKEN?' });
      expect(await chat.next()).to.include({ type: 'status', data: 'BADAUTH' });
      expect(await chat.closed).to.equal(4401);
    });
  }

  it('stays usable after two bad frames', async () => {
    const chat = await started();
    for (const frame of ['null', '{']) {
      chat.sendRaw(frame);
      expect(await chat.next()).to.include({ data: 'TOKEN?' });
    }
    chat.send({ type: 'token', content: createUser().token });
    expect(await chat.next()).to.include({ data: 'READY' });
  });

  it('gives the id of a command back on its answer', async () => {
    const chat = await started();
    chat.send({ type: 'token', content: 'forged', id: 'first' });
    expect(await chat.next()).to.include({ data: 'TOKEN?', id: 'first' });
    chat.send({ type: 'token', content: createUser().token, id: 2 });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY', id: 2 });
  });

  it('takes a frame of 4 KiB before READY and ends with 1009 on a larger one', async () => {
    const token = { type: 'token', content: createUser().token, pad: '' };
    const frame = (bytes: number) =>
      JSON.stringify({ ...token, pad: 'x'.repeat(bytes - JSON.stringify(token).length) });
    const small = await started();
    small.sendRaw(frame(4_096));
    expect(await small.next()).to.include({ data: 'READY' });
    const large = await started();
    large.sendRaw(frame(4_097));
    expect(await large.closed).to.equal(1009);
  });

  it('ends with 4409 when no token came in time, which traffic does not extend', async () => {
    const node = await startNode({}, (config) => ({ ...config, authTimeoutMs: 300 }));
    const busy = await started(node.url);
    const pings = setInterval(() => busy.socket.ping(), 30);
    void busy.closed.then(() => clearInterval(pings));
    busy.sendRaw('null');
    const idle = await started(node.url);
    expect(await Promise.all([busy.closed, idle.closed])).to.deep.equal([4409, 4409]);
  });

  it('answers UNAVAILABLE, and counts no bad try, while the keys cannot be had', async () => {
    const keys = { JWT_SECRET: undefined, JWT_JWKS_URL: 'https://127.0.0.1:1/keys' };
    const chat = await started((await startNode(keys)).url);
    const claims = Buffer.from('{}').toString('base64url');
    const content = `${Buffer.from('{"alg":"RS256","kid":"1"}').toString('base64url')}.${claims}.${claims}`;
    for (let n = 0; n < 4; n++) {
      chat.send({ type: 'token', content });
      expect(await chat.next()).to.include({ type: 'status', data: 'ERROR', reason: 'UNAVAILABLE' });
    }
  });

  it('takes a token that ends in the year 2650: no timer overflows', async () => {
    const chat = await started();
    chat.send({ type: 'token', content: createUser({ exp: 21_475_878_357 }).token });
    expect(await chat.next()).to.include({ data: 'READY' });
    for (let n = 0; n < 20; n++) {
      chat.send({ type: 'fence' });
      expect(await chat.next()).to.include({ data: 'COMMAND?' });
    }
  });

  it('closes with 4403 when the token ends, but not who has sent a fresh one', async () => {
    const person = createUser();
    const [kept, dropped] = await Promise.all([started(), started()]);
    const short = withClaims(person, { exp: now() + 2 }).token;
    for (const chat of [kept, dropped]) {
      chat.send({ type: 'token', content: short });
      expect(await chat.next()).to.include({ data: 'READY' });
    }
    kept.send({ type: 'token', content: person.token });
    expect(await kept.next()).to.deep.equal({ type: 'status', data: 'READY' });
    expect(await dropped.closed).to.equal(4403);
    kept.send({ type: 'fence' });
    expect(await kept.next()).to.include({ data: 'COMMAND?' });
  });

  const refused: Record<string, (person: TestUser) => string> = {
    'a forged token': forged,
    'an expired token': expired,
    "another user's token": ({ entity }) => createUser({ entity }).token,
  };
  for (const [title, content] of Object.entries(refused)) {
    it(`refuses ${title} after READY and keeps the one it has`, async () => {
      const person = createUser({ level: 100 });
      const chat = await authenticatedChat(url(), person);
      chat.send({ type: 'token', content: content(person) });
      expect(await chat.next()).to.include({ type: 'query', data: 'TOKEN?' });
      const made = await rest(url(), person.token).post('/rooms', { name: 'of the first' });
      chat.send({ type: 'select_room', room_id: made.body.content.room.id });
      expect(await chat.next()).to.include({ data: 'CONNECTED', rights: 'rwa' });
    });
  }

  it('a refused token does not put off the end of the one it has', async () => {
    const person = createUser();
    const chat = await started();
    chat.send({ type: 'token', content: withClaims(person, { exp: now() + 2 }).token });
    expect(await chat.next()).to.include({ data: 'READY' });
    chat.send({ type: 'token', content: createUser().token });
    expect(await chat.next()).to.include({ data: 'TOKEN?' });
    expect(await chat.closed).to.equal(4403);
  });
});
