import { expect } from 'chai';
import { describeError } from '../../../src/observability/logger.ts';

describe('The logger', () => {
  it('omits the row and the parameters that PostgreSQL or the driver add to an error', () => {
    const refused = Object.assign(new Error('null value in column "seq"'), {
      ...{
        code: '23502',
        detail: 'Failing row contains (1, my secret).',
        where: 'my secret',
        parameters: ['my secret'],
      },
    });
    const logged = describeError(new Error('Something went wrong here', { cause: refused }));
    expect(JSON.stringify(logged)).to.include('23502').and.not.include('my secret');
  });
});
