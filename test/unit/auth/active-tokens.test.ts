import { expect } from 'chai';
import { type ActiveToken, ActiveTokens } from '../../../src/auth/active-tokens.ts';

interface Named extends ActiveToken {
  name: string;
}

/** Creates the token of a connection, with this user and this jti. */
function token(name: string, user: string, jti: string | null = null): Named {
  const actor = { user, entity: null, level: 0, mayCreateRooms: false };
  return { name, identity: { actor, issuedAt: 0, expiresAt: null, jti }, revoke() {}, check() {} };
}

const names = (tokens: Iterable<ActiveToken>) => [...tokens].map((one) => (one as Named).name).sort();

/** An index of active tokens and a function to look them up. */
function holding(...tokens: Named[]) {
  const held = new ActiveTokens();
  for (const one of tokens) held.add(one);
  return {
    held,
    all: () => names(held.all()),
    of: (user: string | null, jti: string | null = null) => names(held.findCandidates({ user, jti })),
  };
}

describe('ActiveTokens', () => {
  it('finds the active tokens of a user and of a jti, even if several tokens share the jti', () => {
    const { of, all } = holding(
      token('1', 'ann', 'x'),
      token('2', 'bob', 'y'),
      token('3', 'bob', 'y'),
      token('4', 'bob'),
    );
    expect(of('ann')).to.deep.equal(['1']);
    expect(of('bob')).to.deep.equal(['2', '3', '4']);
    expect(of('cid')).to.deep.equal([]);
    expect(of(null, 'x')).to.deep.equal(['1']);
    expect(of(null, 'y')).to.deep.equal(['2', '3']);
    expect(of(null)).to.deep.equal([]);
    expect(all()).to.deep.equal(['1', '2', '3', '4']);
  });

  it('keeps a token once if it is added twice', () => {
    const [one, other] = [token('1', 'ann', 'x'), token('2', 'ann', 'x')];
    const { held, of, all } = holding(one, one);
    expect(all()).to.deep.equal(['1']);
    held.add(other);
    held.add(one);
    expect(all()).to.deep.equal(['1', '2']);
    expect(of(null, 'x')).to.deep.equal(['1', '2']);
  });

  it('removes exactly the released tokens, in any order', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      const tokens = ['1', '2', '3'].map((name) => token(name, 'ann', 'x'));
      const { held, of, all } = holding(...tokens, token('other', 'bob', 'y'));
      const left = new Set(['1', '2', '3']);
      for (const n of order) {
        held.remove(tokens[n]!);
        held.remove(tokens[n]!);
        left.delete(tokens[n]!.name);
        for (const found of [of('ann'), of(null, 'x')]) expect(found).to.deep.equal([...left]);
      }
      expect(all()).to.deep.equal(['other']);
    }
  });

  it('keeps the tokens of a user if an unknown token of that user is released', () => {
    const { held, of } = holding(token('1', 'ann', 'x'));
    held.remove(token('2', 'ann', 'x'));
    expect(of('ann', 'x')).to.deep.equal(['1', '1']);
  });

  it('allows tokens to be released during an iteration', () => {
    const tokens = ['1', '2', '3', '4'].map((name, n) => token(name, n < 3 ? 'ann' : 'bob'));
    const { held, all } = holding(...tokens);
    const met: string[] = [];
    for (const one of held.all()) {
      met.push((one as Named).name);
      held.remove(one);
    }
    expect(met).to.deep.equal(['1', '2', '3', '4']);
    expect(all()).to.deep.equal([]);
  });
});
