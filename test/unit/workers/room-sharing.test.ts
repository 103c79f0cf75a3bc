import { expect } from 'chai';
import { RoomSharing } from '../../../src/workers/room-sharing.ts';

type Call = [name: string, ...args: unknown[]];

/** A worker that records the calls it receives. It answers at once, or, after `freeze`, one call for each `answerNext`. */
function member(id: number) {
  const calls: Call[] = [];
  const waiting: (() => void)[] = [];
  let isFrozen = false;
  const call = (...call: Call) => {
    calls.push(call);
    return isFrozen ? new Promise<void>((resolve) => waiting.push(resolve)) : Promise.resolve();
  };
  return {
    ...{ id, calls, link: { call }, notify: (...args: Call) => void call(...args) },
    freeze() {
      isFrozen = true;
    },
    answerNext: () => waiting.shift()!(),
  };
}

const changes = (added: string[], removed: string[] = []) => ({ added, removed });
const timeoutMs = 5;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Worker one has shared two changes; worker two is frozen and has answered neither. */
async function shareWithFrozen() {
  const sharing = new RoomSharing(timeoutMs);
  const [one, two] = [member(1), member(2)];
  await sharing.share(two, changes([]));
  two.freeze();
  await sharing.share(one, changes(['a']));
  await sharing.share(one, changes(['b']));
  return { sharing, one, two };
}

describe('RoomSharing', () => {
  it('sends a new worker the rooms of the others, and the others its rooms', async () => {
    const sharing = new RoomSharing(timeoutMs);
    const [one, two, three] = [member(1), member(2), member(3)];
    await sharing.share(one, changes(['a', 'b']));
    await sharing.share(two, changes(['c']));
    await sharing.share(one, changes(['d'], ['a']));
    await sharing.share(three, changes([]));
    expect(one.calls).to.deep.equal([
      ['peerRooms', 2, changes(['c'])],
      ['peerRooms', 3, changes([])],
    ]);
    expect(two.calls.slice(0, 2)).to.deep.equal([
      ['peerRooms', 1, changes(['a', 'b'])],
      ['peerRooms', 1, changes(['d'], ['a'])],
    ]);
    expect(three.calls).to.deep.equal([
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

  it('waits for a frozen worker only until the timeout, and notifies the sharing worker once, when the frozen one has answered everything', async () => {
    const { one, two } = await shareWithFrozen();
    one.calls.length = 0;
    two.answerNext();
    await turn();
    expect(one.calls).to.deep.equal([]);
    two.answerNext();
    await turn();
    expect(one.calls).to.deep.equal([['missed']]);
  });

  it('forgets a worker that has ended', async () => {
    const sharing = new RoomSharing(timeoutMs);
    const [one, two, three] = [member(1), member(2), member(3)];
    await sharing.share(one, changes(['a']));
    await sharing.share(two, changes(['b']));
    sharing.remove(one);
    expect(two.calls.at(-1)).to.deep.equal(['peerRooms', 1, null]);
    await sharing.share(three, changes([]));
    expect(three.calls).to.deep.equal([['peerRooms', 2, changes(['b'])]]);
  });

  it('notifies the sharing worker although further changes wait for a slow worker all the time', async () => {
    const { sharing, one, two } = await shareWithFrozen();
    two.answerNext();
    await turn();
    await sharing.share(one, changes(['c']));
    one.calls.length = 0;
    two.answerNext();
    await turn();
    expect(one.calls).to.deep.equal([['missed']]);
    two.answerNext();
    await turn();
    expect(one.calls).to.deep.equal([['missed'], ['missed']]);
  });
});
