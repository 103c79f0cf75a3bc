import { expect } from 'chai';
import { DueQueue } from '../../../../src/features/inbox/due-queue.ts';
import { Watcher } from '../../../../src/features/inbox/watchers.ts';

function createWatcher(name: string): Watcher {
  const actor = { user: name, entity: null, level: 0, mayCreateRooms: false };
  const watcher = new Watcher({ actor, emit: () => {} });
  watcher.isReading = false;
  return watcher;
}

/** What `createInbox` does after the items have been read. */
function take(queue: DueQueue, now: number) {
  const { items, nextAt } = queue.take(now);
  for (const { watcher, room } of items) {
    watcher.sentAt.set(room, now);
    watcher.nextAt = now + 500;
  }
  return { names: items.map(({ watcher, room }) => `${watcher.user}${room}`), nextAt };
}

describe('the queue of due items', () => {
  it('takes the first change at once, and a room again after a second', () => {
    const queue = new DueQueue(5_000);
    const ana = createWatcher('ana');
    queue.add(ana, 1, 0);
    expect(take(queue, 10_000).names).to.deep.equal(['ana1']);
    queue.add(ana, 1, 10_000);
    queue.add(ana, 1, 10_100);
    expect(take(queue, 10_200)).to.deep.equal({ names: [], nextAt: 10_500 });
    expect(take(queue, 10_500)).to.deep.equal({ names: [], nextAt: 11_000 });
    expect(take(queue, 11_000).names).to.deep.equal(['ana1']);
    expect(take(queue, 13_000)).to.deep.equal({ names: [], nextAt: Number.POSITIVE_INFINITY });
  });

  it('takes up to 50 rooms of an inbox, and the rest after half a second', () => {
    const queue = new DueQueue(5_000);
    const ana = createWatcher('ana');
    for (let room = 1; room <= 60; room++) queue.add(ana, room, 0);
    expect(take(queue, 10_000).names).to.have.length(50);
    expect(take(queue, 10_499)).to.deep.equal({ names: [], nextAt: 10_500 });
    expect(take(queue, 10_500).names).to.have.length(10);
  });

  it('takes at most 500 rooms and 2,000 items at once', () => {
    const queue = new DueQueue(0);
    for (let n = 0; n < 30; n++) {
      const watcher = createWatcher(`w${n}-`);
      for (let room = 1; room <= 40; room++) queue.add(watcher, n * 40 + room, 0);
    }
    const { items } = queue.take(10_000);
    expect(new Set(items.map(({ room }) => room)).size).to.equal(500);
    const other = new DueQueue(0);
    for (let n = 0; n < 3_000; n++) other.add(createWatcher(`w${n}`), 1, 0);
    expect(other.take(10_000).items).to.have.length(2_000);
    expect(other.take(10_000).items).to.have.length(1_000);
  });

  it('takes nothing for an inbox while a page of it is read', () => {
    const queue = new DueQueue(5_000);
    const ana = createWatcher('ana');
    ana.isReading = true;
    queue.add(ana, 1, 0);
    expect(take(queue, 10_000).names).to.deep.equal([]);
    ana.isReading = false;
    expect(take(queue, 10_000).names).to.deep.equal(['ana1']);
  });

  it('lets all inboxes wait alike beyond the budget, and none longer than ten seconds', () => {
    const queue = new DueQueue(10);
    const watchers = Array.from({ length: 200 }, (_, n) => createWatcher(`w${n}`));
    const counts = new Map<string, number>();
    const waits: number[] = [];
    const lastAt = new Map<string, number>();
    for (let now = 100_000; now <= 160_000; now += 100) {
      for (const watcher of watchers) queue.add(watcher, 1, now);
      for (const { watcher, room } of queue.take(now).items) {
        counts.set(watcher.user, (counts.get(watcher.user) ?? 0) + 1);
        waits.push(now - (lastAt.get(watcher.user) ?? 100_000));
        lastAt.set(watcher.user, now);
        watcher.sentAt.set(room, now);
        watcher.nextAt = now + 500;
      }
    }
    expect(Math.max(...waits)).to.be.within(9_000, 11_100);
    expect(Math.max(...counts.values()) - Math.min(...counts.values())).to.be.at.most(1);
    expect(counts.size).to.equal(200);
  });

  it('reports the interval at the present load', () => {
    const queue = new DueQueue(10);
    expect(queue.intervalMs).to.equal(1_000);
    for (let n = 0; n < 40; n++) queue.add(createWatcher(`w${n}`), 1, 0);
    expect(queue.intervalMs).to.equal(4_000);
    for (let n = 0; n < 400; n++) queue.add(createWatcher(`x${n}`), 1, 0);
    expect(queue.intervalMs).to.equal(10_000);
  });

  it('puts back what could not be read, but not for an inbox that is closed', () => {
    const queue = new DueQueue(5_000);
    const [ana, ben] = [createWatcher('ana'), createWatcher('ben')];
    for (const watcher of [ana, ben]) queue.add(watcher, 1, 5_000);
    const { items } = queue.take(10_000);
    ben.hasEnded = true;
    queue.add(ana, 1, 9_000);
    queue.restore(items);
    const again = queue.take(10_000).items;
    expect(again.map(({ watcher, since }) => [watcher.user, since])).to.deep.equal([['ana', 5_000]]);
  });
});
