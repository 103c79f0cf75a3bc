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

describe('RevocationIndex', () => {
  const single = change(9, { jti: 'x' });
  const [low, high, same] = [before(100, 1), before(200, 2), before(200, 3)];
  const table: [title: string, changes: RevocationChange[], issuedAt: number, revoked: boolean][] = [
    ['without any revocation', [], 0, false],
    ['that was issued before the time of the revocation', [low], 99, true],
    ['that was issued at the time of the revocation', [low], 100, false],
    ['that was issued a fraction of a second before the time of the revocation', [low], 99.9, true],
    ['of another user than the revocation names', [before(100, 1, ben)], 0, false],
    ['that was issued between two revocations', [low, high], 150, true],
    ['that was issued between two revocations that arrive in reverse order', [high, low], 150, true],
    ['above the lower revocation after the higher is lifted', [low, high, lifted(high)], 150, false],
    ['below the lower revocation after the higher is lifted', [low, high, lifted(high)], 50, true],
    ['after the lower of two revocations is lifted', [low, high, lifted(low)], 50, true],
    ['after one of two equal revocations is lifted', [high, same, lifted(high)], 150, true],
    ['after all revocations are lifted', [low, high, lifted(low), lifted(high)], 0, false],
    ['after the revocation is lifted twice', [low, lifted(low), lifted(low)], 0, false],
    ['after an unknown revocation is lifted', [lifted(low)], 0, false],
    ['after a revocation arrives twice and is lifted once', [low, low, lifted(low)], 0, false],
  ];
  for (const [title, changes, issuedAt, revoked] of table) {
    it(`finds ${revoked ? 'a revoked' : 'no revoked'} token ${title}`, () => {
      const tokens = new RevocationIndex();
      for (const each of changes) tokens.add(each);
      expect(tokens.has(token(ana, issuedAt))).to.equal(revoked);
    });
  }

  it('finds a token revoked by jti for every user until each revocation of the jti is lifted', () => {
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

/** A database that holds its answers until the test releases them. */
function database() {
  const asked: { from: number; answer: (rows: RevocationChange[]) => void; fail: (error: Error) => void }[] = [];
  const query = (_statement: unknown, [from]: unknown[]) =>
    new Promise<RevocationChange[]>((answer, fail) => asked.push({ from: from as number, answer, fail }));
  return { asked, store: { query } as never };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('RevocationCache', () => {
  async function knowing(...changes: RevocationChange[]) {
    const { asked, store } = database();
    const known = createRevocationCache(store);
    const first = known.refresh();
    asked.shift()!.answer(changes);
    await first;
    return { asked, known };
  }

  it('reads all revocations at first, and then only newer ones', async () => {
    const [one, two] = [before(100, 1), before(200, 2)];
    const { asked, known } = await knowing(one);
    void known.refresh();
    expect(asked.map(({ from }) => from)).to.deep.equal([one.version]);
    asked.shift()!.answer([one, two]);
    await settled();
    expect([known.isRevoked(token(ana, 150)), known.version]).to.deep.equal([true, two.version]);
  });

  it('passes each revocation once to its listeners until they unsubscribe', async () => {
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

  it('keeps a newer revocation of this node if an older answer arrives after it', async () => {
    const one = before(100, 1);
    const { asked, known } = await knowing(one);
    const refreshed = known.refresh();
    await known.apply([lifted(one)], one.version);
    asked.shift()!.answer([one]);
    await refreshed;
    expect(known.isRevoked(token())).to.equal(false);
  });

  it('reads all revocations again if the newest is missing, because the database was restored', async () => {
    const [one, two] = [before(100, 1), before(200, 2)];
    const { asked, known } = await knowing(one, two);
    const refreshed = known.refresh();
    asked.shift()!.answer([]);
    await settled();
    expect(asked.map(({ from }) => from)).to.deep.equal([0]);
    expect(known.isRevoked(token(ana, 150)), 'in force until it is known better').to.equal(true);
    // Another revocation has reused its id.
    asked.shift()!.answer([one, { ...before(100, 2, ben), version: one.version + 1 }]);
    await refreshed;
    const tokens = [token(ana, 50), token(ana, 150), token(ben, 50)];
    expect(tokens.map((each) => known.isRevoked(each))).to.deep.equal([true, false, true]);
  });

  it('reads the revocations again after a failure', async () => {
    const { asked, known } = await knowing(before(100, 1));
    const failing = known.refresh();
    asked.shift()!.fail(new Error('away'));
    expect(await failing.catch(({ message }) => message)).to.equal('away');
    expect(known.isRevoked(token())).to.equal(true);
    void known.refresh();
    expect(asked.map(({ from }) => from)).to.deep.equal([0]);
  });

  it('reads the revocations again if this node writes a newer one during a full read', async () => {
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

  it('reads all revocations again after half an hour without a read, because lifted ones may be deleted', async () => {
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

  it('answers all requests that arrive during a read with the next read', async () => {
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

  it('can read again after a read fails while two requests wait', async () => {
    const { asked, known } = await knowing();
    const all = [known.refresh(), known.refresh(), known.refresh()].map((each) => each.catch(() => 'failed'));
    asked.shift()!.fail(new Error('away'));
    await settled();
    asked.shift()!.answer([]);
    expect(await Promise.all(all)).to.deep.equal(['failed', undefined, undefined]);
  });
});
