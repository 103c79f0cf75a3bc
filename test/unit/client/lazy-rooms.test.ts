import { expect } from 'chai';
import { Room } from '../../../src/client/room.ts';
import { type RoomConnection, readLimits } from '../../../src/client/room-connection.ts';
import { joined } from '../../helpers/fake-room.ts';
import type { Json } from '../../helpers/json.ts';

const lingerMs = 5_000;
const realTimers = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
const timers = new Map<number, { fire: () => void; ms: number }>();

/** A room on a connection that records its requests, and accepts every join. */
function createRoom() {
  const requests: string[] = [];
  const request = (name: string, _payload: Json, answer: (error: undefined, ack: Json) => void) => {
    requests.push(name);
    if (name === 'room:join') void Promise.resolve().then(() => answer(undefined, joined(0)));
    if (name === 'message:history') answer(undefined, { messages: [], rev: 0, has_more: false, next: null });
  };
  const limits = readLimits({ url: '', token: () => '' });
  const connection = { limits, state: 'connected', link: { request }, claims: undefined };
  const room: Room = new Room(connection as unknown as RoomConnection, 7, {
    onLeft: () => void requests.push('left'),
    onOwnState() {},
  });
  return { room, requests };
}

const settle = () => new Promise(setImmediate);

/** Lets 5 s pass. Returns false if nothing waits for that. */
function linger(): boolean {
  const [id, timer] = [...timers].find(([, { ms }]) => ms === lingerMs) ?? [];
  if (id === undefined) return false;
  timers.delete(id);
  timer!.fire();
  return true;
}

describe('a room of the client that nothing listens to', () => {
  beforeEach(() => {
    let next = 1;
    Object.assign(globalThis, {
      setTimeout: (fire: () => void, ms: number) => {
        // Other tests may have left timers of 5 s running in this process. They must remain real.
        if (ms !== lingerMs || !new Error().stack!.includes('/src/client/store.ts'))
          return realTimers.setTimeout(fire, ms);
        timers.set(next, { fire, ms });
        return next++;
      },
      clearTimeout: (id: number) => void (timers.delete(id) || realTimers.clearTimeout(id)),
    });
  });
  afterEach(() => {
    Object.assign(globalThis, realTimers);
    timers.clear();
  });

  it('requests nothing, whatever is read of it', async () => {
    const { room, requests } = createRoom();
    expect([room.snapshot.state, room.messages, room.presence, room.reads.length]).to.deep.equal([
      'idle',
      [],
      undefined,
      0,
    ]);
    room.thread(1);
    room.around(1);
    room.on('message', () => {})();
    await settle();
    expect([requests, room.state]).to.deep.equal([[], 'idle']);
  });

  it('joins once for all listeners of the same task, also if the first of them is removed and added again', async () => {
    const { room, requests } = createRoom();
    room.on('change', () => {})();
    room.on('change', () => {});
    room.on('message', () => {});
    await settle();
    expect([requests, room.state]).to.deep.equal([['room:join'], 'joined']);
  });

  it('stays joined if a listener comes back within 5 s, and leaves after that', async () => {
    const { room, requests } = createRoom();
    const stop = room.on('change', () => {});
    await settle();
    stop();
    stop();
    const stopAgain = room.on('change', () => {});
    expect(linger()).to.equal(false);
    stopAgain();
    expect(room.state).to.equal('joined');
    expect(linger()).to.equal(true);
    expect([requests, room.state]).to.deep.equal([['room:join', 'left'], 'idle']);
    room.on('message', () => {});
    await settle();
    expect([requests.slice(2), room.state]).to.deep.equal([['room:join'], 'joined']);
  });

  it('joins for joined(), and stays joined while a thread or a window has a listener', async () => {
    const { room, requests } = createRoom();
    await room.joined();
    const stops = [room.thread(1).on('message', () => {}), room.around(1).on('change', () => {})];
    await settle();
    expect(requests).to.include.members(['room:join', 'message:read', 'message:history']);
    expect(linger()).to.equal(false);
    for (const stop of stops) stop();
    expect([linger(), linger(), linger(), room.state]).to.deep.equal([true, true, true, 'idle']);
  });

  it('is left after a closed thread, even if the listener of the thread remains', async () => {
    const { room } = createRoom();
    const thread = room.thread(1);
    thread.on('change', () => {});
    await settle();
    thread.close();
    expect([linger(), room.state]).to.deep.equal([true, 'idle']);
  });

  it('sends messages and personal settings without joining', async () => {
    const { room, requests } = createRoom();
    room.send('hi');
    room.setPersonal({ muted: true });
    await settle();
    expect(requests).to.deep.equal(['message:send', 'room:personal']);
  });

  it('stays left after leave() until its next first listener', async () => {
    const { room, requests } = createRoom();
    const stop = room.on('change', () => {});
    await settle();
    room.leave();
    room.on('message', () => {})();
    await settle();
    expect([requests, room.state]).to.deep.equal([['room:join', 'left'], 'left']);
    stop();
    room.on('change', () => {});
    await settle();
    expect(room.state).to.equal('joined');
  });
});
