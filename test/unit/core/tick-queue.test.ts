import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { TickQueue } from '../../../src/core/tick-queue.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('TickQueue', () => {
  it('runs a limited number of tasks per turn, in their order', async () => {
    const done: number[] = [];
    const queue = new TickQueue<number>(2, (item) => void done.push(item));
    for (const item of [1, 2, 3, 4, 5]) queue.add(item);
    expect(done).to.deep.equal([]);
    const perTurn: number[] = [];
    for (let turns = 0; turns < 4; turns++) {
      await turn();
      perTurn.push(done.length);
    }
    expect(done).to.deep.equal([1, 2, 3, 4, 5]);
    expect(perTurn).to.deep.equal([2, 4, 5, 5]);
  });

  it('keeps no task that has run, although further tasks arrive all the time', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    let runs = 0;
    const queue = new TickQueue<object>(1, () => {
      runs += 1;
      if (runs < 10) queue.add({});
    });
    const first = new WeakRef({});
    const addFirst = () => queue.add(first.deref()!);
    addFirst();
    queue.add({});
    while (runs < 5) await turn();
    collectGarbage();
    expect(first.deref()).to.equal(undefined);
    while (runs < 10) await turn();
  });

  it('runs a task that is added while others run, and one that is added when all have run', async () => {
    const done: number[] = [];
    const queue = new TickQueue<number>(10, (item) => {
      done.push(item);
      if (item < 3) queue.add(item + 1);
    });
    queue.add(1);
    for (let turns = 0; turns < 3; turns++) await turn();
    expect(done).to.deep.equal([1, 2, 3]);
    queue.add(7);
    await turn();
    expect(done).to.deep.equal([1, 2, 3, 7]);
  });

  it('runs the remaining tasks if one throws', async () => {
    const done: number[] = [];
    const queue = new TickQueue<number>(2, (item) => {
      if (item === 1) throw new Error('a task that fails');
      done.push(item);
    });
    const failure = new Promise((resolve) => process.prependOnceListener('uncaughtException', resolve));
    const others = process.listeners('uncaughtException').slice(1);
    for (const listener of others) process.off('uncaughtException', listener);
    try {
      for (const item of [1, 2, 3]) queue.add(item);
      expect(await failure).to.have.property('message', 'a task that fails');
    } finally {
      for (const listener of others) process.on('uncaughtException', listener);
    }
    for (let turns = 0; turns < 3; turns++) await turn();
    queue.add(4);
    await turn();
    expect(done).to.deep.equal([2, 3, 4]);
  });
});
