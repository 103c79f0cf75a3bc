import { mock } from 'node:test';
import { expect } from 'chai';
import type { Actor } from '../../../../src/core/authorization.ts';
import { createLocalRoomBus } from '../../../../src/core/bus.ts';
import { createFeedRegistry } from '../../../../src/core/feed/feed-registry.ts';
import type { Subscriber } from '../../../../src/core/feed/subscriber.ts';
import { createRightsCache } from '../../../../src/core/log/rights-cache.ts';
import type { RoomLog } from '../../../../src/core/log/room-log.ts';
import type { RoomSnapshot } from '../../../../src/core/log/room-snapshot.ts';
import { useFakeClock } from '../../../helpers/fake-clock.ts';

const user = '00000000-0000-0000-0000-00000000000a';
const date = '2026-01-01T00:00:00.000Z';

function createSnapshot(id: number, rev: number): RoomSnapshot {
  const room = { id, uuid: user, name: 'feeds', type: 'group' as const, level_admin: 100, user_owner: user };
  const rule = { entity_UUID: user, kind: 'user' as const, permissions: 'rwa', level: 0, accepted: true };
  return {
    room: { ...room, entity_owner: null, max_entity_rules: 10, last_seq: rev, createdAt: date, updatedAt: date },
    rules: [{ ...rule, createdAt: date, updatedAt: date }],
    head: { room_id: id, rev, at: rev },
    start: { room_id: id, rev: 0, at: 0 },
    rightsRev: 0,
  };
}

/** A registry over a log whose heads the test sets, with a subscriber in each of the rooms 1, 2 and 3, all at rev 5. */
async function setUp() {
  const heads = new Map<number, number>();
  const failures: string[] = [];
  const log = { heads: async () => heads, changes: async () => [] } as unknown as RoomLog;
  const bus = createLocalRoomBus((error) => {
    throw error;
  });
  const feeds = createFeedRegistry({
    log,
    bus,
    rights: createRightsCache(log),
    broadcasters: [],
    reconcileIntervalMs: 3_600_000,
    events: {
      repaired: () => {},
      reordered: () => {},
      reconciled: () => {},
      delivered: () => {},
      unknownKind: () => {},
      failed: (error) => void failures.push(String(error)),
      recovered: () => {},
    },
  });
  const received = new Map<number, string[]>();
  for (const id of [1, 2, 3]) {
    const entries: string[] = [];
    received.set(id, entries);
    heads.set(id, 5);
    const actor: Actor = { user, entity: null, level: 0, mayCreateRooms: false };
    const subscriber: Subscriber = {
      actor,
      deliver: () => {},
      deliverEvent: () => {},
      goLive: () => void entries.push('live'),
      remove: (code) => void entries.push(code),
      reconnect: () => void entries.push('reconnect'),
    };
    await feeds.open(id).join(
      subscriber,
      async () => ({ snapshot: createSnapshot(id, 5) }),
      () => {},
    );
  }
  return { feeds, bus, heads, received, failures };
}

describe('FeedRegistry, if a feed ends during a join', () => {
  /** Returns the error code of a join if `interrupt` is called while the join reads its snapshot. */
  async function joinDuring(interrupt: (staged: Awaited<ReturnType<typeof setUp>>) => void): Promise<string> {
    const staged = await setUp();
    const actor: Actor = { user, entity: null, level: 0, mayCreateRooms: false };
    const subscriber: Subscriber = {
      actor,
      deliver: () => {},
      deliverEvent: () => {},
      goLive: () => {},
      remove: () => {},
      reconnect: () => {},
    };
    let read = (_snapshot: { snapshot: RoomSnapshot }) => {};
    const snapshot = new Promise<{ snapshot: RoomSnapshot }>((resolve) => {
      read = resolve;
    });
    const join = staged.feeds.open(1).join(
      subscriber,
      () => snapshot,
      () => {},
    );
    interrupt(staged);
    read({ snapshot: createSnapshot(1, 5) });
    const code = await join.then(
      () => 'joined',
      (error) => error.code,
    );
    staged.feeds.close();
    return code;
  }

  it('rejects the join with NOT_FOUND if the room was deleted, and with UNAVAILABLE if the node closes', async () => {
    expect(await joinDuring(({ bus }) => bus.publish({ kind: 'deleted', room_id: 1 }))).to.equal('NOT_FOUND');
    expect(await joinDuring(({ feeds }) => feeds.close())).to.equal('UNAVAILABLE');
  });

  it('rejects the join with UNAVAILABLE if the room has to resync', async () => {
    expect(await joinDuring(({ bus }) => bus.publish({ kind: 'unknown', room_id: 1 }))).to.equal('UNAVAILABLE');
  });
});

describe('FeedRegistry.reconcile', () => {
  it('changes nothing if all feeds are at the heads of their logs', async () => {
    const { feeds, received } = await setUp();
    await feeds.reconcile();
    expect([...received.values()]).to.deep.equal([['live'], ['live'], ['live']]);
    feeds.close();
  });

  it('removes the subscribers of a deleted room, and makes those of a room whose log went back reconnect', async () => {
    const { feeds, heads, received, failures } = await setUp();
    heads.delete(1);
    heads.set(2, 3);
    await feeds.reconcile();
    expect([...received.values()]).to.deep.equal([['live', 'ROOM_DELETED'], ['live', 'reconnect'], ['live']]);
    expect(failures).to.have.lengthOf(1);
    expect(feeds.size).to.equal(1);
    feeds.close();
  });
});

describe('FeedRegistry.release', () => {
  it('forgets a room that a join has found not to exist', async () => {
    const { feeds } = await setUp();
    const size = feeds.size;
    feeds.open(99);
    feeds.release(99);
    expect(feeds.size).to.equal(size);
    feeds.close();
  });

  it('closes the rooms of hundreds of lost connections over several ticks, except those that were joined again', async () => {
    const advance = useFakeClock();
    try {
      const { feeds } = await setUp();
      const size = feeds.size;
      const rooms = Array.from({ length: 250 }, (_, n) => 100 + n);
      const subscriber = createSubscriber();
      const join = (id: number) =>
        feeds.open(id).join(
          subscriber,
          async () => ({ snapshot: createSnapshot(id, 5) }),
          () => {},
        );
      for (const room of rooms) await join(room);
      for (const room of rooms) feeds.leave(room, subscriber);
      await join(rooms[0]!);
      advance(4_999);
      expect(feeds.size).to.equal(size + 250);
      const sizes: number[] = [];
      for (let ticks = 0; ticks < 4; ticks++) {
        advance(1);
        sizes.push(feeds.size - size);
      }
      expect(sizes).to.deep.equal([150, 50, 1, 1]);
      expect(feeds.find(rooms[0]!)?.subscribers.has(subscriber)).to.equal(true);
      feeds.close();
    } finally {
      mock.reset();
    }
  });
});

function createSubscriber(): Subscriber {
  const actor: Actor = { user, entity: null, level: 0, mayCreateRooms: false };
  return { actor, deliver() {}, deliverEvent() {}, goLive() {}, remove() {}, reconnect() {} };
}
