import { generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { createAuthenticator, type VerificationKeys } from '../../../src/auth/token-verification.ts';
import { signToken } from '../../../src/sdk/sdk.ts';

const secret = 'the secret of the tests and known to nobody else';
const user = 'aaaaaaaa-0000-4000-8000-000000000001';
const entity = 'eeeeeeee-0000-4000-8000-000000000009';

const verifier = (keys: VerificationKeys, { audiences, issuers }: { audiences?: string[]; issuers?: string[] } = {}) =>
  createAuthenticator({ keys, audiences, issuers, isRevoked: () => false });

describe('signToken', () => {
  it('signs a token for ten minutes that the service accepts with the same secret', async () => {
    const claims = { userUUID: user, entityUUID: entity, levelOnEntity: 100, scope: 'rooms:create' };
    const token = await signToken(claims, secret);
    const { actor, issuedAt, expiresAt } = await verifier({ source: 'secrets', secrets: [secret] }).verify(token);
    expect(actor).to.deep.equal({ user, entity, level: 100, mayCreateRooms: true });
    expect(expiresAt! - issuedAt).to.equal(600);
  });

  it('leaves out what is not given, has level 0, and gives each token another jti', async () => {
    const [first, second] = await Promise.all([
      signToken({ userUUID: user }, secret),
      signToken({ userUUID: user }, secret),
    ]);
    expect(decodeJwt(first)).to.have.all.keys('userUUID', 'sub', 'levelOnEntity', 'iat', 'exp', 'jti');
    expect(decodeJwt(first).levelOnEntity).to.equal(0);
    expect(decodeJwt(first).jti).to.not.equal(decodeJwt(second).jti);
  });

  it('signs with the lifetime, jti, audience and issuer of the options', async () => {
    const options = { seconds: 60, jti: 's8Qe41', audience: 'chat.example', issuer: 'api.example' };
    const token = await signToken({ userUUID: user }, secret, options);
    const { iat, exp, jti } = decodeJwt(token);
    expect([exp! - iat!, jti]).to.deep.equal([60, 's8Qe41']);
    const settings = { audiences: ['chat.example'], issuers: ['api.example'] };
    await verifier({ source: 'secrets', secrets: [secret] }, settings).verify(token);
  });

  const pairs = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  };
  for (const [algorithm, { privateKey, publicKey }] of Object.entries(pairs)) {
    it(`signs ${algorithm} with a private key, as an object or in PEM`, async () => {
      const { verify } = verifier({ source: 'public_key', key: publicKey, algorithm: algorithm as 'RS256' | 'ES256' });
      const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      for (const key of [privateKey, pem]) {
        const token = await signToken({ userUUID: user }, key, { kid: '2026-11' });
        expect(decodeProtectedHeader(token)).to.deep.equal({ alg: algorithm, typ: 'JWT', kid: '2026-11' });
        expect((await verify(token)).actor.user).to.equal(user);
      }
    });
  }

  const claims = { userUUID: user };
  const mistakes: [string, () => Promise<string>, RegExp][] = [
    ['an id that is not a UUID', () => signToken({ userUUID: '42' }, secret), /^userUUID: .*userUuid\(\)/],
    [
      'the nil UUID, which is the service itself',
      () => signToken({ userUUID: '00000000-0000-0000-0000-000000000000' }, secret),
      /^userUUID: the nil UUID/,
    ],
    ['an organisation that is not a UUID', () => signToken({ ...claims, entityUUID: '7' }, secret), /^entityUUID: /],
    ['a level that is not an integer', () => signToken({ ...claims, levelOnEntity: 1.5 }, secret), /^levelOnEntity: /],
    ['no lifetime', () => signToken(claims, secret, { seconds: 0 }), /^seconds: /],
    ['an empty secret', () => signToken(claims, ''), /^key: /],
    ['a public key', () => signToken(claims, pairs.RS256.publicKey), /^key: must be the shared secret, or a private/],
  ];
  for (const [title, sign, message] of mistakes) {
    it(`rejects with a TypeError that names the argument for ${title}`, async () => {
      const error = await sign().then(
        () => undefined,
        (thrown) => thrown,
      );
      expect(error).to.be.an.instanceof(TypeError);
      expect(error.message).to.match(message);
    });
  }
});
