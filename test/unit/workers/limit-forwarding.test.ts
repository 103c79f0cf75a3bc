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
    limitForwarding(worker, {
      onLost: () => reports.push('lost'),
      onRecovered: () => reports.push('recovered'),
    });
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

  it('passes on the messages that are addressed to the worker, and those without an address', () => {
    const sent: unknown[] = [];
    const worker = { id: 2, send: (message: object) => sent.push(message) } as unknown as Worker;
    limitForwarding(worker, { onLost() {}, onRecovered() {} });
    const [other, both] = [{ to: [3] }, { to: [3, 2] }];
    const heartbeat = { type: 2 };
    worker.send({ messages: [other] });
    expect(sent).to.deep.equal([]);
    worker.send({ messages: [other, both, heartbeat] });
    worker.send({ messages: [both] });
    worker.send(heartbeat);
    expect(sent).to.deep.equal([{ messages: [both, heartbeat] }, { messages: [both] }, heartbeat]);
  });
});
