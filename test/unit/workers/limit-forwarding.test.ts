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
    limitForwarding(worker, new Set(), {
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

  it('passes on the messages of the rooms of the worker, and those without rooms', () => {
    const sent: unknown[] = [];
    const worker = { send: (message: object) => sent.push(message) } as unknown as Worker;
    const rooms = new Set<string>();
    limitForwarding(worker, rooms, { onLost() {}, onRecovered() {} });
    const [first, second] = ['room:1', 'room:2'].map((room) => ({ data: { opts: { rooms: [room] } } }));
    const heartbeat = { type: 2 };
    worker.send({ messages: [first] });
    expect(sent).to.deep.equal([]);
    rooms.add('room:2');
    worker.send({ messages: [first, second, heartbeat] });
    worker.send({ messages: [second] });
    worker.send(heartbeat);
    expect(sent).to.deep.equal([{ messages: [second, heartbeat] }, { messages: [second] }, heartbeat]);
  });
});
