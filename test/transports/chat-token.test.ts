import { expect } from 'chai';
import { authenticatedChat, chatClient } from '../helpers/chat-client.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser, sign, type TestUser, withClaims } from '../helpers/users.ts';

const now = () => Math.floor(Date.now() / 1_000);
/** Long enough for everything that happens before the expiry, even if this process stands still for two seconds. */
const soon = () => Date.now() / 1_000 + 2.5;

const forged = ({ claims }: TestUser) => sign(claims, { secret: 'a secret that the server does not know' });
const expired = (person: TestUser) => withClaims(person, { exp: now() - 60 }).token;

describeOneWiring('/chat tokens', ({ url, startNode }) => {
  async function started(at = url()) {
    const chat = await chatClient(at);
    expect(await chat.next()).to.include({ data: 'START?' });
    return chat;
  }

  it('sends START? as soon as the client is connected', async () => {
    const chat = await chatClient(url());
    expect(await chat.next()).to.deep.equal({ type: 'query', data: 'START?' });
  });

  it('answers a valid token with READY', async () => {
    const chat = await started();
    chat.send({ type: 'token', content: createUser().token });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY' });
  });

  const bad: Record<string, () => unknown> = {
    'a string that is not a JWT': () => 'token.jwt.secreto',
    'an empty string': () => '',
    nothing: () => undefined,
    null: () => null,
    'an object': () => ({ token: 'x' }),
    'a forged token': () => forged(createUser()),
    'an expired token': () => expired(createUser()),
    'a token without a valid user': () => createUser({ user: 'nobody' }).token,
    'a token with a broken level': () => createUser({ level: 1.5 }).token,
    'an unsigned token (alg: none)': () => sign(createUser().claims, { alg: 'none' }),
  };
  for (const [title, content] of Object.entries(bad)) {
    it(`sends TOKEN? after ${title}, and accepts a valid token then`, async () => {
      const chat = await started();
      chat.send({ type: 'token', content: content() });
      expect(await chat.next()).to.include({ type: 'query', data: 'TOKEN?' });
      chat.send({ type: 'token', content: createUser().token });
      expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY' });
    });
  }

  it('answers an expired token and a forged token with different reasons', async () => {
    const chat = await started();
    chat.send({ type: 'token', content: expired(createUser()) });
    chat.send({ type: 'token', content: 'forged' });
    expect(await chat.next()).to.include({ data: 'TOKEN?', reason: 'TOKEN_EXPIRED' });
    expect(await chat.next()).to.include({ data: 'TOKEN?', reason: 'UNAUTHENTICATED' });
  });

  const early: Record<string, string> = {
    'invalid JSON': '{"type":',
    'an empty frame': '',
    'null (it crashed the legacy service)': 'null',
    'an array': '[{"type":"token"}]',
    'a number': '42',
    'a string': '"token"',
    'an object without a type': '{}',
    'another command': '{"type":"select_room","room_id":1}',
    'an unknown type': '{"type":"hello"}',
    'a type that is not a string': '{"type":["token"]}',
  };
  for (const [title, frame] of Object.entries(early)) {
    it(`counts ${title} as an invalid token: TOKEN?, TOKEN?, BADAUTH and 4401`, async () => {
      const chat = await started();
      for (let n = 0; n < 3; n++) chat.sendRaw(frame);
      expect(await chat.next()).to.include({ type: 'query', data: 'TOKEN?' });
      expect(await chat.next()).to.include({ type: 'query', data: 'TOKEN?' });
      expect(await chat.next()).to.include({ type: 'status', data: 'BADAUTH' });
      expect(await chat.closed).to.equal(4401);
    });
  }

  it('keeps the connection usable after two invalid frames before READY', async () => {
    const chat = await started();
    for (const frame of ['null', '{']) {
      chat.sendRaw(frame);
      expect(await chat.next()).to.include({ data: 'TOKEN?' });
    }
    chat.send({ type: 'token', content: createUser().token });
    expect(await chat.next()).to.include({ data: 'READY' });
  });

  it('returns the id of a token command in its answer', async () => {
    const chat = await started();
    chat.send({ type: 'token', content: 'forged', id: 'first' });
    expect(await chat.next()).to.include({ data: 'TOKEN?', id: 'first' });
    chat.send({ type: 'token', content: createUser().token, id: 2 });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY', id: 2 });
  });

  it('accepts a frame of 4 KiB before READY and closes with 1009 after a larger frame', async () => {
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

  it('closes with 4409 if no valid token arrives in time, whatever other frames arrive', async () => {
    const node = await startNode({}, (config) => ({ ...config, authTimeoutMs: 300 }));
    const busy = await started(node.url);
    const pings = setInterval(() => busy.socket.ping(), 30);
    void busy.closed.then(() => clearInterval(pings));
    busy.sendRaw('null');
    const idle = await started(node.url);
    expect(await Promise.all([busy.closed, idle.closed])).to.deep.equal([4409, 4409]);
  });

  it('answers UNAVAILABLE and counts no invalid token while the keys are unavailable', async () => {
    const keys = { JWT_SECRET: undefined, JWT_JWKS_URL: 'https://127.0.0.1:1/keys' };
    const chat = await started((await startNode(keys)).url);
    const claims = Buffer.from('{}').toString('base64url');
    const content = `${Buffer.from('{"alg":"RS256","kid":"1"}').toString('base64url')}.${claims}.${claims}`;
    for (let n = 0; n < 4; n++) {
      chat.send({ type: 'token', content });
      expect(await chat.next()).to.include({ type: 'status', data: 'ERROR', reason: 'UNAVAILABLE' });
    }
  });

  it('accepts a token that expires in the year 2650, which overflows no timer', async () => {
    const chat = await started();
    chat.send({ type: 'token', content: createUser({ exp: 21_475_878_357 }).token });
    expect(await chat.next()).to.include({ data: 'READY' });
    for (let n = 0; n < 20; n++) {
      chat.send({ type: 'fence' });
      expect(await chat.next()).to.include({ data: 'COMMAND?' });
    }
  });

  it('closes with 4403 when the token expires, unless the client has sent a fresh token', async () => {
    const person = createUser();
    const [kept, dropped] = await Promise.all([started(), started()]);
    const short = withClaims(person, { exp: soon() }).token;
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
    it(`rejects ${title} after READY and keeps the current token`, async () => {
      const person = createUser({ level: 100 });
      const chat = await authenticatedChat(url(), person);
      chat.send({ type: 'token', content: content(person) });
      expect(await chat.next()).to.include({ type: 'query', data: 'TOKEN?' });
      const made = await rest(url(), person.token).post('/rooms', { name: 'of the first' });
      chat.send({ type: 'select_room', room_id: made.body.content.room.id });
      expect(await chat.next()).to.include({ data: 'CONNECTED', rights: 'rwa' });
    });
  }

  it('closes when the current token expires although a rejected token arrived before', async () => {
    const person = createUser();
    const chat = await started();
    chat.send({ type: 'token', content: withClaims(person, { exp: soon() }).token });
    expect(await chat.next()).to.include({ data: 'READY' });
    chat.send({ type: 'token', content: createUser().token });
    expect(await chat.next()).to.include({ data: 'TOKEN?' });
    expect(await chat.closed).to.equal(4403);
  });
});
