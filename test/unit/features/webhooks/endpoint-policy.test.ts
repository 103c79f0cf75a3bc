import { expect } from 'chai';
import { EndpointPolicy, maxRetryAfterMs } from '../../../../src/features/webhooks/endpoint-policy.ts';

const timeouts = { minBackoffMs: 1_000, maxBackoffMs: 300_000 };
/** Without jitter: the longest delay. */
const createPolicy = () => new EndpointPolicy(timeouts, 8, () => 1);

describe('The policy for an endpoint', () => {
  it('begins with one request at a time, and doubles the number up to 8 with the answers', () => {
    const policy = createPolicy();
    const limits = [policy.getLimit(0)];
    for (let answer = 0; answer < 20; answer++) {
      policy.succeeded();
      limits.push(policy.getLimit(0));
    }
    expect(limits.slice(0, 9)).to.deep.equal([1, 2, 2, 4, 4, 4, 4, 8, 8]);
    expect(limits.at(-1)).to.equal(8);
  });

  it('waits 1 s after the first failure, and twice as long after each further one, up to 5 minutes', () => {
    const policy = createPolicy();
    const delays: number[] = [];
    let now = 0;
    for (let attempt = 0; attempt < 11; attempt++) {
      policy.failed(now, now);
      delays.push(policy.nextAt! - now);
      now = policy.nextAt!;
    }
    expect(delays.map((ms) => ms / 1_000)).to.deep.equal([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
  });

  it('allows no request until the delay has passed, and then a single one', () => {
    const policy = createPolicy();
    policy.failed(0, 0);
    expect(policy.getLimit(999)).to.equal(0);
    expect(policy.getLimit(1_000)).to.equal(1);
  });

  it('counts requests that were under way at the first failure as one failure', () => {
    const policy = createPolicy();
    for (let n = 0; n < 8; n++) policy.failed(100 + n, 0);
    expect(policy.nextAt).to.equal(1_107);
  });

  it('shortens the delay by up to a quarter at random', () => {
    const policy = new EndpointPolicy(timeouts, 8, () => 0);
    policy.failed(0, 0);
    expect(policy.nextAt).to.equal(750);
  });

  it('waits as long as Retry-After demands, but at most a day', () => {
    const policy = createPolicy();
    policy.failed(0, 0, 90_000);
    expect(policy.nextAt).to.equal(90_000);
    policy.failed(90_000, 90_000, 10 * maxRetryAfterMs);
    expect(policy.nextAt).to.equal(90_000 + maxRetryAfterMs);
  });

  it('begins again with few requests after the first answer, which it reports', () => {
    const policy = createPolicy();
    for (let answer = 0; answer < 20; answer++) policy.succeeded();
    expect(policy.failed(0, 0), 'the first failure').to.equal(true);
    expect(policy.failed(1_000, 1_000), 'the second failure').to.equal(false);
    expect(policy.succeeded(), 'the first answer').to.equal(true);
    expect(policy.getLimit(1_000)).to.equal(2);
    expect(policy.succeeded(), 'the second answer').to.equal(false);
  });

  it('makes the next attempt due when an administrator resumes the endpoint', () => {
    const policy = createPolicy();
    policy.failed(0, 0, 3_600_000);
    policy.reset();
    expect(policy.getLimit(1)).to.equal(1);
  });
});
