import { expect } from 'chai';
import type { Actor } from '../../../../src/core/authorization.ts';
import { RoomFeed, type Subscriber } from '../../../../src/core/feed/room-feed.ts';
import { type Change, UnknownChangeKindError } from '../../../../src/core/log/change.ts';
import type { RoomLog } from '../../../../src/core/log/room-log.ts';
import type { RoomSnapshot } from '../../../../src/core/log/room-snapshot.ts';
import { closeLater } from '../../../helpers/cleanup.ts';

const room_id = 7;
const reader = '00000000-0000-0000-0000-00000000000a';
const other = '00000000-0000-0000-0000-00000000000b';
const date = '2026-01-01T00:00:00.000Z';

const grant = (entity_UUID: string, permissions: string | null) => ({
  ...{ entity_UUID, kind: 'user' as const, permissions, level: 0, accepted: null },
});

function message(rev: number): Change {
  const body = { id: rev, room_id, seq: rev, emitter: other, content: `${rev}`, client_msg_id: null };
  return { kind: 'message', room_id, rev, at: rev, message: { ...body, createdAt: date, updatedAt: date } };
}

const rule = (rev: number, user: string, permissions: string | null): Change => ({
  ...{ kind: 'member', room_id, rev, at: rev, rule: grant(user, permissions) },
});

/** The room's log as the database would hold it. */
function logOf(changes: Change[]) {
  return {
    changes: async (_room: number, from: number, to: number) => changes.filter(({ rev }) => rev >= from && rev <= to),
  };
}

function stateAt(rev: number, rules = [grant(reader, 'rw'), grant(other, 'rw')]): RoomSnapshot {
  const room = { id: room_id, uuid: other, name: 'feed', type: 'group' as const, level_admin: 100, user_owner: other };
  return {
    room: { ...room, entity_owner: null, max_entity_rules: 10, last_seq: rev, createdAt: date, updatedAt: date },
    rules: rules.map((granted) => ({
      ...granted,
      permissions: granted.permissions ?? '',
      createdAt: date,
      updatedAt: date,
    })),
    head: { room_id, rev, at: rev },
    start: { room_id, rev: 0, at: 0 },
    rightsRev: 0,
  };
}

interface Listening extends Subscriber {
  heard: (number | string)[];
}

function stage(log: Change[] = []) {
  const live = new Set<Listening>();
  const repaired: number[] = [];
  const unknown: string[] = [];
  const delivered: string[] = [];
  const feed = new RoomFeed({
    room: room_id,
    log: logOf(log) as unknown as RoomLog,
    broadcasters: [
      {
        publish: (change) => {
          for (const member of live) member.heard.push(change.rev);
        },
      },
    ],
    events: {
      repaired: (count) => void repaired.push(count),
      reordered: () => {},
      reconciled: () => {},
      unknownKind: (room, error) => void unknown.push(`${room} ${error?.kind} ${error?.rev}`),
      delivered: (at, origin) => void delivered.push(`${at} ${origin}`),
      failed: (error) => {
        throw error;
      },
    },
  });
  // One that still waits for what its log has not would fail after its test, in somebody else's.
  closeLater(() => feed.end());
  function member(user = reader): Listening {
    const actor: Actor = { user, entity: null, level: 0, mayCreateRooms: false };
    const listening: Listening = {
      actor,
      heard: [],
      deliver: (change) => void listening.heard.push(change.rev),
      goLive: () => void live.add(listening),
      remove: (code) => {
        live.delete(listening);
        listening.heard.push(code);
      },
      reconnect: () => void listening.heard.push('reconnect'),
    };
    return listening;
  }
  const join = (joiner: Listening, state: RoomSnapshot | Promise<RoomSnapshot>) =>
    feed.join(
      joiner,
      async () => ({ snapshot: await state }),
      ({ snapshot: { head } }) => void joiner.heard.push(`joined at ${head.rev}`),
    );
  const rejoin = (joiner: Listening, state: Promise<RoomSnapshot>) =>
    feed.rejoin(
      joiner,
      async () => ({ snapshot: await state }),
      ({ snapshot: { head } }, later) =>
        void joiner.heard.push(`again at ${head.rev}, later ${later.map(({ rev }) => rev).join()}`),
    );
  return { feed, member, join, rejoin, repaired, delivered, unknown };
}

/** Awaits what a repair does after its hold time. */
async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition() && tries < 200; tries++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).to.equal(true);
}

