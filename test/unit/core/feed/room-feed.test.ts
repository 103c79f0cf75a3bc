import { expect } from 'chai';
import type { Actor } from '../../../../src/core/authorization.ts';
import { RoomFeed } from '../../../../src/core/feed/room-feed.ts';
import type { Subscriber } from '../../../../src/core/feed/subscriber.ts';
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
  const body = { id: rev, room_id, seq: rev, emitter: other, content: `${rev}`, client_msg_id: null, version: rev };
  return { kind: 'message', room_id, rev, at: rev, message: { ...body, createdAt: date, updatedAt: date } };
}

const rule = (rev: number, user: string, permissions: string | null): Change => ({
  ...{ kind: 'member', room_id, rev, at: rev, rule: grant(user, permissions) },
});

/** A log with two edits of the message 1 at the revs 2 and 3, of which a replay skips all but the first. */
const editedTwice = {
  changes: async (_room: number, from: number, to: number) =>
    [message(1), edit(2), edit(3)]
      .filter(({ rev }) => rev >= from && rev <= to)
      .map((change): Change => (change.rev === 3 && from < 3 ? { kind: 'skipped', room_id, rev: 3, at: 3 } : change)),
};

const edit = (rev: number): Change => ({ ...message(rev), kind: 'revision' }) as Change;
const describeChange = ({ kind, rev }: Change) => (kind === 'skipped' ? `${rev} skipped` : rev);

function createLog(changes: Change[]) {
  return {
    changes: async (_room: number, from: number, to: number) => changes.filter(({ rev }) => rev >= from && rev <= to),
  };
}

