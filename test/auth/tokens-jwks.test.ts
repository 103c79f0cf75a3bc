import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { Config } from '../../src/config/config.ts';
import { captureLog } from '../helpers/captured-log.ts';
import { chatClient } from '../helpers/chat-client.ts';
import { jwksServer, toPublicJwk } from '../helpers/jwks-server.ts';
import { postgres, type Settings, startNode } from '../helpers/node.ts';
import { readMetric } from '../helpers/node-pair.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { onEveryTransport, tryToken } from '../helpers/token-outcomes.ts';
import { createUser, sign } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

describe('JWT_JWKS_URL', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const welcome = onEveryTransport('accepted');
  const refused = onEveryTransport('UNAUTHENTICATED');
  const keys = () => [toPublicJwk(rsa.publicKey, 'rsa'), toPublicJwk(p256.publicKey, 'p256')];
  const nodeOf = async ({ url }: { url: string }) =>
    (await startNode(postgres, { JWT_SECRET: undefined, JWT_JWKS_URL: url })).url;
  /** One that asks again after milliseconds, and what it logs. */
  const impatientNode = async ({ url }: { url: string }, more: Settings = {}, timeoutMs = 5_000) => {
    const log = captureLog();
    const timeouts = { refreshMs: 20, maxBackoffMs: 20, initialBackoffMs: 10, timeoutMs };
    const impatient = (config: Config): Config => ({
      ...config,
      tokens: { ...config.tokens, keys: { source: 'jwks', url, timeouts } },
    });
    const settings = { JWT_SECRET: undefined, JWT_JWKS_URL: url, ...more };
    const node = await startNode(postgres, settings, impatient, log.logger);
    return { url: node.url, log };
  };
  const away = 'the key set of JWT_JWKS_URL could not be fetched';
  const byRsa = (kid = 'rsa') => sign(createUser().claims, { alg: 'RS256', secret: rsa.privateKey, header: { kid } });
  const byP256 = (kid = 'p256') =>
    sign(createUser().claims, { alg: 'ES256', secret: p256.privateKey, header: { kid } });

  it('takes RS256 and ES256 by the keys of the set, which is fetched once', async () => {
    const jwks = await jwksServer(keys());
    const url = await nodeOf(jwks);
    for (const token of [byRsa(), byP256(), byRsa(), byP256()])
      expect(await tryToken(url, token)).to.deep.equal(welcome);
    expect(jwks.fetchCount).to.equal(1);
  });

  it('refuses the key of another kid, another algorithm, and none', async () => {
    const url = await nodeOf(await jwksServer(keys()));
    const crossed = [byRsa('p256'), byP256('rsa'), sign(createUser().claims, { alg: 'none', header: { kid: 'rsa' } })];
    for (const token of crossed) expect(await tryToken(url, token)).to.deep.equal(refused);
  });

  it('refuses key confusion: the public key as an HMAC secret', async () => {
    const url = await nodeOf(await jwksServer(keys()));
    const secret = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string;
    expect(await tryToken(url, sign(createUser().claims, { secret, header: { kid: 'rsa' } }))).to.deep.equal(refused);
  });

  it('ignores oct keys', async () => {
    const secret = randomBytes(32);
    const oct = { ...createSecretKey(secret).export({ format: 'jwk' }), kid: 'oct', use: 'sig', alg: 'HS256' };
    const url = await nodeOf(await jwksServer([oct, ...keys()]));
    const byOct = sign(createUser().claims, { secret: createSecretKey(secret), header: { kid: 'oct' } });
    expect(await tryToken(url, byOct)).to.deep.equal(refused);
    expect(await tryToken(url, byRsa())).to.deep.equal(welcome);
  });

  it('refuses the tokens of an RSA key under 2,048 bits, and says why', async () => {
    const short = generateKeyPairSync('rsa', { modulusLength: 1_024 });
    const url = await nodeOf(await jwksServer([toPublicJwk(short.publicKey, 'short'), ...keys()]));
    const token = sign(createUser().claims, { alg: 'RS256', secret: short.privateKey, header: { kid: 'short' } });
    expect(await tryToken(url, token)).to.deep.equal(refused);
    expect((await rest(url, token).get('/rooms')).body.meta.detail).to.include('1024 bits');
    expect(await tryToken(url, byRsa())).to.deep.equal(welcome);
  });

  it('refuses an unknown kid and does not fetch the set for each of them', async () => {
    const jwks = await jwksServer(keys());
    const url = await nodeOf(jwks);
    expect(await tryToken(url, byRsa())).to.deep.equal(welcome);
    for (const kid of ['one', 'two', 'three']) expect(await tryToken(url, byRsa(kid))).to.deep.equal(refused);
    expect(jwks.fetchCount).to.be.at.most(2);
    expect(await tryToken(url, byRsa())).to.deep.equal(welcome);
  });

  it('that cannot be reached is UNAVAILABLE everywhere, and welcome again once it can', async () => {
    const jwks = await jwksServer(keys());
    jwks.isDown = true;
    const { url } = await impatientNode(jwks);
    expect(await tryToken(url, byRsa())).to.deep.equal(onEveryTransport('UNAVAILABLE'));
    expectRefusal(await rest(url, byRsa()).get('/rooms'), 'UNAVAILABLE');
    jwks.isDown = false;
    await waitUntil('the set is there', async () => (await readMetric({ url }, 'nano_messaging_token_keys_up')) === 1);
    expect(await tryToken(url, byRsa())).to.deep.equal(welcome);
  });

  it('that cannot be reached is no bad try on /chat', async () => {
    const jwks = await jwksServer(keys());
    jwks.isDown = true;
    const { url } = await impatientNode(jwks);
    const chat = await chatClient(url);
    await chat.next();
    for (let n = 0; n < 4; n++) {
      chat.send({ type: 'token', content: byRsa() });
      expect(await chat.next()).to.include({ reason: 'UNAVAILABLE' });
    }
    jwks.isDown = false;
    await waitUntil('the set is there', async () => (await readMetric({ url }, 'nano_messaging_token_keys_up')) === 1);
    chat.send({ type: 'token', content: byRsa() });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY' });
  });

  it('keeps the keys that are known for as long as the issuer is away; it is logged once, and when it is back', async () => {
    const jwks = await jwksServer(keys());
    const { url, log } = await impatientNode(jwks);
    expect(await tryToken(url, byRsa())).to.deep.equal(welcome);
    const before = jwks.fetchCount;
    jwks.isDown = true;
    await waitUntil('it was asked for in vain', () => jwks.fetchCount >= before + 5);
    expect(await tryToken(url, byRsa())).to.deep.equal(welcome);
    expect(await tryToken(url, byRsa('a key that came meanwhile'))).to.deep.equal(onEveryTransport('UNAVAILABLE'));
    expect(await readMetric({ url }, 'nano_messaging_token_keys_up')).to.equal(0);
    expect(log.startingWith(away)).to.have.lengthOf(1);
    jwks.isDown = false;
    await waitUntil('it is back', () => log.startingWith('the key set of JWT_JWKS_URL is fetched again').length === 1);
    expect(await readMetric({ url }, 'nano_messaging_token_keys_up')).to.equal(1);
  });

  // Two sets in one test would have certificates of the same name, which verification confuses.
  for (const isDown of [false, true]) {
    it(`is fetched at most once in 30 s for whatever tokens come, the issuer being ${isDown ? 'away' : 'there'}`, async () => {
      const jwks = await jwksServer(keys());
      const { url } = await startNode(postgres, { JWT_SECRET: undefined, JWT_JWKS_URL: jwks.url });
      expect((await rest(url, byRsa()).get('/rooms')).status).to.equal(200);
      jwks.isDown = isDown;
      const strangers = Array.from({ length: 60 }, (_, n) => rest(url, byRsa(`stranger ${n}`)).get('/rooms'));
      for (const answer of await Promise.all(strangers)) expectRefusal(answer, 'UNAUTHENTICATED');
      expect(jwks.fetchCount).to.equal(1);
    });
  }

  it('takes a key that comes later, and drops one that is withdrawn', async () => {
    const jwks = await jwksServer([toPublicJwk(rsa.publicKey, 'rsa')]);
    const { url } = await impatientNode(jwks);
    expect(await tryToken(url, byP256())).to.deep.equal(refused);
    jwks.keys = [toPublicJwk(p256.publicKey, 'p256')];
    await waitUntil('it is taken', async () => (await rest(url, byP256()).get('/rooms')).status === 200);
    expect(await tryToken(url, byRsa())).to.deep.equal(refused);
  });

  const answers: [what: string, answer: (response: ServerResponse) => void, logged: string][] = [
    ['what is not JSON', (response) => response.end('<html>'), 'not JSON'],
    ['JSON that is no set', (response) => response.end('[]'), 'no key set'],
    ['null', (response) => response.end('null'), 'no key set'],
    ['a set without keys', (response) => response.end('{"keys":[]}'), 'no RSA or EC key'],
    [
      '1,001 keys',
      (response) => response.end(JSON.stringify({ keys: Array(1_001).fill({ kty: 'RSA' }) })),
      '1001 keys',
    ],
    ['300 KB', (response) => response.end(JSON.stringify({ keys: [], pad: 'x'.repeat(300_000) })), 'larger than'],
    [
      'a few bytes that unpack to 100 MB',
      (response) => response.setHeader('Content-Encoding', 'gzip').end(gzipSync(Buffer.alloc(100_000_000))),
      'larger than',
    ],
    [
      'a redirect',
      (response) => response.writeHead(302, { location: 'https://issuer.example/keys' }).end(),
      'redirects to https://issuer.example/keys',
    ],
    ['500', (response) => response.writeHead(500).end(), 'answers 500'],
    ['nothing', () => {}, 'timeout'],
    ['half a set, and then nothing', (response) => void response.write('{"keys":['), 'timeout'],
  ];
  it(`whose issuer answers with ${answers.map(([what]) => what).join('; ')}: is logged, and known keys go on`, async () => {
    const jwks = await jwksServer(keys());
    const { url, log } = await impatientNode(jwks, {}, 300);
    expect(await tryToken(url, byRsa())).to.deep.equal(welcome);
    for (const [what, answer, logged] of answers) {
      jwks.answer = answer;
      await waitUntil(`${what} is logged`, () =>
        log.startingWith(away).some(({ err }) => err!.message.includes(logged)),
      );
      expect((await rest(url, byRsa()).get('/rooms')).status, what).to.equal(200);
    }
    jwks.answer = undefined;
    await waitUntil('it is back', () => log.startingWith('the key set of JWT_JWKS_URL is fetched again').length > 0);
  });

  it('refuses the token of a key that cannot be read, and takes the others', async () => {
    const broken = { kty: 'RSA', kid: 'broken', n: '!', e: 'AQAB' };
    const url = await nodeOf(await jwksServer([broken, ...keys()]));
    expect(await tryToken(url, byRsa('broken'))).to.deep.equal(refused);
    expect(await tryToken(url, byRsa())).to.deep.equal(welcome);
  });

  it('without JWT_AUDIENCE is a warning at the start', async () => {
    const jwks = await jwksServer(keys());
    for (const JWT_AUDIENCE of [undefined, 'chat.example']) {
      const { log } = await impatientNode(jwks, { JWT_AUDIENCE });
      expect(log.startingWith('JWT_JWKS_URL is set without JWT_AUDIENCE')).to.have.lengthOf(JWT_AUDIENCE ? 0 : 1);
    }
  });
});
