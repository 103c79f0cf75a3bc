import { expect } from 'chai';
import {
  CommandQueue,
  maxQueued,
  maxQueuedBytes,
  maxQueuedBytesPerNode,
} from '../../../src/transports/command-queue.ts';

describe('the command queue', () => {
  const forever = () => new Promise<void>(() => {});

  it('limits a connection by the number of waiting requests', () => {
    const turns = new CommandQueue({ count: 0, bytes: 0 });
    for (let n = 0; n < maxQueued - 1; n++) turns.enqueue(0, forever);
    expect(turns.isFull).to.equal(false);
    turns.enqueue(0, forever);
    expect(turns.isFull).to.equal(true);
  });

  it('limits a connection by the bytes of waiting requests, too', () => {
    const turns = new CommandQueue({ count: 0, bytes: 0 });
    for (let n = 0; n < 16; n++) turns.enqueue(65_536, forever);
    expect(turns.size).to.equal(16);
    expect(turns.isFull).to.equal(true);
  });

  it('limits a node by the bytes of all its connections, and releases them', async () => {
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
