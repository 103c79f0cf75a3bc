import { mock } from 'node:test';
import { expect } from 'chai';
import { createRefusalLog } from '../../../src/observability/refusal-log.ts';
import { closeLater } from '../../helpers/cleanup.ts';

describe('The refusal log', () => {
  it('logs the first refusal at once, then a count per minute, and starts again after a quiet minute', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    closeLater(() => mock.timers.reset());
    const lines: object[] = [];
    const refused = createRefusalLog((fields) => void lines.push(fields));
    for (let n = 0; n < 1_000; n++) refused('10.0.0.1');
    expect(lines).to.deep.equal([{ refused: 1, address: '10.0.0.1' }]);
    mock.timers.tick(60_000);
    expect(lines.at(-1)).to.deep.equal({ refused: 999, address: '10.0.0.1' });
    refused('10.0.0.2');
    expect(lines).to.have.lengthOf(2);
    mock.timers.tick(60_000);
    expect(lines.at(-1)).to.deep.equal({ refused: 1, address: '10.0.0.2' });
    mock.timers.tick(180_000);
    expect(lines).to.have.lengthOf(3);
    refused('10.0.0.3');
    expect(lines.at(-1)).to.deep.equal({ refused: 1, address: '10.0.0.3' });
  });
});
