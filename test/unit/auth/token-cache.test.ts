import { mock } from 'node:test';
import { expect } from 'chai';
import type { Identity } from '../../../src/auth/identity.ts';
import { cacheVerification, createTokenCache } from '../../../src/auth/token-cache.ts';
import { ChatError } from '../../../src/core/errors.ts';
import { closeLater } from '../../helpers/cleanup.ts';

const now = () => Math.floor(Date.now() / 1_000);

/** Creates a cache whose verifier accepts every string as a token and records each verification. */
function stage({ expiresAt = null as number | null } = {}) {
  const verified: unknown[] = [];
  const revoked = new Set<string>();
  const isRevoked = ({ jti }: Identity) => jti !== null && revoked.has(jti);
  const recheck = (identity: Identity) => {
    if (isRevoked(identity)) throw new ChatError('TOKEN_REVOKED');
  };
  const broken = new Set<unknown>();
  const verify = cacheVerification(async (token) => {
    verified.push(token);
    if (typeof token !== 'string' || broken.has(token)) throw new ChatError('UNAUTHENTICATED');
    const actor = { user: token, entity: null, level: 0, mayCreateRooms: false };
    const identity = { actor, issuedAt: 0, expiresAt, jti: token };
    recheck(identity);
    return identity;
  }, createTokenCache(recheck));
  return {
    ...{ verified, revoked, broken, verify },
    refusal: (token: unknown) =>
      verify(token).then(
        () => 'none',
        (error) => error.code,
      ),
  };
}

describe('The token cache', () => {
  it('does not verify a cached token again, and returns the same actor', async () => {
    const { verify, verified } = stage();
    const identities = [await verify('a'), await verify('b'), await verify('a'), await verify('b')];
    expect(identities.map(({ actor }) => actor.user)).to.deep.equal(['a', 'b', 'a', 'b']);
    expect(verified).to.deep.equal(['a', 'b']);
  });

  it('rejects a cached token while it is revoked, and accepts it once the revocation is lifted', async () => {
    const { verify, refusal, revoked, verified } = stage();
    await verify('a');
    revoked.add('a');
    for (let n = 0; n < 2; n++) expect(await refusal('a')).to.equal('TOKEN_REVOKED');
    revoked.delete('a');
    expect(await refusal('a')).to.equal('none');
    expect(verified).to.deep.equal(['a']);
  });

  const ends: [title: string, expiresAt: () => number | null, times: number][] = [
    ['caches a token without an expiry', () => null, 1],
    ['caches a token that expires later', () => now() + 60, 1],
    ['verifies an expired token again', () => now() - 1, 2],
    ['verifies a token again in the second of its exp, when it has already expired', () => now(), 2],
  ];
  for (const [title, expiresAt, times] of ends) {
    it(title, async () => {
      const { verify, verified } = stage({ expiresAt: expiresAt() });
      for (let n = 0; n < 2; n++) await verify('a');
      expect(verified).to.have.lengthOf(times);
    });
  }

  it('verifies a token again after half a minute, because its key may have been withdrawn', async () => {
    const started = performance.now();
    const clock = mock.method(performance, 'now', () => started);
    mock.timers.enable({ apis: ['setTimeout'] });
    closeLater(() => {
      mock.timers.reset();
      clock.mock.restore();
    });
    const { verify, refusal, broken, verified } = stage();
    await verify('a');
    broken.add('a');
    later(29_000);
    await verify('a');
    expect(verified).to.have.lengthOf(1);
    later(31_000);
    expect(await refusal('a')).to.equal('UNAUTHENTICATED');

    /** The cache reads the clock once per millisecond. */
    function later(ms: number): void {
      clock.mock.mockImplementation(() => started + ms);
      mock.timers.tick(1);
    }
  });

  it('does not cache a rejected token', async () => {
    const { refusal, broken, verified } = stage();
    broken.add('a');
    for (const token of ['a', 'a', undefined, undefined, 7, 7]) {
      expect(await refusal(token)).to.equal('UNAUTHENTICATED');
    }
    expect(verified).to.have.lengthOf(6);
    broken.clear();
    expect(await refusal('a')).to.equal('none');
  });

  it('caches tokens up to 2 KiB and no longer ones', async () => {
    const { verify, verified } = stage();
    const [long, tooLong] = ['x'.repeat(2_048), 'x'.repeat(2_049)];
    for (const token of [long, long, tooLong, tooLong]) await verify(token);
    expect(verified.map((token) => String(token).length)).to.deep.equal([2_048, 2_049, 2_049]);
  });

  it('caches at most 1,000 tokens', async () => {
    const { verify, verified } = stage();
    for (let n = 0; n <= 1_000; n++) await verify(`${n}`);
    await verify('1000');
    expect(verified).to.have.lengthOf(1_001);
    await verify('0');
    expect(verified).to.have.lengthOf(1_002);
  });
});
