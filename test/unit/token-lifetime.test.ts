import { expect } from 'chai';
import type { RevocationChange } from '../../src/store/revocation-log.ts';
import { tokenLifetimes } from '../../src/transports/token-lifetime.ts';

const user = '00000000-0000-0000-0000-00000000000a';
const actor = { user, entity: null, level: 0, mayCreateRooms: false };
const identity = (jti: string | null, expiresAt: number | null = null) => ({ actor, issuedAt: 0, expiresAt, jti });
const inSeconds = (seconds: number) => Date.now() / 1_000 + seconds;

/** Lifetimes on a node that knows these jti to be revoked. */
function lifetimes() {
  const revoked = new Set<string | null>();
  let tell = (_inForce: RevocationChange[]) => {};
  const watching = tokenLifetimes({
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
      watching.watch(identity(jti, expiresAt), { end: (how) => void ended.push(`${name} ${how}`) }),
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
});