describe('a feed', () => {
  it('delivers what comes next, and drops what it has delivered', async () => {
    const { feed, member, join } = stage();
    const one = member();
    await join(one, stateAt(2));
    for (const rev of [1, 2, 3, 3, 4, 2]) feed.receive(message(rev));
    expect(one.heard).to.deep.equal(['joined at 2', 3, 4]);
  });

  it('puts in order what comes in another order', async () => {
    const { feed, member, join } = stage();
    const one = member();
    await join(one, stateAt(0));
    for (const rev of [3, 2, 5, 1, 4]) feed.receive(message(rev));
    expect(one.heard).to.deep.equal(['joined at 0', 1, 2, 3, 4, 5]);
  });

  it('reads from the log what never comes', async () => {
    const { feed, member, join, repaired } = stage([1, 2, 3].map(message));
    const one = member();
    await join(one, stateAt(0));
    feed.receive(message(3));
    await until(() => one.heard.length === 4);
    expect(one.heard).to.deep.equal(['joined at 0', 1, 2, 3]);
    expect(repaired).to.deep.equal([3]);
  });

  it('says of what it has told its members when it was numbered, and how it came', async () => {
    const { feed, member, join, delivered } = stage([1, 2, 3, 4].map(message));
    feed.receive(message(1), 'remote');
    await join(member(), stateAt(1));
    feed.receive(message(2), 'remote');
    feed.receive(message(3));
    feed.receive(message(5), 'remote');
    await until(() => delivered.length === 4);
    const at = (rev: number) => (message(rev) as { at: number }).at;
    expect(delivered).to.deep.equal([`${at(2)} remote`, `${at(3)} here`, `${at(4)} log`, `${at(5)} remote`]);
  });

  it('says nothing of what nobody was told', async () => {
    const { feed, member, join, delivered } = stage();
    const one = member();
    await join(one, stateAt(0));
    feed.leave(one);
    feed.receive(message(1), 'remote');
    expect(delivered).to.deep.equal([]);
  });

  it('fetches what a sweep has found, without hearing anything', async () => {
    const { feed, member, join } = stage([1, 2].map(message));
    const one = member();
    await join(one, stateAt(0));
    feed.reconcile(2);
    await until(() => one.heard.length === 3);
    expect(one.heard).to.deep.equal(['joined at 0', 1, 2]);
  });

  it('takes everybody out where a sweep finds the room gone', async () => {
    const { feed, member, join } = stage();
    const one = member();
    await join(one, stateAt(0));
    feed.reconcile(undefined);
    expect(one.heard).to.deep.equal(['joined at 0', 'ROOM_DELETED']);
    expect(feed.hasEnded).to.equal(true);
  });

  it('hands over what happens during a join, after its acknowledgement', async () => {
    const { feed, member, join } = stage();
    await join(member(other), stateAt(0));
    const one = member();
    let read = (_state: RoomSnapshot) => {};
    const joining = join(one, new Promise((resolve) => (read = resolve)));
    for (const rev of [1, 2, 3]) feed.receive(message(rev));
    read(stateAt(2));
    await joining;
    feed.receive(message(4));
    expect(one.heard).to.deep.equal(['joined at 2', 3, 4]);
  });

  it('lets a member in at the place of its snapshot where the feed is behind', async () => {
    const { feed, member, join } = stage();
    const early = member(other);
    await join(early, stateAt(0));
    const one = member();
    await join(one, stateAt(2));
    for (const rev of [1, 2, 3]) feed.receive(message(rev));
    expect(early.heard).to.deep.equal(['joined at 0', 1, 2, 3]);
    expect(one.heard).to.deep.equal(['joined at 2', 3]);
  });

  it('reads again where the snapshot is older than what it has delivered since the join began', async () => {
    const { feed, member, join } = stage();
    const one = member();
    const states = [stateAt(1), stateAt(3)];
    await join(member(other), stateAt(2));
    await feed.join(
      one,
      async () => ({ snapshot: states.shift()! }),
      ({ snapshot: { head } }) => void one.heard.push(`joined at ${head.rev}`),
    );
    feed.receive(message(3));
    feed.receive(message(4));
    expect(one.heard).to.deep.equal(['joined at 3', 4]);
  });

  it('delivers nothing that follows a ban to the banned, also when all of it is heard at once', async () => {
    const { feed, member, join } = stage();
    const [banned, stays] = [member(), member(other)];
    await join(banned, stateAt(0));
    await join(stays, stateAt(0));
    for (const change of [message(3), rule(2, reader, 'b'), message(1)]) feed.receive(change);
    expect(banned.heard).to.deep.equal(['joined at 0', 1, 'BANNED']);
    expect(stays.heard).to.deep.equal(['joined at 0', 1, 2, 3]);
  });

  it('keeps from a joining member what follows a ban that falls into its join, even when it is lifted again', async () => {
    const { feed, member, join } = stage();
    await join(member(other), stateAt(0));
    const one = member();
    let read = (_state: RoomSnapshot) => {};
    const joining = join(one, new Promise((resolve) => (read = resolve)));
    for (const change of [message(1), rule(2, reader, 'b'), message(3), rule(4, reader, 'rw')]) feed.receive(change);
    read(stateAt(0));
    await joining;
    feed.receive(message(5));
    expect(one.heard).to.deep.equal(['joined at 0', 1, 'BANNED']);
  });

  it('keeps a member that joins again in, and answers it with the place the feed has come to', async () => {
    const { feed, member, join, rejoin } = stage();
    const one = member();
    await join(one, stateAt(0));
    let read = (_state: RoomSnapshot) => {};
    const again = rejoin(one, new Promise((resolve) => (read = resolve)));
    for (const rev of [1, 2, 3]) feed.receive(message(rev));
    read(stateAt(2));
    await again;
    feed.receive(message(4));
    expect(one.heard).to.deep.equal(['joined at 0', 1, 2, 3, 'again at 2, later 3', 4]);
  });

  it('answers a member that joins again not before the feed is where the snapshot was taken', async () => {
    const { feed, member, join, rejoin } = stage();
    const one = member();
    await join(one, stateAt(0));
    const again = rejoin(one, Promise.resolve(stateAt(2)));
    await new Promise((resolve) => setImmediate(resolve));
    for (const rev of [1, 2, 3]) feed.receive(message(rev));
    await again;
    expect(one.heard).to.deep.equal(['joined at 0', 1, 2, 'again at 2, later ', 3]);
  });

  it('does not answer a member that joins again and is taken out meanwhile', async () => {
    const { feed, member, join, rejoin } = stage();
    const one = member();
    await join(one, stateAt(0));
    const again = rejoin(one, Promise.resolve(stateAt(2))).catch((error) => error.code);
    await new Promise((resolve) => setImmediate(resolve));
    feed.receive(rule(1, reader, 'b'));
    expect(await again).to.equal('NOT_FOUND');
    expect(one.heard).to.deep.equal(['joined at 0', 'BANNED']);
  });

  it('refuses one who may not read, and keeps nothing of him', async () => {
    const { feed, member, join } = stage();
    const one = member();
    const refused = await join(one, stateAt(0, [])).catch((error) => error.code);
    expect(refused).to.equal('NOT_FOUND');
    expect(feed.isEmpty).to.equal(true);
  });

  it('lets nobody in who left during the join', async () => {
    const { feed, member, join } = stage();
    const one = member();
    let read = (_state: RoomSnapshot) => {};
    const joining = join(one, new Promise((resolve) => (read = resolve))).catch(() => {});
    feed.leave(one);
    read(stateAt(0));
    await joining;
    feed.receive(message(1));
    expect(one.heard).to.deep.equal([]);
  });

  it('lets everybody reconnect if the bus brings a change of an unknown kind, and delivers nothing after it', async () => {
    const { feed, member, join, unknown } = stage();
    const [one, another] = [member(), member(other)];
    await join(one, stateAt(1));
    await join(another, stateAt(1));
    feed.receive({ kind: 'unknown', room_id });
    feed.receive(message(3));
    expect([one.heard, another.heard]).to.deep.equal([
      ['joined at 1', 'reconnect'],
      ['joined at 1', 'reconnect'],
    ]);
    expect(feed.hasEnded).to.equal(true);
    expect(unknown).to.deep.equal(['7 undefined undefined']);
  });

  it('lets everybody reconnect if the log has a change of an unknown kind', async () => {
    const log: Change[] = [];
    const { feed, member, join, unknown } = stage(log);
    const one = member();
    await join(one, stateAt(1));
    // As the log throws it instead of a page with such a change.
    log.filter = () => {
      throw new UnknownChangeKindError({ room_id, rev: 2, kind: 'edit' });
    };
    feed.reconcile(2);
    await new Promise((resolve) => setImmediate(resolve));
    expect(one.heard).to.deep.equal(['joined at 1', 'reconnect']);
    expect(unknown).to.deep.equal(['7 edit 2']);
  });
});
