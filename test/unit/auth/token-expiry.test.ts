import { mock } from 'node:test';
import { expect } from 'chai';
import type { RevocationChange } from '../../../src/auth/revocation-log.ts';
import { createTokenExpiry } from '../../../src/auth/token-expiry.ts';
import { closeLater } from '../../helpers/cleanup.ts';

const user = '00000000-0000-0000-0000-00000000000a';
const actor = { user, entity: null, level: 0, mayCreateRooms: false };
const identity = (jti: string | null, expiresAt: number | null = null) => ({ actor, issuedAt: 0, expiresAt, jti });
const inSeconds = (seconds: number) => Date.now() / 1_000 + seconds;

/** The token expiry of a node on which these jti are revoked. */
function createExpiry() {
  const revoked = new Set<string | null>();
  let signal = (_inForce: RevocationChange[]) => {};
  const expiry = createTokenExpiry({
    isRevoked: ({ jti }) => revoked.has(jti),
    onChange: (listener) => {
      signal = listener;
      return () => {};
    },
  });
  const ended: string[] = [];
  return {
    ended,
    watch: (name: string, jti: string | null, expiresAt?: number) =>
      expiry.watch(identity(jti, expiresAt), { onTokenEnded: (how) => void ended.push(`${name} ${how}`) }),
    /** A listener that receives expiry warnings. */
    watchWarned: (name: string, expiresAt: number) =>
      expiry.watch(identity(null, expiresAt), {
        warnOfTokenExpiry: (inMs) => void ended.push(`${name} in ${inMs / 1_000} s`),
        onTokenEnded: (how) => void ended.push(`${name} ${how}`),
      }),
    /** Revokes a token in the database; this node learns of it by a signal. */
    revoke: (jti: string) => revoked.add(jti),
    signal: (target: Partial<RevocationChange>) => signal([{ user: null, jti: null, ...target } as RevocationChange]),
  };
}

describe('The token expiry', () => {
  it('ends exactly the connections whose token is revoked, by jti or by user', () => {
    const { ended, watch, revoke, signal } = createExpiry();
    for (const jti of ['a', 'b', null]) watch(`with ${jti}`, jti);
    revoke('a');
    signal({ jti: 'a' });
    expect(ended).to.deep.equal(['with a revoked']);
    revoke('b');
    signal({ user });
    signal({ user });
    expect(ended).to.deep.equal(['with a revoked', 'with b revoked']);
  });

  it('ends a connection at once if its token is revoked between verification and connection', () => {
    const { ended, watch, revoke, signal } = createExpiry();
    revoke('a');
    const lifetime = watch('late', 'a');
    expect(ended).to.deep.equal(['late revoked']);
    signal({ jti: 'a' });
    lifetime.stop();
    expect(ended).to.have.length(1);
  });

  it('ends a connection at once if its new token is revoked before the renewal completes', () => {
    const { ended, watch, revoke } = createExpiry();
    const lifetime = watch('renewed', 'a');
    revoke('b');
    lifetime.renew(identity('b'));
    expect(ended).to.deep.equal(['renewed revoked']);
  });

  it('ignores the expiry and revocation of the old token after a renewal', () => {
    const { ended, watch, revoke, signal } = createExpiry();
    watch('renewed', 'a').renew(identity('b'));
    revoke('a');
    signal({ jti: 'a' });
    signal({ user });
    expect(ended).to.deep.equal([]);
    revoke('b');
    signal({ jti: 'b' });
    expect(ended).to.deep.equal(['renewed revoked']);
  });

  it('does nothing for a connection after it is stopped', () => {
    const { ended, watch, revoke, signal } = createExpiry();
    watch('stopped', 'a').stop();
    revoke('a');
    signal({ jti: 'a' });
    signal({ user });
    expect(ended).to.deep.equal([]);
  });

  it('ends all remaining connections of a user', () => {
    const { ended, watch, revoke, signal } = createExpiry();
    const many = Array.from({ length: 1_000 }, (_, n) => watch(`number ${n}`, 'a'));
    revoke('a');
    many[500]!.stop();
    signal({ user });
    expect(ended).to.have.length(999);
  });

  describe('with a timer', () => {
    const minutes = (count: number) => count * 60;

    /** Fake timers, which count the timers of single tokens. */
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
          // Second by second, because a due timer would otherwise see the clock at its final time.
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

    it('warns a minute before a token expires and ends the connection on time, for near and far expiries', () => {
      const { pass } = clock();
      const { ended, watchWarned } = createExpiry();
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

    it('ends a connection once if its token both expires and is revoked', () => {
      const { pass } = clock();
      const { ended, watch, revoke, signal } = createExpiry();
      watch('expired', 'a', inSeconds(2));
      watch('revoked', 'b', inSeconds(2));
      watch('renewed', 'c', inSeconds(2)).renew(identity('c', inSeconds(60)));
      revoke('b');
      signal({ jti: 'b' });
      pass(4);
      revoke('a');
      signal({ jti: 'a' });
      expect(ended).to.deep.equal(['revoked revoked', 'expired expired']);
    });

    it('sets the only timer of a token in its last 20 minutes', () => {
      const { timers, pass } = clock();
      const { ended, watch } = createExpiry();
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

    it('sets a timer at once for a token that expires within 20 minutes', () => {
      const { timers } = clock();
      const { watch } = createExpiry();
      watch('near', 'a', inSeconds(minutes(20)));
      expect(timers()).to.equal(1);
      watch('far', 'b', inSeconds(minutes(20) + 1));
      expect(timers()).to.equal(1);
    });

    it('warns once and ends the connection by the clock, even if the clock is set back', () => {
      const { pass, setBack } = clock();
      const { ended, watchWarned } = createExpiry();
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

    it('warns again if the token is renewed after the first warning', () => {
      const { pass } = clock();
      const { ended, watchWarned } = createExpiry();
      const lifetime = watchWarned('near', inSeconds(minutes(5)));
      pass(minutes(4));
      lifetime.renew(identity(null, inSeconds(minutes(3))));
      pass(minutes(3));
      expect(ended).to.deep.equal(['near in 60 s', 'near in 60 s', 'near expired']);
    });

    it('ignores stopped connections and uses the new expiry of renewed tokens', () => {
      const { pass } = clock();
      const { ended, watch } = createExpiry();
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
