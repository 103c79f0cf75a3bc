import { expect } from 'chai';
import { retryCanceled } from '../../../src/database/retry-canceled.ts';

const canceled = () =>
  Object.assign(new Error('canceling statement due to statement timeout'), { code: '57014', severity: 'ERROR' });

/** A query that fails with these errors, one after the other, and then returns its number of attempts. */
function failing(...errors: Error[]) {
  let attempts = 0;
  return async () => {
    attempts += 1;
    const error = errors[attempts - 1];
    if (error) throw error;
    return attempts;
  };
}

describe('retryCanceled', () => {
  it('retries a canceled query, each time after it has recovered', async () => {
    let recoveries = 0;
    const result = await retryCanceled(failing(canceled(), canceled()), async () => void recoveries++);
    expect({ result, recoveries }).to.deep.equal({ result: 3, recoveries: 2 });
  });

  it('gives up after the fifth attempt', async () => {
    const errors = Array.from({ length: 5 }, canceled);
    const thrown = await retryCanceled(failing(...errors)).catch((error) => error);
    expect(thrown).to.equal(errors[4]);
  });

  it('does not retry a query that failed for another reason', async () => {
    const error = Object.assign(new Error('permission denied'), { code: '42501', severity: 'ERROR' });
    expect(await retryCanceled(failing(error)).catch((thrown) => thrown)).to.equal(error);
  });
});