function snapshotAt(rev: number, rules = [grant(reader, 'rw'), grant(other, 'rw')]): RoomSnapshot {
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

interface RecordingSubscriber extends Subscriber {
  received: (number | string)[];
}

function setUp(log: Change[] | Pick<RoomLog, 'changes'> = []) {
  const live = new Set<RecordingSubscriber>();
  const repaired: number[] = [];
  const unknown: string[] = [];
  const delivered: string[] = [];
  const feed = new RoomFeed({
    room: room_id,
    log: (Array.isArray(log) ? createLog(log) : log) as RoomLog,
    broadcasters: [
      {
        publish: (change) => {
          for (const subscriber of live) subscriber.received.push(describeChange(change));
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
  // A feed that still waits for missing changes would fail during a later test.
  closeLater(() => feed.end());
  function createSubscriber(user = reader): RecordingSubscriber {
    const actor: Actor = { user, entity: null, level: 0, mayCreateRooms: false };
    const subscriber: RecordingSubscriber = {
      actor,
      received: [],
      deliver: (change) => void subscriber.received.push(describeChange(change)),
      deliverEvent: () => {},
      goLive: () => void live.add(subscriber),
      remove: (code) => {
        live.delete(subscriber);
        subscriber.received.push(code);
      },
      reconnect: () => void subscriber.received.push('reconnect'),
    };
    return subscriber;
  }
  const join = (subscriber: RecordingSubscriber, snapshot: RoomSnapshot | Promise<RoomSnapshot>) =>
    feed.join(
      subscriber,
      async () => ({ snapshot: await snapshot }),
      ({ snapshot: { head } }) => void subscriber.received.push(`joined at ${head.rev}`),
    );
  const rejoin = (subscriber: RecordingSubscriber, snapshot: Promise<RoomSnapshot>) =>
    feed.rejoin(
      subscriber,
      async () => ({ snapshot: await snapshot }),
      ({ snapshot: { head } }, later) =>
        void subscriber.received.push(`rejoined at ${head.rev}, later ${later.map(({ rev }) => rev).join()}`),
    );
  return { feed, createSubscriber, join, rejoin, repaired, delivered, unknown };
}

/** Waits for a repair, which starts after a timeout. */
async function until(condition: () => boolean): Promise<void> {
  for (let attempts = 0; !condition() && attempts < 200; attempts++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).to.equal(true);
}

describe('RoomFeed', () => {
  it('delivers the next change, and drops changes that it has already delivered', async () => {
    const { feed, createSubscriber, join } = setUp();
    const one = createSubscriber();
    await join(one, snapshotAt(2));
    for (const rev of [1, 2, 3, 3, 4, 2]) feed.receive(message(rev));
    expect(one.received).to.deep.equal(['joined at 2', 3, 4]);
  });

  it('delivers changes in order if they arrive out of order', async () => {
    const { feed, createSubscriber, join } = setUp();
    const one = createSubscriber();
    await join(one, snapshotAt(0));
    for (const rev of [3, 2, 5, 1, 4]) feed.receive(message(rev));
    expect(one.received).to.deep.equal(['joined at 0', 1, 2, 3, 4, 5]);
  });

  it('reads changes that never arrive from the log', async () => {
    const { feed, createSubscriber, join, repaired } = setUp([1, 2, 3].map(message));
    const one = createSubscriber();
    await join(one, snapshotAt(0));
    feed.receive(message(3));
    await until(() => one.received.length === 4);
    expect(one.received).to.deep.equal(['joined at 0', 1, 2, 3]);
    expect(repaired).to.deep.equal([3]);
  });

  it('reports the commit time and the origin of each delivered change', async () => {
    const { feed, createSubscriber, join, delivered } = setUp([1, 2, 3, 4].map(message));
    feed.receive(message(1), 'remote');
    await join(createSubscriber(), snapshotAt(1));
    feed.receive(message(2), 'remote');
    feed.receive(message(3));
    feed.receive(message(5), 'remote');
    await until(() => delivered.length === 4);
    const at = (rev: number) => (message(rev) as { at: number }).at;
    expect(delivered).to.deep.equal([`${at(2)} remote`, `${at(3)} here`, `${at(4)} log`, `${at(5)} remote`]);
  });

  it('reports no delivery if nobody is in the room', async () => {
    const { feed, createSubscriber, join, delivered } = setUp();
    const one = createSubscriber();
    await join(one, snapshotAt(0));
    feed.leave(one);
    feed.receive(message(1), 'remote');
    expect(delivered).to.deep.equal([]);
  });

  it('reads missing changes that a reconciliation finds, without a message from the bus', async () => {
    const { feed, createSubscriber, join } = setUp([1, 2].map(message));
    const one = createSubscriber();
    await join(one, snapshotAt(0));
    feed.reconcile(2);
    await until(() => one.received.length === 3);
    expect(one.received).to.deep.equal(['joined at 0', 1, 2]);
  });

  it('removes all subscribers if a reconciliation finds the room deleted', async () => {
    const { feed, createSubscriber, join } = setUp();
    const one = createSubscriber();
    await join(one, snapshotAt(0));
    feed.reconcile(undefined);
    expect(one.received).to.deep.equal(['joined at 0', 'ROOM_DELETED']);
    expect(feed.hasEnded).to.equal(true);
  });

  it('delivers changes that arrive during a join after its acknowledgement', async () => {
    const { feed, createSubscriber, join } = setUp();
    await join(createSubscriber(other), snapshotAt(0));
    const one = createSubscriber();
    let read = (_snapshot: RoomSnapshot) => {};
    const pending = join(one, new Promise((resolve) => (read = resolve)));
    for (const rev of [1, 2, 3]) feed.receive(message(rev));
    read(snapshotAt(2));
    await pending;
    feed.receive(message(4));
    expect(one.received).to.deep.equal(['joined at 2', 3, 4]);
  });

  it('lets a subscriber go live at the rev of its snapshot if the feed is behind', async () => {
    const { feed, createSubscriber, join } = setUp();
    const early = createSubscriber(other);
    await join(early, snapshotAt(0));
    const one = createSubscriber();
    await join(one, snapshotAt(2));
    for (const rev of [1, 2, 3]) feed.receive(message(rev));
    expect(early.received).to.deep.equal(['joined at 0', 1, 2, 3]);
    expect(one.received).to.deep.equal(['joined at 2', 3]);
  });

  it('reads the snapshot again if it is older than the position at which the join began', async () => {
    const { feed, createSubscriber, join } = setUp();
    const one = createSubscriber();
    const snapshots = [snapshotAt(1), snapshotAt(3)];
    await join(createSubscriber(other), snapshotAt(2));
    await feed.join(
      one,
      async () => ({ snapshot: snapshots.shift()! }),
      ({ snapshot: { head } }) => void one.received.push(`joined at ${head.rev}`),
    );
    feed.receive(message(3));
    feed.receive(message(4));
    expect(one.received).to.deep.equal(['joined at 3', 4]);
  });

  it('skips no entry of a message for a subscriber that goes live in the middle of a repair', async () => {
    const { feed, createSubscriber, join } = setUp(editedTwice);
    const early = createSubscriber(other);
    await join(early, snapshotAt(0));
    const one = createSubscriber();
    await join(one, snapshotAt(2));
    feed.reconcile(3);
    await until(() => early.received.length === 4);
    expect(early.received).to.deep.equal(['joined at 0', 1, 2, 3]);
    expect(one.received).to.deep.equal(['joined at 2', 3]);
  });

  it('reads the snapshot again if a repair skips an entry behind it', async () => {
    const { feed, createSubscriber } = setUp(editedTwice);
    const early = createSubscriber(other);
    await feed.join(
      early,
      async () => ({ snapshot: snapshotAt(0) }),
      () => {},
    );
    const one = createSubscriber();
    const snapshots = [snapshotAt(2), snapshotAt(3)];
    let release = () => {};
    const repaired = new Promise<void>((resolve) => (release = resolve));
    const joined = feed.join(
      one,
      async () => {
        await repaired;
        return { snapshot: snapshots.shift()! };
      },
      ({ snapshot: { head } }) => void one.received.push(`joined at ${head.rev}`),
    );
    feed.reconcile(3);
    await until(() => early.received.length === 3);
    release();
    await joined;
    expect(early.received).to.deep.equal([1, 2, '3 skipped']);
    expect(one.received).to.deep.equal(['joined at 3']);
  });

  it('delivers nothing that follows a ban to the banned subscriber, even if all of it arrives at once', async () => {
    const { feed, createSubscriber, join } = setUp();
    const [banned, remaining] = [createSubscriber(), createSubscriber(other)];
    await join(banned, snapshotAt(0));
    await join(remaining, snapshotAt(0));
    for (const change of [message(3), rule(2, reader, 'b'), message(1)]) feed.receive(change);
    expect(banned.received).to.deep.equal(['joined at 0', 1, 'BANNED']);
    expect(remaining.received).to.deep.equal(['joined at 0', 1, 2, 3]);
  });

  it('delivers nothing that follows a ban during a join, even if the ban is lifted during the same join', async () => {
    const { feed, createSubscriber, join } = setUp();
    await join(createSubscriber(other), snapshotAt(0));
    const one = createSubscriber();
    let read = (_snapshot: RoomSnapshot) => {};
    const pending = join(one, new Promise((resolve) => (read = resolve)));
    for (const change of [message(1), rule(2, reader, 'b'), message(3), rule(4, reader, 'rw')]) feed.receive(change);
    read(snapshotAt(0));
    await pending;
    feed.receive(message(5));
    expect(one.received).to.deep.equal(['joined at 0', 1, 'BANNED']);
  });

  it('keeps a subscriber that joins again live, and answers with the position of the feed', async () => {
    const { feed, createSubscriber, join, rejoin } = setUp();
    const one = createSubscriber();
    await join(one, snapshotAt(0));
    let read = (_snapshot: RoomSnapshot) => {};
    const again = rejoin(one, new Promise((resolve) => (read = resolve)));
    for (const rev of [1, 2, 3]) feed.receive(message(rev));
    read(snapshotAt(2));
    await again;
    feed.receive(message(4));
    expect(one.received).to.deep.equal(['joined at 0', 1, 2, 3, 'rejoined at 2, later 3', 4]);
  });

  it('answers a subscriber that joins again when the feed has reached the snapshot, not before', async () => {
    const { feed, createSubscriber, join, rejoin } = setUp();
    const one = createSubscriber();
    await join(one, snapshotAt(0));
    const again = rejoin(one, Promise.resolve(snapshotAt(2)));
    await new Promise((resolve) => setImmediate(resolve));
    for (const rev of [1, 2, 3]) feed.receive(message(rev));
    await again;
    expect(one.received).to.deep.equal(['joined at 0', 1, 2, 'rejoined at 2, later ', 3]);
  });

  it('rejects the second join of a subscriber that is removed meanwhile', async () => {
    const { feed, createSubscriber, join, rejoin } = setUp();
    const one = createSubscriber();
    await join(one, snapshotAt(0));
    const again = rejoin(one, Promise.resolve(snapshotAt(2))).catch((error) => error.code);
    await new Promise((resolve) => setImmediate(resolve));
    feed.receive(rule(1, reader, 'b'));
    expect(await again).to.equal('NOT_FOUND');
    expect(one.received).to.deep.equal(['joined at 0', 'BANNED']);
  });

  it('rejects a subscriber who may not read, and keeps no reference to it', async () => {
    const { feed, createSubscriber, join } = setUp();
    const one = createSubscriber();
    const refused = await join(one, snapshotAt(0, [])).catch((error) => error.code);
    expect(refused).to.equal('NOT_FOUND');
    expect(feed.isEmpty).to.equal(true);
  });

  it('does not let a subscriber go live that left during its join', async () => {
    const { feed, createSubscriber, join } = setUp();
    const one = createSubscriber();
    let read = (_snapshot: RoomSnapshot) => {};
    const pending = join(one, new Promise((resolve) => (read = resolve))).catch(() => {});
    feed.leave(one);
    read(snapshotAt(0));
    await pending;
    feed.receive(message(1));
    expect(one.received).to.deep.equal([]);
  });

  it('makes all subscribers reconnect if the bus brings a change of an unknown kind, and delivers nothing after it', async () => {
    const { feed, createSubscriber, join, unknown } = setUp();
    const [one, another] = [createSubscriber(), createSubscriber(other)];
    await join(one, snapshotAt(1));
    await join(another, snapshotAt(1));
    feed.receive({ kind: 'unknown', room_id });
    feed.receive(message(3));
    expect([one.received, another.received]).to.deep.equal([
      ['joined at 1', 'reconnect'],
      ['joined at 1', 'reconnect'],
    ]);
    expect(feed.hasEnded).to.equal(true);
    expect(unknown).to.deep.equal(['7 undefined undefined']);
  });

  it('makes all subscribers reconnect if the log contains a change of an unknown kind', async () => {
    const log: Change[] = [];
    const { feed, createSubscriber, join, unknown } = setUp(log);
    const one = createSubscriber();
    await join(one, snapshotAt(1));
    // The log throws this error instead of returning a page that contains such a change.
    log.filter = () => {
      throw new UnknownChangeKindError({ room_id, rev: 2, kind: 'edit' });
    };
    feed.reconcile(2);
    await new Promise((resolve) => setImmediate(resolve));
    expect(one.received).to.deep.equal(['joined at 1', 'reconnect']);
    expect(unknown).to.deep.equal(['7 edit 2']);
  });
});
