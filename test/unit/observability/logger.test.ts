import { expect } from 'chai';
import { describeError } from '../../../src/observability/logger.ts';

describe('What is logged of an error', () => {
  it('is neither the row nor the parameters that PostgreSQL or the driver put beside it', () => {
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
