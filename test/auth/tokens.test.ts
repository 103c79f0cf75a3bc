import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { nilUuid } from '../../src/core/ids.ts';
import { chatClient } from '../helpers/chat-client.ts';
import { describeOneWiring, postgres, type Settings, startNode } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { onEveryTransport, tryToken } from '../helpers/token-outcomes.ts';
import { type Claims, createUser, sign, testSecret } from '../helpers/users.ts';

const claims = (more: Claims = {}): Claims => ({ ...createUser().claims, ...more });
const seconds = (ahead = 0) => Math.floor(Date.now() / 1_000) + ahead;
const accepted = onEveryTransport('accepted');
const rejected = onEveryTransport('UNAUTHENTICATED');

/** A node that trusts other keys; without a secret unless the settings name one. */
async function nodeWith(settings: Settings): Promise<string> {
  return (await startNode(postgres, { JWT_SECRET: undefined, ...settings })).url;
}

describeOneWiring('The claims of a token', ({ url }) => {
  const good: Record<string, () => Claims> = {
    'the three claims and exp': () => claims(),
    'the claims of the legacy service': () =>
      claims({ aud: 'chat.nano-messaging.net', iss: 'api.nano-messaging.net', exp: 999_999_999_999, sub: '1' }),
    'no exp': () => claims({ exp: undefined }),
    'an exp in the year 2650': () => claims({ exp: 21_475_878_357 }),
    'an iat of 1970': () => claims({ iat: 0 }),
    'a fraction in exp': () => claims({ exp: Date.now() / 1_000 + 3_600.5 }),
    'unknown claims': () => claims({ name: 'Ana', roles: ['a'], nested: { a: null } }),
    'no entityUUID': () => claims({ entityUUID: undefined }),
    'entityUUID null': () => claims({ entityUUID: null }),
    'no levelOnEntity': () => claims({ levelOnEntity: undefined }),
    'levelOnEntity "100"': () => claims({ levelOnEntity: '100' }),
    'sub instead of userUUID': () => claims({ userUUID: undefined, sub: randomUUID() }),
    'userUUID beside a sub that is not at a UUID': () => claims({ sub: 'auth0|1' }),
    'UUIDs in capitals': () => claims({ userUUID: randomUUID().toUpperCase(), entityUUID: randomUUID().toUpperCase() }),
    'an nbf of now': () => claims({ nbf: seconds() }),
    'an nbf 8 s ahead, because clocks differ': () => claims({ nbf: seconds(8), iat: seconds(8) }),
    'an iat 4 min ahead': () => claims({ iat: seconds(240) }),
    'a jti that is a number': () => claims({ jti: 42 }),
    'a jti of null': () => claims({ jti: null }),
    'an iat that is not at a number, which counts as 0': () => claims({ iat: 'yesterday' }),
    'a UUID without a version': () => claims({ userUUID: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }),
  };
  for (const [title, payload] of Object.entries(good)) {
    it(`accepts a token with ${title}`, async () => {
      expect(await tryToken(url(), sign(payload()))).to.deep.equal(accepted);
    });
  }

  const bad: Record<string, () => unknown> = {
    'the nil UUID, which is the service': () => claims({ userUUID: nilUuid }),
    'the nil UUID as sub': () => claims({ userUUID: undefined, sub: nilUuid }),
    'neither userUUID nor sub': () => claims({ userUUID: undefined }),
    'a userUUID that is not a UUID': () => claims({ userUUID: 'ana' }),
    'a userUUID that is not at a UUID beside a sub that is a UUID': () =>
      claims({ userUUID: 'ana', sub: randomUUID() }),
    'a userUUID that is a number': () => claims({ userUUID: 1 }),
    'a sub that is not a UUID': () => claims({ userUUID: undefined, sub: '1' }),
    'an entityUUID that is not a UUID': () => claims({ entityUUID: 'acme' }),
    'level 1.5': () => claims({ levelOnEntity: 1.5 }),
    'level "1.5"': () => claims({ levelOnEntity: '1.5' }),
    'level "high"': () => claims({ levelOnEntity: 'high' }),
    'level true': () => claims({ levelOnEntity: true }),
    'level [100]': () => claims({ levelOnEntity: [100] }),
    'an exp that is not a number': () => claims({ exp: 'tomorrow' }),
    'an exp in milliseconds': () => claims({ exp: Date.now() + 3_600_000 }),
    'an nbf that is not a number': () => claims({ nbf: 'tomorrow' }),
    'an nbf 15 s ahead': () => claims({ nbf: seconds(15) }),
    'an nbf in milliseconds': () => claims({ nbf: Date.now() }),
    'an iat 6 min ahead': () => claims({ iat: seconds(360) }),
    'an iat in milliseconds': () => claims({ iat: Date.now() - 60_000 }),
    'a numeric jti beyond the safe integers': () => claims({ jti: 2 ** 60 }),
    'a jti that is an object': () => claims({ jti: {} }),
    'a payload that is a list': () => [claims()],
    'a payload that is a string': () => 'ana',
    'a payload of null': () => null,
  };
  for (const [title, payload] of Object.entries(bad)) {
    it(`rejects a token with ${title}`, async () => {
      expect(await tryToken(url(), sign(payload()))).to.deep.equal(rejected);
    });
  }

  const details: [title: string, more: Claims, detail: string][] = [
    ['exp in milliseconds', { exp: Date.now() }, 'exp: must be in seconds since 1970, but looks like milliseconds'],
    ['iat in milliseconds', { iat: Date.now() }, 'iat: must be in seconds since 1970, but looks like milliseconds'],
    ['nbf in milliseconds', { nbf: Date.now() }, 'nbf: must be in seconds since 1970, but looks like milliseconds'],
    ['jti of 2^60', { jti: 2 ** 60 }, 'jti: must be a string, or a whole number up to 2^53-1'],
  ];
  for (const [title, more, detail] of details) {
    it(`gives the reason if it rejects a token with ${title}`, async () => {
      expect((await rest(url(), sign(claims(more))).get('/rooms')).body.meta.detail).to.equal(detail);
    });
  }

  it('answers with the time to wait if the token is not valid yet', async () => {
    const { status, body, headers } = await rest(url(), sign(claims({ nbf: seconds(40) }))).get('/rooms');
    expect([status, body.meta.reason]).to.deep.equal([401, 'UNAUTHENTICATED']);
    expect(body.meta.retry_after_ms).to.be.within(10_000, 31_000);
    expect(Number(headers.get('Retry-After'))).to.equal(body.meta.retry_after_ms / 1_000);
    expect(body.meta.detail).to.match(/^nbf: The token is not valid yet/);
  });

  it('accepts a token with or without the Bearer scheme in Socket.IO auth and in /chat frames', async () => {
    const token = sign(claims());
    for (const given of [`Bearer ${token}`, `bearer ${token}`]) {
      expect(await socketClient(url(), { token: given })).to.be.an('object');
      const chat = await chatClient(url());
      await chat.next();
      chat.send({ type: 'token', content: given });
      expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY' });
    }
  });

  it('rejects a token with TOKEN_EXPIRED after its exp', async () => {
    for (const exp of [1, Math.floor(Date.now() / 1_000) - 1]) {
      expect(await tryToken(url(), sign(claims({ exp })))).to.deep.equal(onEveryTransport('TOKEN_EXPIRED'));
    }
  });

  it('builds the actor from the claims: user and organisation in lower case, and level', async () => {
    const [user, entity] = [randomUUID(), randomUUID()];
    const upper = { user: user.toUpperCase(), entity: entity.toUpperCase() };
    const room = await createRoom(url(), createUser({ ...upper, levelOnEntity: '100' }));
    expect(room).to.include({ user_owner: user, entity_owner: entity });
    expect((await rest(url(), createUser({ user }).token).get(`/rooms/${room.id}`)).status).to.equal(200);
  });

  it('takes the user from sub if userUUID is missing', async () => {
    const user = randomUUID();
    const room = await createRoom(url(), createUser({ userUUID: undefined, sub: user, level: 100 }));
    expect(room.user_owner).to.equal(user);
  });

  it('treats a missing level as 0', async () => {
    const { status } = await rest(url(), sign(claims({ levelOnEntity: undefined }))).post('/rooms', { name: 'x' });
    expect(status).to.equal(403);
  });
});

