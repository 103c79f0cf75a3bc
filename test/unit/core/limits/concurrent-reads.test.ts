import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { createConcurrentReads } from '../../../../src/core/limits/concurrent-reads.ts';

const [ana, ben] = ['ana', 'ben'];

describe('ConcurrentReads', () => {
  function reading() {
    const reads = createConcurrentReads(2);
    const started: string[] = [];
    const ends: (() => void)[] = [];
    const read = (user: string, name: string) =>
      reads.run(user, () => {
        started.push(name);
        return new Promise<string>((resolve) => ends.push(() => resolve(name)));
      });
    return { reads, started, ends, read };
  }

  it('limits the concurrent reads of a user, runs the others in order, and does not delay other users', async () => {
    const { started, ends, read } = reading();
    const done = [read(ana, 'a1'), read(ana, 'a2'), read(ana, 'a3'), read(ana, 'a4'), read(ben, 'b1')];
    await turn();
    expect(started).to.deep.equal(['a1', 'a2', 'b1']);
    ends[0]!();
    await turn();
    expect(started).to.deep.equal(['a1', 'a2', 'b1', 'a3']);
    while (ends.length < 5) {
      for (const end of ends) end();
      await turn();
    }
    for (const end of ends) end();
    expect(await Promise.all(done)).to.deep.equal(['a1', 'a2', 'a3', 'a4', 'b1']);
  });

  it('starts the next read after a failed read', async () => {
    const reads = createConcurrentReads(1);
    const failed = reads.run(ana, () => Promise.reject(new Error('no database')));
    const next = reads.run(ana, async () => 'read');
    expect(await failed.catch(({ message }) => message)).to.equal('no database');
    expect(await next).to.equal('read');
  });
});
