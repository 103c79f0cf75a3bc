import { expect } from 'chai';
import type { Subscriber } from '../../../../src/core/feed/subscriber.ts';
import { TypingRoom } from '../../../../src/features/typing/typing-room.ts';

const uuidOf = (n: number) => `00000000-0000-4000-8000-00000000000${n}`;
const subscriber = (n: number) => ({ actor: { user: uuidOf(n) } }) as Subscriber;
const state = (counter: number, ...users: number[]) => ({
  ...{ counter, count: users.length },
  users: users.map((n) => ({ user: uuidOf(n), ms: 6_000 })),
});

describe('TypingRoom', () => {
  it('ignores a state of another node that is older than the one that it knows, also after an empty one', () => {
    const room = new TypingRoom();
    expect(room.receive('other', state(2), 0, 6_000)).to.equal(true);
    expect(room.receive('other', state(1, 1), 0, 6_000)).to.equal(false);
    expect(room.toSet()).to.deep.equal({ users: [], count: 0 });
    expect(room.receive('third', state(1, 1), 0, 6_000), 'each node has its own counter').to.equal(true);
    expect(room.toSet().count).to.equal(1);
  });

  it('forgets what a node does not repeat, after the time that it has named and never later than the maximum', () => {
    const room = new TypingRoom();
    room.receive(
      'other',
      {
        counter: 1,
        count: 2,
        users: [
          { user: uuidOf(1), ms: 100 },
          { user: uuidOf(2), ms: 1e9 },
        ],
      },
      0,
      6_000,
    );
    expect(room.expire(50)).to.deep.equal({ changed: false, localChanged: false, nextAt: 100 });
    expect(room.expire(100)).to.deep.equal({ changed: true, localChanged: false, nextAt: 6_000 });
    expect(room.toSet()).to.deep.equal({ users: [{ user: uuidOf(2) }], count: 1 });
    expect(room.expire(6_000)).to.deep.equal({ changed: true, localChanged: false, nextAt: Number.POSITIVE_INFINITY });
    expect(room.isEmpty).to.equal(true);
  });

  it('counts a user and thread once over all connections and nodes, and adds the users that a node has not named', () => {
    const room = new TypingRoom();
    room.start(subscriber(1), undefined, 6_000);
    room.start(subscriber(1), undefined, 7_000);
    room.start(subscriber(1), 4, 6_000);
    room.receive('other', { ...state(1, 1, 2), count: 5 }, 0, 6_000);
    expect(room.toSet()).to.deep.equal({
      users: [{ user: uuidOf(1) }, { user: uuidOf(1), thread: 4 }, { user: uuidOf(2) }],
      count: 6,
    });
    const { users, count } = room.toNodeState(1_000);
    expect(count).to.equal(2);
    expect(users).to.deep.include({ user: uuidOf(1), ms: 6_000 });
  });
});
