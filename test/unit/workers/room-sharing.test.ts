import { expect } from 'chai';
import { RoomSharing } from '../../../src/workers/room-sharing.ts';

type Told = [name: string, ...args: unknown[]];

/** A worker that records what it is told. It answers at once, or, if it is frozen, when it continues. */
function member(id: number) {
  const told: Told[] = [];
  const waiting: (() => void)[] = [];
  let isFrozen = false;
  const call = (...call: Told) => {
    told.push(call);
    return isFrozen ? new Promise<void>((resolve) => waiting.push(resolve)) : Promise.resolve();
  };
  return {
    ...{ id, told, link: { call }, notify: (...args: Told) => void call(...args) },
    freeze() {
      isFrozen = true;
    },
    answerNext: () => waiting.shift()!(),
  };
}

const changes = (added: string[], removed: string[] = []) => ({ added, removed });
const timeoutMs = 5;
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('RoomSharing', () => {
  it('tells a new worker the rooms of the others, and the others its rooms', async () => {
    const sharing = new RoomSharing(timeoutMs);
    const [one, two, three] = [member(1), member(2), member(3)];
    await sharing.share(one, changes(['a', 'b']));
    await sharing.share(two, changes(['c']));
    await sharing.share(one, changes(['d'], ['a']));
    await sharing.share(three, changes([]));
    expect(one.told).to.deep.equal([
      ['peerRooms', 2, changes(['c'])],
      ['peerRooms', 3, changes([])],
    ]);
    expect(two.told.slice(0, 2)).to.deep.equal([
      ['peerRooms', 1, changes(['a', 'b'])],
      ['peerRooms', 1, changes(['d'], ['a'])],
    ]);
    expect(three.told).to.deep.equal([
      ['peerRooms', 1, changes(['b', 'd'])],
      ['peerRooms', 2, changes(['c'])],
    ]);
  });

  it('waits until the others know the rooms', async () => {
    const sharing = new RoomSharing(10_000);
    const [one, two] = [member(1), member(2)];
    await sharing.share(two, changes([]));
    two.freeze();
    let isShared = false;
    const shared = sharing.share(one, changes(['a'])).then(() => {
      isShared = true;
    });
    await turn();
    expect(isShared).to.equal(false);
    two.answerNext();
    await shared;
  });

  it('does not wait long for a frozen worker, and notifies the worker once, when it has answered everything', async () => {
    const sharing = new RoomSharing(timeoutMs);
    const [one, two] = [member(1), member(2)];
    await sharing.share(two, changes([]));
    two.freeze();
    await sharing.share(one, changes(['a']));
    await sharing.share(one, changes(['b']));
    one.told.length = 0;
    two.answerNext();
    await turn();
    expect(one.told).to.deep.equal([]);
    two.answerNext();
    await turn();
    expect(one.told).to.deep.equal([['missed']]);
  });

  it('forgets a worker that has ended', async () => {
    const sharing = new RoomSharing(timeoutMs);
    const [one, two, three] = [member(1), member(2), member(3)];
    await sharing.share(one, changes(['a']));
    await sharing.share(two, changes(['b']));
    sharing.remove(one);
    expect(two.told.at(-1)).to.deep.equal(['peerRooms', 1, null]);
    await sharing.share(three, changes([]));
    expect(three.told).to.deep.equal([['peerRooms', 2, changes(['b'])]]);
  });
});
