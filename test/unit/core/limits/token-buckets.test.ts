import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { TokenBuckets } from '../../../../src/core/limits/token-buckets.ts';

/** The rate is so low that a bucket does not refill during a test. */
const rate = 0.001;

describe('TokenBuckets', () => {
  it('allows a full bucket of tokens at once, and then returns the time until the next token', () => {
    const buckets = new TokenBuckets({ rate, burst: 3 });
    expect([1, 2].map((tokens) => buckets.consume('ana', tokens))).to.deep.equal([0, 0]);
    expect(buckets.consume('ana', 1)).to.be.within(990_000, 1_000_000);
    expect(buckets.consume('ana', 2)).to.be.within(1_990_000, 2_000_000);
    expect(buckets.consume('ben', 3)).to.equal(0);
  });

  it('refills a token bucket over time', async () => {
    const buckets = new TokenBuckets({ rate: 1_000, burst: 1 });
    expect(buckets.consume('ana', 1)).to.equal(0);
    while (buckets.consume('ana', 1) > 0) await turn();
  });

  it('allows a request that costs more than a full bucket if the bucket is full', () => {
    const buckets = new TokenBuckets({ rate, burst: 3 });
    expect(buckets.consume('ana', 100)).to.equal(0);
    expect(buckets.consume('ana', 1)).to.be.greaterThan(0);
  });

  it('limits the debt of a token bucket to one burst, and allows no request until it is repaid', () => {
    const buckets = new TokenBuckets({ rate, burst: 2 });
    buckets.charge('ana', 1);
    expect(buckets.consume('ana', 0)).to.equal(0);
    buckets.charge('ana', 100);
    expect(buckets.consume('ana', 0)).to.be.within(1_990_000, 2_000_000);
  });

  it('counts the tokens that other nodes report, and reports its own amounts to them', async () => {
    const reported: number[] = [];
    const share = async (_key: string, spentMs: number) => {
      reported.push(spentMs);
      return 9_000_000 + spentMs;
    };
    const buckets = new TokenBuckets({ rate, burst: 10, share });
    expect(buckets.consume('ana', 1)).to.equal(0);
    await turn();
    expect(reported).to.deep.equal([1_000_000]);
    expect(buckets.consume('ana', 1)).to.be.greaterThan(0);
  });

  it('does not report small amounts of tokens to the other nodes', async () => {
    let asked = 0;
    const share = () => {
      asked += 1;
      return undefined;
    };
    const buckets = new TokenBuckets({ rate, burst: 100, share });
    for (let n = 0; n < 9; n++) buckets.consume('ana', 1);
    expect(asked).to.equal(0);
    buckets.consume('ana', 1);
    expect(asked).to.equal(1);
  });

  it('counts tokens alone while the other nodes are unreachable, and reports all of them afterwards', async () => {
    const answers = [undefined, Promise.reject(new Error('gone')), Promise.resolve(30_000)];
    const reported: number[] = [];
    const share = (_key: string, spentMs: number) => {
      reported.push(spentMs);
      return answers.shift();
    };
    const buckets = new TokenBuckets({ rate: 1, burst: 10, share });
    for (let n = 0; n < 3; n++) {
      expect(buckets.consume('ana', 1)).to.equal(0);
      await turn();
    }
    expect(reported).to.deep.equal([1_000, 2_000, 3_000]);
    expect(buckets.consume('ana', 1)).to.be.greaterThan(0);
  });
});
