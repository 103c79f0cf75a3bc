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
  const accepted = onEveryTransport('accepted');
  const rejected = onEveryTransport('UNAUTHENTICATED');
  const keys = () => [toPublicJwk(rsa.publicKey, 'rsa'), toPublicJwk(p256.publicKey, 'p256')];
  const nodeOf = async ({ url }: { url: string }) =>
    (await startNode(postgres, { JWT_SECRET: undefined, JWT_JWKS_URL: url })).url;
  /** A node that fetches the key set again within milliseconds, and its log. */
  const fastRefreshNode = async ({ url }: { url: string }, more: Settings = {}, timeoutMs = 5_000) => {
    const log = captureLog();
    const timeouts = { refreshMs: 20, maxBackoffMs: 20, initialBackoffMs: 10, timeoutMs };
    const withFastRefresh = (config: Config): Config => ({
      ...config,
      tokens: { ...config.tokens, keys: { source: 'jwks', url, timeouts } },
    });
    const settings = { JWT_SECRET: undefined, JWT_JWKS_URL: url, ...more };
    const node = await startNode(postgres, settings, withFastRefresh, log.logger);
    return { url: node.url, log };
  };
  const waitUntilFetched = (url: string) =>
    waitUntil('the set is fetched', async () => (await readMetric({ url }, 'nano_messaging_token_keys_up')) === 1);
  const fetchFailed = 'the key set of JWT_JWKS_URL could not be fetched';
  const byRsa = (kid = 'rsa') => sign(createUser().claims, { alg: 'RS256', secret: rsa.privateKey, header: { kid } });
  const byP256 = (kid = 'p256') =>
    sign(createUser().claims, { alg: 'ES256', secret: p256.privateKey, header: { kid } });

  it('accepts RS256 and ES256 tokens by the keys of the JWKS and fetches it once', async () => {
    const jwks = await jwksServer(keys());
    const url = await nodeOf(jwks);
    for (const token of [byRsa(), byP256(), byRsa(), byP256()])
      expect(await tryToken(url, token)).to.deep.equal(accepted);
    expect(jwks.fetchCount).to.equal(1);
  });

  it('rejects a token whose kid names another key, or whose algorithm is none', async () => {
    const url = await nodeOf(await jwksServer(keys()));
    const crossed = [byRsa('p256'), byP256('rsa'), sign(createUser().claims, { alg: 'none', header: { kid: 'rsa' } })];
    for (const token of crossed) expect(await tryToken(url, token)).to.deep.equal(rejected);
  });

  it('rejects a token that uses the public key of the JWKS as an HMAC secret (key confusion)', async () => {
    const url = await nodeOf(await jwksServer(keys()));
    const secret = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string;
    expect(await tryToken(url, sign(createUser().claims, { secret, header: { kid: 'rsa' } }))).to.deep.equal(rejected);
  });

  it('ignores the oct keys of the JWKS', async () => {
    const secret = randomBytes(32);
    const oct = { ...createSecretKey(secret).export({ format: 'jwk' }), kid: 'oct', use: 'sig', alg: 'HS256' };
    const url = await nodeOf(await jwksServer([oct, ...keys()]));
    const byOct = sign(createUser().claims, { secret: createSecretKey(secret), header: { kid: 'oct' } });
    expect(await tryToken(url, byOct)).to.deep.equal(rejected);
    expect(await tryToken(url, byRsa())).to.deep.equal(accepted);
  });

  it('rejects the tokens of an RSA key below 2,048 bits and gives the reason', async () => {
    const short = generateKeyPairSync('rsa', { modulusLength: 1_024 });
    const url = await nodeOf(await jwksServer([toPublicJwk(short.publicKey, 'short'), ...keys()]));
    const token = sign(createUser().claims, { alg: 'RS256', secret: short.privateKey, header: { kid: 'short' } });
    expect(await tryToken(url, token)).to.deep.equal(rejected);
    expect((await rest(url, token).get('/rooms')).body.meta.detail).to.include('1024 bits');
    expect(await tryToken(url, byRsa())).to.deep.equal(accepted);
  });

  it('rejects unknown kids without fetching the JWKS for each of them', async () => {
    const jwks = await jwksServer(keys());
    const url = await nodeOf(jwks);
    expect(await tryToken(url, byRsa())).to.deep.equal(accepted);
    for (const kid of ['one', 'two', 'three']) expect(await tryToken(url, byRsa(kid))).to.deep.equal(rejected);
    expect(jwks.fetchCount).to.be.at.most(2);
    expect(await tryToken(url, byRsa())).to.deep.equal(accepted);
  });

  it('answers UNAVAILABLE on every transport until the JWKS can be fetched', async () => {
    const jwks = await jwksServer(keys());
    jwks.isDown = true;
    const { url } = await fastRefreshNode(jwks);
    expect(await tryToken(url, byRsa())).to.deep.equal(onEveryTransport('UNAVAILABLE'));
    expectRefusal(await rest(url, byRsa()).get('/rooms'), 'UNAVAILABLE');
    jwks.isDown = false;
    await waitUntilFetched(url);
    expect(await tryToken(url, byRsa())).to.deep.equal(accepted);
  });

  it('does not count a token on /chat as invalid if the JWKS cannot be fetched', async () => {
    const jwks = await jwksServer(keys());
    jwks.isDown = true;
    const { url } = await fastRefreshNode(jwks);
    const chat = await chatClient(url);
    await chat.next();
    for (let n = 0; n < 4; n++) {
      chat.send({ type: 'token', content: byRsa() });
      expect(await chat.next()).to.include({ reason: 'UNAVAILABLE' });
    }
    jwks.isDown = false;
    await waitUntilFetched(url);
    chat.send({ type: 'token', content: byRsa() });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY' });
  });

  it('keeps the known keys while the issuer is unavailable, and logs the outage and the recovery once each', async () => {
    const jwks = await jwksServer(keys());
    const { url, log } = await fastRefreshNode(jwks);
    expect(await tryToken(url, byRsa())).to.deep.equal(accepted);
    const before = jwks.fetchCount;
    jwks.isDown = true;
    await waitUntil('several fetches have failed', () => jwks.fetchCount >= before + 5);
    expect(await tryToken(url, byRsa())).to.deep.equal(accepted);
    expect(await tryToken(url, byRsa('a key added during the outage'))).to.deep.equal(onEveryTransport('UNAVAILABLE'));
    expect(await readMetric({ url }, 'nano_messaging_token_keys_up')).to.equal(0);
    expect(log.startingWith(fetchFailed)).to.have.lengthOf(1);
    jwks.isDown = false;
    await waitUntil(
      'the recovery is logged',
      () => log.startingWith('the key set of JWT_JWKS_URL is fetched again').length === 1,
    );
    expect(await readMetric({ url }, 'nano_messaging_token_keys_up')).to.equal(1);
  });

  // Two sets in one test would have certificates of the same name, which verification confuses.
  for (const isDown of [false, true]) {
    it(`fetches the JWKS at most once in 30 s for any number of unknown kids if the issuer is ${isDown ? 'down' : 'up'}`, async () => {
      const jwks = await jwksServer(keys());
      const { url } = await startNode(postgres, { JWT_SECRET: undefined, JWT_JWKS_URL: jwks.url });
      expect((await rest(url, byRsa()).get('/rooms')).status).to.equal(200);
      jwks.isDown = isDown;
      const unknownKeys = Array.from({ length: 60 }, (_, n) => rest(url, byRsa(`unknown ${n}`)).get('/rooms'));
      for (const answer of await Promise.all(unknownKeys)) expectRefusal(answer, 'UNAUTHENTICATED');
      expect(jwks.fetchCount).to.equal(1);
    });
  }

  it('accepts a key that is added to the JWKS later, and drops a withdrawn key', async () => {
    const jwks = await jwksServer([toPublicJwk(rsa.publicKey, 'rsa')]);
    const { url } = await fastRefreshNode(jwks);
    expect(await tryToken(url, byP256())).to.deep.equal(rejected);
    jwks.keys = [toPublicJwk(p256.publicKey, 'p256')];
    await waitUntil('the new key is accepted', async () => (await rest(url, byP256()).get('/rooms')).status === 200);
    expect(await tryToken(url, byRsa())).to.deep.equal(rejected);
  });

  const answers: [what: string, answer: (response: ServerResponse) => void, logged: string][] = [
    ['invalid JSON', (response) => response.end('<html>'), 'not JSON'],
    ['JSON that is not a key set', (response) => response.end('[]'), 'not a key set'],
    ['null', (response) => response.end('null'), 'not a key set'],
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
    ['500', (response) => response.writeHead(500).end(), 'status 500'],
    ['nothing', () => {}, 'timeout'],
    ['half a key set and then nothing', (response) => void response.write('{"keys":['), 'timeout'],
  ];
  it(`keeps the known keys and logs the reason if the issuer answers with ${answers.map(([what]) => what).join('; ')}`, async () => {
    const jwks = await jwksServer(keys());
    const { url, log } = await fastRefreshNode(jwks, {}, 300);
    // On a busy machine, even the first fetch may take longer than the timeout.
    await waitUntil('the set is fetched', async () => (await rest(url, byRsa()).get('/rooms')).status === 200);
    for (const [what, answer, logged] of answers) {
      jwks.answer = answer;
      await waitUntil(`${what} is logged`, () =>
        log.startingWith(fetchFailed).some(({ err }) => err!.message.includes(logged)),
      );
      expect((await rest(url, byRsa()).get('/rooms')).status, what).to.equal(200);
    }
    jwks.answer = undefined;
    await waitUntil(
      'the recovery is logged',
      () => log.startingWith('the key set of JWT_JWKS_URL is fetched again').length > 0,
    );
  });

  it('rejects the tokens of an unreadable key in the JWKS and accepts those of the other keys', async () => {
    const broken = { kty: 'RSA', kid: 'broken', n: '!', e: 'AQAB' };
    const url = await nodeOf(await jwksServer([broken, ...keys()]));
    expect(await tryToken(url, byRsa('broken'))).to.deep.equal(rejected);
    expect(await tryToken(url, byRsa())).to.deep.equal(accepted);
  });

  it('warns at the start if JWT_JWKS_URL is set without JWT_AUDIENCE', async () => {
    const jwks = await jwksServer(keys());
    for (const JWT_AUDIENCE of [undefined, 'chat.example']) {
      const { log } = await fastRefreshNode(jwks, { JWT_AUDIENCE });
      expect(log.startingWith('JWT_JWKS_URL is set without JWT_AUDIENCE')).to.have.lengthOf(JWT_AUDIENCE ? 0 : 1);
    }
  });
});
