import { expect } from 'chai';
import type { Actor } from '../../../../src/core/authorization.ts';
import { createLocalRoomBus } from '../../../../src/core/bus.ts';
import { createFeedRegistry } from '../../../../src/core/feed/feed-registry.ts';
import type { Subscriber } from '../../../../src/core/feed/room-feed.ts';
import { createRightsCache } from '../../../../src/core/log/rights-cache.ts';
import type { RoomLog } from '../../../../src/core/log/room-log.ts';
import type { RoomSnapshot } from '../../../../src/core/log/room-snapshot.ts';

const user = '00000000-0000-0000-0000-00000000000a';
const date = '2026-01-01T00:00:00.000Z';

function state(id: number, rev: number): RoomSnapshot {
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

/** Feeds over a log whose heads the test says, with one member in each of the rooms 1, 2 and 3, all at rev 5. */
async function stage() {
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
  const heard = new Map<number, string[]>();
  for (const id of [1, 2, 3]) {
    const words: string[] = [];
    heard.set(id, words);
    heads.set(id, 5);
    const actor: Actor = { user, entity: null, level: 0, mayCreateRooms: false };
    const member: Subscriber = {
      actor,
      deliver: () => {},
      goLive: () => void words.push('entered'),
      remove: (code) => void words.push(code),
      reconnect: () => void words.push('reconnect'),
    };
    await feeds.open(id).join(
      member,
      async () => ({ snapshot: state(id, 5) }),
      () => {},
    );
  }
  return { feeds, bus, heads, heard, failures };
}

describe('a join whose feed ends meanwhile', () => {
  /** How a join is refused when this happens while it reads. */
  async function refusal(happens: (staged: Awaited<ReturnType<typeof stage>>) => void): Promise<string> {
    const staged = await stage();
    const actor: Actor = { user, entity: null, level: 0, mayCreateRooms: false };
    const member: Subscriber = { actor, deliver: () => {}, goLive: () => {}, remove: () => {}, reconnect: () => {} };
    let read = (_snapshot: { snapshot: RoomSnapshot }) => {};
    const snapshot = new Promise<{ snapshot: RoomSnapshot }>((resolve) => {
      read = resolve;
    });
    const joining = staged.feeds.open(1).join(
      member,
      () => snapshot,
      () => {},
    );
    happens(staged);
    read({ snapshot: state(1, 5) });
    const code = await joining.then(
      () => 'joined',
      (error) => error.code,
    );
    staged.feeds.close();
    return code;
  }

  it('is refused NOT_FOUND where the room was deleted, UNAVAILABLE where the node ends', async () => {
    expect(await refusal(({ bus }) => bus.publish({ kind: 'deleted', room_id: 1 }))).to.equal('NOT_FOUND');
    expect(await refusal(({ feeds }) => feeds.close())).to.equal('UNAVAILABLE');
  });
});

describe('a sweep', () => {
  it('leaves alone what is as it was', async () => {
    const { feeds, heard } = await stage();
    await feeds.reconcile();
    expect([...heard.values()]).to.deep.equal([['entered'], ['entered'], ['entered']]);
    feeds.close();
  });

  it('takes the members out of a room that is gone, and lets those of one whose log went back begin anew', async () => {
    const { feeds, heads, heard, failures } = await stage();
    heads.delete(1);
    heads.set(2, 3);
    await feeds.reconcile();
    expect([...heard.values()]).to.deep.equal([['entered', 'ROOM_DELETED'], ['entered', 'reconnect'], ['entered']]);
    expect(failures).to.have.lengthOf(1);
    expect(feeds.size).to.equal(1);
    feeds.close();
  });

  it('forgets a room that a join has found to be none', async () => {
    const { feeds } = await stage();
    const size = feeds.size;
    feeds.open(99);
    feeds.release(99);
    expect(feeds.size).to.equal(size);
    feeds.close();
  });
});
