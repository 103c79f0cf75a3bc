import { expect } from 'chai';
import {
  CommandQueue,
  maxQueued,
  maxQueuedBytes,
  maxQueuedBytesPerNode,
} from '../../../src/transports/command-queue.ts';

describe('the requests that wait', () => {
  const forever = () => new Promise<void>(() => {});

  it('fill a connection by their number', () => {
    const turns = new CommandQueue({ count: 0, bytes: 0 });
    for (let n = 0; n < maxQueued - 1; n++) turns.enqueue(0, forever);
    expect(turns.isFull).to.equal(false);
    turns.enqueue(0, forever);
    expect(turns.isFull).to.equal(true);
  });

  it('fill it by their bytes, too', () => {
    const turns = new CommandQueue({ count: 0, bytes: 0 });
    for (let n = 0; n < 16; n++) turns.enqueue(65_536, forever);
    expect(turns.size).to.equal(16);
    expect(turns.isFull).to.equal(true);
  });

  it('fill the node by the bytes of all its connections, and are given back', async () => {
    const all = { count: 0, bytes: 0 };
    const done: (() => void)[] = [];
    const connections = Array.from({ length: 64 }, () => new CommandQueue(all));
    const taken = connections.map((turns) =>
      turns.enqueue(maxQueuedBytes, () => new Promise<void>((resolve) => done.push(resolve))),
    );
    expect(all.bytes).to.be.at.least(maxQueuedBytesPerNode);
    expect(new CommandQueue(all).isNodeFull).to.equal(true);
    await Promise.resolve();
    for (const resolve of done) resolve();
    await Promise.all(taken);
    expect(all).to.deep.equal({ count: 0, bytes: 0 });
    expect(connections[0]!.isFull).to.equal(false);
  });
});
