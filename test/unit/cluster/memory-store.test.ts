import { expect } from 'chai';
import { MemoryStore } from '../../../src/cluster/memory-store.ts';
import { closeLater } from '../../helpers/cleanup.ts';

function createStore() {
  let now = 1_000;
  const store = new MemoryStore(() => now);
  closeLater(() => store.close());
  const pass = (ms: number) => {
    now += ms;
  };
  return { store, pass };
}

describe('MemoryStore', () => {
  it('grants leases up to the limit, again to the same holder, and after a release or the expiry of another', () => {
    const { store, pass } = createStore();
    const lease = (holder: string) => store.run(1, 'lease', ['user', holder, 2, 100]);
    expect([lease('a'), lease('b'), lease('c'), lease('a')]).to.deep.equal([1, 1, 0, 1]);
    expect(store.run(1, 'countLeases', ['user'])).to.equal(2);
    expect(store.run(1, 'zRem', ['user', 'b'])).to.equal(1);
    expect([lease('c'), lease('d')]).to.deep.equal([1, 0]);
    pass(100);
    expect(store.run(1, 'countLeases', ['user'])).to.equal(0);
    expect(lease('d')).to.equal(1);
  });

  it('grants every lease without a limit', () => {
    const { store } = createStore();
    for (let n = 0; n < 5; n++) expect(store.run(1, 'lease', ['user', `${n}`, 0, 100])).to.equal(1);
  });

  it('forgets what a worker has written when it ends, and nothing else', () => {
    const { store } = createStore();
    store.run(1, 'lease', ['user', 'a', 0, 100]);
    store.run(2, 'lease', ['user', 'b', 0, 100]);
    store.run(1, 'enlist', ['nodes', 'one', 100]);
    expect(store.run(2, 'enlist', ['nodes', 'two', 100])).to.equal(2);
    store.forget(1);
    expect(store.run(2, 'countLeases', ['user'])).to.equal(1);
    expect(store.run(2, 'enlist', ['nodes', 'two', 100])).to.equal(1);
  });

  it('adds up what all workers spend from a bucket, which refills with time and never owes more than its maximum', () => {
    const { store, pass } = createStore();
    const spend = (owner: number, ms: number) => store.run(owner, 'spend', ['bucket', ms, 1_000]);
    expect([spend(1, 300), spend(2, 300)]).to.deep.equal([300, 600]);
    pass(500);
    expect(spend(1, 50)).to.equal(150);
    expect(spend(2, 5_000)).to.equal(1_000);
    pass(5_000);
    expect(spend(1, 10)).to.equal(10);
  });
});
