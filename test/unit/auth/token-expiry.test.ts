import { mock } from 'node:test';
import { expect } from 'chai';
import type { RevocationChange } from '../../../src/auth/revocation-log.ts';
import { createTokenExpiry } from '../../../src/auth/token-expiry.ts';
import { closeLater } from '../../helpers/cleanup.ts';

const user = '00000000-0000-0000-0000-00000000000a';
const actor = { user, entity: null, level: 0, mayCreateRooms: false };
const identity = (jti: string | null, expiresAt: number | null = null) => ({ actor, issuedAt: 0, expiresAt, jti });
const inSeconds = (seconds: number) => Date.now() / 1_000 + seconds;

/** Lifetimes on a node that knows these jti to be revoked. */
function lifetimes() {
  const revoked = new Set<string | null>();
  let tell = (_inForce: RevocationChange[]) => {};
  const watching = createTokenExpiry({
    isRevoked: ({ jti }) => revoked.has(jti),
    onChange: (hear) => {
      tell = hear;
      return () => {};
    },
  });
  const ended: string[] = [];
  return {
    ended,
    watch: (name: string, jti: string | null, expiresAt?: number) =>
      watching.watch(identity(jti, expiresAt), { onTokenEnded: (how) => void ended.push(`${name} ${how}`) }),
    /** One who wants to be warned. */
    watchWarned: (name: string, expiresAt: number) =>
      watching.watch(identity(null, expiresAt), {
        warnOfTokenExpiry: (inMs) => void ended.push(`${name} in ${inMs / 1_000} s`),
        onTokenEnded: (how) => void ended.push(`${name} ${how}`),
      }),
    /** In the database it is; this node hears of it when it is told. */
    revoke: (jti: string) => revoked.add(jti),
    tell: (target: Partial<RevocationChange>) => tell([{ user: null, jti: null, ...target } as RevocationChange]),
  };
}