describeOneWiring('The header and the signature of a token', ({ url }) => {
  const good: Record<string, object> = {
    'no typ': { typ: undefined },
    'another typ': { typ: 'at+jwt' },
    'a kid': { kid: 'of no consequence' },
    'a jku that leads elsewhere': { jku: 'https://elsewhere.example/jwks.json' },
  };
  for (const [title, header] of Object.entries(good)) {
    it(`accepts a token whose header has ${title}`, async () => {
      expect(await tryToken(url(), sign(claims(), { header: { ...header } }))).to.deep.equal(accepted);
    });
  }

  const bad: Record<string, () => string> = {
    'alg none (the legacy service accepted it without a secret)': () => sign(claims(), { alg: 'none' }),
    'alg None': () => sign(claims(), { alg: 'none', header: { alg: 'None' } }),
    'alg none and the signature of HS256': () => sign(claims(), { header: { alg: 'none' } }),
    'no alg': () => sign(claims(), { header: { alg: undefined } }),
    'alg HS512 with the right secret': () => sign(claims(), { alg: 'HS512' }),
    'another secret': () => sign(claims(), { secret: 'another' }),
    'an empty secret': () => sign(claims(), { secret: '' }),
    'no signature': () => `${sign(claims()).split('.').slice(0, 2).join('.')}.`,
    'two parts': () => sign(claims()).split('.').slice(0, 2).join('.'),
    'four parts': () => `${sign(claims())}.x`,
    'the claims of another token': () => {
      const [header, , signature] = sign(claims()).split('.');
      return [header, sign(claims()).split('.')[1], signature].join('.');
    },
    'RS256 by a key in its own header': () => {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
      const header = { jwk: publicKey.export({ format: 'jwk' }) };
      return sign(claims(), { alg: 'RS256', secret: privateKey, header });
    },
    'a long payload': () => sign(claims({ pad: 'x'.repeat(2_000) }), { secret: 'another' }),
    'a string that is not a JWT': () => 'token.jwt.secreto',
  };
  for (const [title, token] of Object.entries(bad)) {
    it(`rejects a token with ${title}`, async () => {
      expect(await tryToken(url(), token())).to.deep.equal(rejected);
    });
  }
});

