import { expect } from 'chai';
import { createRevocationCache } from '../../../src/auth/revocation-cache.ts';
import { RevocationIndex } from '../../../src/auth/revocation-index.ts';
import type { RevocationChange } from '../../../src/auth/revocation-log.ts';

const [ana, ben] = ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'];

const token = (user = ana, issuedAt = 0, jti: string | null = null) => ({ actor: { user }, issuedAt, jti });

let versions = 0;
function change(id: number, what: Partial<RevocationChange>): RevocationChange {
  versions += 1;
  return { id, user: null, issuedBefore: null, jti: null, version: versions, lifted: false, ...what };
}
const before = (issuedBefore: number, id: number, user = ana) => change(id, { user, issuedBefore });
const lifted = ({ id, user, issuedBefore, jti }: RevocationChange) =>
  change(id, { user, issuedBefore, jti, lifted: true });

describe('revoked tokens', () => {
  const single = change(9, { jti: 'x' });
  const [low, high, same] = [before(100, 1), before(200, 2), before(200, 3)];
  const table: [title: string, changes: RevocationChange[], issuedAt: number, revoked: boolean][] = [
    ['none', [], 0, false],
    ['issued before', [low], 99, true],
    ['issued at the moment', [low], 100, false],
    ['a fraction before', [low], 99.9, true],
    ['of another user', [before(100, 1, ben)], 0, false],
    ['between two', [low, high], 150, true],
    ['between two that came the other way round', [high, low], 150, true],
    ['after the highest is lifted, above the lower', [low, high, lifted(high)], 150, false],
    ['after the highest is lifted, below the lower', [low, high, lifted(high)], 50, true],
    ['after the lower is lifted', [low, high, lifted(low)], 50, true],
    ['after one of two equal ones is lifted', [high, same, lifted(high)], 150, true],
    ['after all are lifted', [low, high, lifted(low), lifted(high)], 0, false],
    ['after it was lifted twice', [low, lifted(low), lifted(low)], 0, false],
    ['lifted before it was known', [lifted(low)], 0, false],
    ['heard of twice and lifted once', [low, low, lifted(low)], 0, false],
  ];
  for (const [title, changes, issuedAt, revoked] of table) {
    it(`${revoked ? 'are' : 'are not'} those ${title}`, () => {
      const tokens = new RevocationIndex();
      for (const each of changes) tokens.add(each);
      expect(tokens.has(token(ana, issuedAt))).to.equal(revoked);
    });
  }

  it('are found by jti, whoever they are of, until that is lifted', () => {
    const tokens = new RevocationIndex();
    const twin = change(10, { jti: 'x' });
    for (const each of [single, twin]) tokens.add(each);
    expect([ana, ben].map((user) => tokens.has(token(user, 1, 'x')))).to.deep.equal([true, true]);
    expect([tokens.has(token(ana, 1, 'y')), tokens.has(token(ana, 1, null))]).to.deep.equal([false, false]);
    tokens.add(lifted(single));
    expect(tokens.has(token(ana, 1, 'x'))).to.equal(true);
    tokens.add(lifted(twin));
    expect(tokens.has(token(ana, 1, 'x'))).to.equal(false);
  });
});