describe('the lifetime of a token', () => {
  it('ends when it is revoked, by jti or by user, and nobody else’s does', () => {
    const { ended, watch, revoke, tell } = lifetimes();
    for (const jti of ['a', 'b', null]) watch(`with ${jti}`, jti);
    revoke('a');
    tell({ jti: 'a' });
    expect(ended).to.deep.equal(['with a revoked']);
    revoke('b');
    tell({ user });
    tell({ user });
    expect(ended).to.deep.equal(['with a revoked', 'with b revoked']);
  });

  it('ends at once where it was revoked between verification and connection', () => {
    const { ended, watch, revoke, tell } = lifetimes();
    revoke('a');
    const lifetime = watch('late', 'a');
    expect(ended).to.deep.equal(['late revoked']);
    tell({ jti: 'a' });
    lifetime.stop();
    expect(ended).to.have.length(1);
  });

  it('ends at once where the fresh one was revoked on its way', () => {
    const { ended, watch, revoke } = lifetimes();
    const lifetime = watch('renewed', 'a');
    revoke('b');
    lifetime.renew(identity('b'));
    expect(ended).to.deep.equal(['renewed revoked']);
  });

  it('goes on with the fresh one: what becomes of the old one is nothing to it', () => {
    const { ended, watch, revoke, tell } = lifetimes();
    watch('renewed', 'a').renew(identity('b'));
    revoke('a');
    tell({ jti: 'a' });
    tell({ user });
    expect(ended).to.deep.equal([]);
    revoke('b');
    tell({ jti: 'b' });
    expect(ended).to.deep.equal(['renewed revoked']);
  });

  it('is over when it is stopped', () => {
    const { ended, watch, revoke, tell } = lifetimes();
    watch('stopped', 'a').stop();
    revoke('a');
    tell({ jti: 'a' });
    tell({ user });
    expect(ended).to.deep.equal([]);
  });

  it('ends once, whatever comes first', async () => {
    const { ended, watch, revoke, tell } = lifetimes();
    watch('expired', 'a', inSeconds(0.02));
    watch('revoked', 'b', inSeconds(0.02));
    watch('renewed', 'c', inSeconds(0.02)).renew(identity('c', inSeconds(60)));
    revoke('b');
    tell({ jti: 'b' });
    await new Promise((resolve) => setTimeout(resolve, 60));
    revoke('a');
    tell({ jti: 'a' });
    expect(ended).to.deep.equal(['revoked revoked', 'expired expired']);
  });

  it('ends for all connections of a user that are still there', () => {
    const { ended, watch, revoke, tell } = lifetimes();
    const many = Array.from({ length: 1_000 }, (_, n) => watch(`number ${n}`, 'a'));
    revoke('a');
    many[500]!.stop();
    tell({ user });
    expect(ended).to.have.length(999);
  });

  describe('that ends in a while', () => {
    const minutes = (count: number) => count * 60;

    /** Time passes when the test says; the timers that are set for one token each are counted. */
    function clock() {
      let now = 1_800_000_000_000;
      mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
      const mocked = [mock.method(Date, 'now', () => now), mock.method(globalThis, 'setTimeout')];
      closeLater(() => {
        for (const { mock } of mocked) mock.restore();
        mock.timers.reset();
      });
      return {
        timers: () => mocked[1]!.mock.callCount(),
        pass(seconds: number) {
          // Second by second: what is due would otherwise find the clock at the end of it all.
          for (let n = 0; n < seconds; n++) {
            now += 1_000;
            mock.timers.tick(1_000);
          }
        },
        setBack: (seconds: number) => {
          now -= seconds * 1_000;
        },
      };
    }

    it('is warned of a minute before, and ends on time, whether it is near or far', () => {
      const { pass } = clock();
      const { ended, watchWarned } = lifetimes();
      watchWarned('near', inSeconds(minutes(5)));
      watchWarned('far', inSeconds(minutes(95)));
      pass(minutes(4) - 1);
      expect(ended).to.deep.equal([]);
      pass(1);
      expect(ended.splice(0)).to.deep.equal(['near in 60 s']);
      pass(59);
      expect(ended).to.deep.equal([]);
      pass(1);
      expect(ended.splice(0)).to.deep.equal(['near expired']);
      pass(minutes(89) - 1);
      expect(ended).to.deep.equal([]);
      pass(1);
      expect(ended.splice(0)).to.deep.equal(['far in 60 s']);
      pass(60);
      expect(ended.splice(0)).to.deep.equal(['far expired']);
      pass(minutes(60));
      expect(ended).to.deep.equal([]);
    });

    it('has no timer until it is looked at in its last 20 minutes, and then one', () => {
      const { timers, pass } = clock();
      const { ended, watch } = lifetimes();
      watch('far', 'a', inSeconds(minutes(35)));
      watch('farther', 'b', inSeconds(minutes(1_000_000)));
      watch('for ever', 'c');
      pass(minutes(19));
      expect(timers()).to.equal(0);
      pass(minutes(1));
      expect(timers()).to.equal(1);
      pass(minutes(10));
      expect(timers()).to.equal(1);
      expect(ended).to.deep.equal([]);
      pass(minutes(5));
      expect(ended).to.deep.equal(['far expired']);
    });

    it('has one at once where it ends within 20 minutes', () => {
      const { timers } = clock();
      const { watch } = lifetimes();
      watch('near', 'a', inSeconds(minutes(20)));
      expect(timers()).to.equal(1);
      watch('far', 'b', inSeconds(minutes(20) + 1));
      expect(timers()).to.equal(1);
    });

    it('is warned of once, and ends by the clock, also where that is set back', () => {
      const { pass, setBack } = clock();
      const { ended, watchWarned } = lifetimes();
      watchWarned('near', inSeconds(minutes(5)));
      pass(minutes(4) - 1);
      setBack(minutes(60));
      pass(1);
      expect(ended.splice(0)).to.deep.equal(['near in 3660 s']);
      pass(minutes(61) - 1);
      expect(ended).to.deep.equal([]);
      pass(1);
      expect(ended).to.deep.equal(['near expired']);
    });

    it('is warned of again when it was renewed after the warning', () => {
      const { pass } = clock();
      const { ended, watchWarned } = lifetimes();
      const lifetime = watchWarned('near', inSeconds(minutes(5)));
      pass(minutes(4));
      lifetime.renew(identity(null, inSeconds(minutes(3))));
      pass(minutes(3));
      expect(ended).to.deep.equal(['near in 60 s', 'near in 60 s', 'near expired']);
    });

    it('is left alone when it was stopped, and goes by its fresh end when it was renewed', () => {
      const { pass } = clock();
      const { ended, watch } = lifetimes();
      watch('stopped', 'a', inSeconds(minutes(35))).stop();
      watch('stopped near', 'b', inSeconds(minutes(5))).stop();
      watch('later', 'c', inSeconds(minutes(5))).renew(identity('c', inSeconds(minutes(45))));
      watch('sooner', 'd', inSeconds(minutes(45))).renew(identity('d', inSeconds(minutes(5))));
      pass(minutes(44));
      expect(ended).to.deep.equal(['sooner expired']);
      pass(minutes(1));
      expect(ended).to.deep.equal(['sooner expired', 'later expired']);
    });
  });
});