describe('JWT_SECRET with several secrets', () => {
  it('accepts tokens of each secret in JWT_SECRET and of no other', async () => {
    const url = await nodeWith({
      JWT_SECRET: 'the new secret of this very service, the old secret of this very service',
    });
    for (const secret of ['the new secret of this very service', 'the old secret of this very service']) {
      expect(await tryToken(url, sign(claims(), { secret }))).to.deep.equal(accepted);
      const ended = sign(claims({ exp: 1 }), { secret });
      expect(await tryToken(url, ended)).to.deep.equal(onEveryTransport('TOKEN_EXPIRED'));
    }
    for (const secret of ['the new secret of this very service, the old secret of this very service', testSecret, '']) {
      expect(await tryToken(url, sign(claims(), { secret }))).to.deep.equal(rejected);
    }
  });
});

describe('JWT_AUDIENCE and JWT_ISSUER', () => {
  it('checks JWT_AUDIENCE and JWT_ISSUER on all three transports if they are configured', async () => {
    const settings = { JWT_AUDIENCE: 'chat.nano-messaging.net', JWT_ISSUER: 'api.nano-messaging.net' };
    const url = await nodeWith({ JWT_SECRET: testSecret, ...settings });
    const [aud, iss] = [settings.JWT_AUDIENCE, settings.JWT_ISSUER];
    for (const good of [
      { aud, iss },
      { aud: ['another', aud], iss },
    ]) {
      expect(await tryToken(url, sign(claims(good)))).to.deep.equal(accepted);
    }
    for (const bad of [{}, { aud }, { iss }, { aud: 'another', iss }, { aud, iss: 'another' }, { aud: [], iss }]) {
      expect(await tryToken(url, sign(claims(bad))), JSON.stringify(bad)).to.deep.equal(rejected);
    }
  });
});

describe('JWT_PUBLIC_KEY', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = (key: typeof rsa.publicKey) => key.export({ type: 'spki', format: 'pem' }) as string;

  it('accepts only the RS256 tokens of its private key if JWT_PUBLIC_KEY is an RSA key', async () => {
    const url = await nodeWith({ JWT_PUBLIC_KEY: pem(rsa.publicKey) });
    expect(await tryToken(url, sign(claims(), { alg: 'RS256', secret: rsa.privateKey }))).to.deep.equal(accepted);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    expect(await tryToken(url, sign(claims(), { alg: 'RS256', secret: privateKey }))).to.deep.equal(rejected);
  });

  it('accepts only the ES256 tokens of its private key if JWT_PUBLIC_KEY is a P-256 key, even with line ends written as \\n', async () => {
    const url = await nodeWith({ JWT_PUBLIC_KEY: pem(p256.publicKey).replaceAll('\n', '\\n') });
    expect(await tryToken(url, sign(claims(), { alg: 'ES256', secret: p256.privateKey }))).to.deep.equal(accepted);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(await tryToken(url, sign(claims(), { alg: 'ES256', secret: privateKey }))).to.deep.equal(rejected);
    expect(await tryToken(url, sign(claims(), { alg: 'RS256', secret: rsa.privateKey }))).to.deep.equal(rejected);
  });

  it('rejects tokens that use JWT_PUBLIC_KEY as an HMAC secret (key confusion) or the algorithm none', async () => {
    for (const { publicKey } of [rsa, p256]) {
      const text = pem(publicKey);
      const url = await nodeWith({ JWT_PUBLIC_KEY: text });
      const der = publicKey.export({ type: 'spki', format: 'der' }).toString('latin1');
      for (const secret of [text, text.trim(), der]) {
        expect(await tryToken(url, sign(claims(), { secret }))).to.deep.equal(rejected);
      }
      expect(await tryToken(url, sign(claims(), { alg: 'none' }))).to.deep.equal(rejected);
    }
  });
});
