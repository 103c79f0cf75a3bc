import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { chatClient } from '../support/chat-client.ts';
import { everywhere, knock } from '../support/doors.ts';
import { jwksServer, published } from '../support/jwks-server.ts';
import { postgres, startNode } from '../support/node.ts';
import { sign, somebody } from '../support/people.ts';
import { expectRefusal } from '../support/refusals.ts';
import { rest } from '../support/rest-client.ts';

describe('JWT_JWKS_URL', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const welcome = everywhere('welcome');
  const refused = everywhere('UNAUTHENTICATED');
  const keys = () => [published(rsa.publicKey, 'rsa'), published(p256.publicKey, 'p256')];
  const nodeOf = async ({ url }: { url: string }) =>
    (await startNode(postgres, { JWT_SECRET: undefined, JWT_JWKS_URL: url })).url;
  const byRsa = (kid = 'rsa') => sign(somebody().claims, { alg: 'RS256', secret: rsa.privateKey, header: { kid } });
  const byP256 = (kid = 'p256') => sign(somebody().claims, { alg: 'ES256', secret: p256.privateKey, header: { kid } });

  it('takes RS256 and ES256 by the keys of the set, which is fetched once', async () => {
    const jwks = await jwksServer(keys());
    const url = await nodeOf(jwks);
    for (const token of [byRsa(), byP256(), byRsa(), byP256()]) expect(await knock(url, token)).to.deep.equal(welcome);
    expect(jwks.fetched).to.equal(1);
  });

  it('refuses the key of another kid, another algorithm, and none', async () => {
    const url = await nodeOf(await jwksServer(keys()));
    const crossed = [byRsa('p256'), byP256('rsa'), sign(somebody().claims, { alg: 'none', header: { kid: 'rsa' } })];
    for (const token of crossed) expect(await knock(url, token)).to.deep.equal(refused);
  });

  it('refuses key confusion: the public key as an HMAC secret', async () => {
    const url = await nodeOf(await jwksServer(keys()));
    const secret = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string;
    expect(await knock(url, sign(somebody().claims, { secret, header: { kid: 'rsa' } }))).to.deep.equal(refused);
  });

  it('ignores oct keys', async () => {
    const secret = randomBytes(32);
    const oct = { ...createSecretKey(secret).export({ format: 'jwk' }), kid: 'oct', use: 'sig', alg: 'HS256' };
    const url = await nodeOf(await jwksServer([oct, ...keys()]));
    const byOct = sign(somebody().claims, { secret: createSecretKey(secret), header: { kid: 'oct' } });
    expect(await knock(url, byOct)).to.deep.equal(refused);
    expect(await knock(url, byRsa())).to.deep.equal(welcome);
  });

  it('refuses the tokens of an RSA key under 2,048 bits, and says why', async () => {
    const short = generateKeyPairSync('rsa', { modulusLength: 1_024 });
    const url = await nodeOf(await jwksServer([published(short.publicKey, 'short'), ...keys()]));
    const token = sign(somebody().claims, { alg: 'RS256', secret: short.privateKey, header: { kid: 'short' } });
    expect(await knock(url, token)).to.deep.equal(refused);
    expect((await rest(url, token).get('/rooms')).body.meta.detail).to.include('1024 bits');
    expect(await knock(url, byRsa())).to.deep.equal(welcome);
  });

  it('refuses an unknown kid and does not fetch the set for each of them', async () => {
    const jwks = await jwksServer(keys());
    const url = await nodeOf(jwks);
    expect(await knock(url, byRsa())).to.deep.equal(welcome);
    for (const kid of ['one', 'two', 'three']) expect(await knock(url, byRsa(kid))).to.deep.equal(refused);
    expect(jwks.fetched).to.be.at.most(2);
    expect(await knock(url, byRsa())).to.deep.equal(welcome);
  });

  it('that cannot be reached is UNAVAILABLE everywhere, and welcome again once it can', async () => {
    const jwks = await jwksServer(keys());
    const url = await nodeOf(jwks);
    jwks.isDown = true;
    expect(await knock(url, byRsa())).to.deep.equal(everywhere('UNAVAILABLE'));
    expectRefusal(await rest(url, byRsa()).get('/rooms'), 'UNAVAILABLE');
    jwks.isDown = false;
    expect(await knock(url, byRsa())).to.deep.equal(welcome);
  });

  it('that cannot be reached is no bad try on /chat', async () => {
    const jwks = await jwksServer(keys());
    const chat = await chatClient(await nodeOf(jwks));
    await chat.next();
    jwks.isDown = true;
    for (let n = 0; n < 4; n++) {
      chat.send({ type: 'token', content: byRsa() });
      expect(await chat.next()).to.include({ reason: 'UNAVAILABLE' });
    }
    jwks.isDown = false;
    chat.send({ type: 'token', content: byRsa() });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'READY' });
  });
});