/** A database whose answers wait until they are called for. */
function database() {
  const asked: { from: number; answer: (rows: RevocationChange[]) => void; fail: (error: Error) => void }[] = [];
  const query = (_statement: unknown, [from]: unknown[]) =>
    new Promise<RevocationChange[]>((answer, fail) => asked.push({ from: from as number, answer, fail }));
  return { asked, store: { query } as never };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('what a node knows of the revocations', () => {
  async function knowing(...changes: RevocationChange[]) {
    const { asked, store } = database();
    const known = createRevocationCache(store);
    const first = known.refresh();
    asked.shift()!.answer(changes);
    await first;
    return { asked, known };
  }

  it('is everything at first, then what came after', async () => {
    const [one, two] = [before(100, 1), before(200, 2)];
    const { asked, known } = await knowing(one);
    void known.refresh();
    expect(asked.map(({ from }) => from)).to.deep.equal([one.version]);
    asked.shift()!.answer([one, two]);
    await settled();
    expect([known.isRevoked(token(ana, 150)), known.version]).to.deep.equal([true, two.version]);
  });

  it('is told to who listens, once each, until he leaves', async () => {
    const [one, two] = [before(100, 1), before(200, 2)];
    const { known } = await knowing();
    const heard: number[] = [];
    const leave = known.onChange((inForce) => heard.push(...inForce.map(({ id }) => id)));
    await known.apply([one], 0);
    await known.apply([one, two], one.version);
    await known.apply([two, lifted(one)], two.version);
    leave();
    await known.apply([before(300, 3)], two.version);
    expect(heard).to.deep.equal([1, 2]);
  });

  it('is not set back by an answer that was under way while something newer was written here', async () => {
    const one = before(100, 1);
    const { asked, known } = await knowing(one);
    const refreshed = known.refresh();
    await known.apply([lifted(one)], one.version);
    asked.shift()!.answer([one]);
    await refreshed;
    expect(known.isRevoked(token())).to.equal(false);
  });

  it('is read anew where the newest of it is gone: the database was restored', async () => {
    const [one, two] = [before(100, 1), before(200, 2)];
    const { asked, known } = await knowing(one, two);
    const refreshed = known.refresh();
    asked.shift()!.answer([]);
    await settled();
    expect(asked.map(({ from }) => from)).to.deep.equal([0]);
    expect(known.isRevoked(token(ana, 150)), 'in force until it is known better').to.equal(true);
    // Its id has been given to another one.
    asked.shift()!.answer([one, { ...before(100, 2, ben), version: one.version + 1 }]);
    await refreshed;
    const tokens = [token(ana, 50), token(ana, 150), token(ben, 50)];
    expect(tokens.map((each) => known.isRevoked(each))).to.deep.equal([true, false, true]);
  });

  it('is read anew after a failure', async () => {
    const { asked, known } = await knowing(before(100, 1));
    const failing = known.refresh();
    asked.shift()!.fail(new Error('away'));
    expect(await failing.catch(({ message }) => message)).to.equal('away');
    expect(known.isRevoked(token())).to.equal(true);
    void known.refresh();
    expect(asked.map(({ from }) => from)).to.deep.equal([0]);
  });

  it('is read once more where something newer was written here while all of it was read', async () => {
    const one = before(100, 1);
    const { asked, known } = await knowing(one);
    const failing = known.refresh();
    asked.shift()!.fail(new Error('away'));
    await failing.catch(() => {});
    const refreshed = known.refresh();
    const two = before(200, 2);
    await known.apply([one, two], one.version);
    asked.shift()!.answer([one]);
    await settled();
    expect([known.isRevoked(token(ana, 150)), asked.map(({ from }) => from)]).to.deep.equal([true, [0]]);
    asked.shift()!.answer([one, two]);
    await refreshed;
    expect(known.isRevoked(token(ana, 150))).to.equal(true);
  });

  it('is read anew after half an hour in silence: what was lifted meanwhile may be gone', async () => {
    const one = before(100, 1);
    const { asked, known } = await knowing(one);
    const { now } = Date;
    try {
      Date.now = () => now() + 1_799_000;
      const soon = known.refresh();
      expect(asked[0]?.from).to.equal(one.version);
      asked.shift()!.answer([one]);
      await soon;
      Date.now = () => now() + 2 * 1_801_000;
      void known.refresh();
      expect(asked[0]?.from).to.equal(0);
    } finally {
      Date.now = now;
    }
  });

  it('is read for who asks during a reading by the next one, which serves all of them', async () => {
    const { asked, known } = await knowing();
    const order: string[] = [];
    const ask = (name: string) => known.refresh().then(() => order.push(name));
    const all = [ask('first'), ask('second'), ask('third')];
    expect(asked).to.have.length(1);
    asked.shift()!.answer([]);
    await settled();
    expect([order, asked.length]).to.deep.equal([['first'], 1]);
    asked.shift()!.answer([]);
    await Promise.all(all);
    expect(order).to.deep.equal(['first', 'second', 'third']);
  });

  it('can be read again after a failure that two were waiting behind', async () => {
    const { asked, known } = await knowing();
    const all = [known.refresh(), known.refresh(), known.refresh()].map((each) => each.catch(() => 'failed'));
    asked.shift()!.fail(new Error('away'));
    await settled();
    asked.shift()!.answer([]);
    expect(await Promise.all(all)).to.deep.equal(['failed', undefined, undefined]);
  });
});
