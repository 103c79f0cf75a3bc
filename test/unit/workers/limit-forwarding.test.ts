import type { Worker } from 'node:cluster';
import { expect } from 'chai';
import { limitForwarding } from '../../../src/workers/limit-forwarding.ts';

describe('limitForwarding', () => {
  it('drops messages while too many wait for the worker, and reports the loss once, and the recovery', () => {
    const sent: (() => void)[] = [];
    const worker = {
      send(_message: object, _handle: undefined, _options: object, callback: () => void) {
        sent.push(callback);
        return true;
      },
    } as unknown as Worker;
    const reports: string[] = [];
    limitForwarding(worker, { onLost: () => reports.push('lost'), onRecovered: () => reports.push('recovered') });
    for (let n = 0; n < 5_002; n++) worker.send({ n });
    expect(sent).to.have.length(5_000);
    expect(reports).to.deep.equal(['lost']);
    for (const callback of sent.splice(0, 4_999)) callback();
    expect(reports).to.deep.equal(['lost']);
    for (const callback of sent.splice(0)) callback();
    expect(reports).to.deep.equal(['lost', 'recovered']);
    worker.send({});
    expect(sent, 'it sends again').to.have.length(1);
  });
});
