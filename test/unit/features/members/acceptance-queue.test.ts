import { expect } from 'chai';
import type { Actor } from '../../../../src/core/authorization.ts';
import { createLocalRoomBus } from '../../../../src/core/bus.ts';
import { ChatError } from '../../../../src/core/errors.ts';
import type { AcceptResult, Invitation } from '../../../../src/core/log/accept-invitations.ts';
import type { BusMessage } from '../../../../src/core/log/change.ts';
import type { RoomSnapshot } from '../../../../src/core/log/room-snapshot.ts';
import { createAcceptanceQueue } from '../../../../src/features/members/acceptance-queue.ts';

const uuidOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const guest = (n: number, entity: number | null = null): Actor => ({
  ...{ user: uuidOf(n), entity: entity === null ? null : uuidOf(entity), level: 0, mayCreateRooms: false },
});
const date = '2026-01-01T00:00:00.000Z';
const time = Date.parse(date);

interface Stage {
  /** Throws for a batch, or replaces the answers of the log. */
  intervene?: (batch: readonly Invitation[]) => AcceptResult[] | undefined;
}

/** Creates room 1 with invitations for the users 1 to 9. Its log records the batches. */
function stage({ intervene }: Stage = {}) {
  const room = {
    id: 1,
    uuid: uuidOf(0),
    name: 'room',
    type: 'group' as const,
    level_admin: 100,
    user_owner: uuidOf(0),
  };
  let state: RoomSnapshot = {
    room: { ...room, entity_owner: null, max_entity_rules: 10, last_seq: 0, createdAt: date, updatedAt: date },
    rules: Array.from({ length: 9 }, (_, n) => ({
      ...{ entity_UUID: uuidOf(n + 1), kind: 'user', permissions: 'rw', level: 0, accepted: null },
      ...{ createdAt: date, updatedAt: date },
    })),
    ...{ head: { room_id: 1, rev: 0, at: time }, start: { room_id: 1, rev: 0, at: time }, rightsRev: 0 },
  };
  let reads = 0;
  const batches: string[][] = [];
  const published: BusMessage[] = [];

  function change(grantee: string, next: Partial<RoomSnapshot['rules'][number]>): AcceptResult {
    const rev = state.head.rev + 1;
    const at = time + rev;
    const rules = state.rules.map((rule) =>
      rule.entity_UUID === grantee ? { ...rule, ...next, updatedAt: new Date(at).toISOString() } : rule,
    );
    state = { ...state, rules, head: { room_id: 1, rev, at }, rightsRev: rev };
    return { outcome: 'accepted', rev, at };
  }

  const log = {
    async snapshot(id: unknown) {
      reads += 1;
      return id === 1 ? state : undefined;
    },
    async accept(batch: readonly Invitation[]) {
      batches.push(batch.map(({ grantee }) => grantee.slice(-1)));
      return intervene?.(batch) ?? batch.map(({ grantee }) => change(grantee, { accepted: true }));
    },
  };
  const bus = createLocalRoomBus((error) => {
    throw error;
  });
  bus.subscribe(1, (envelope) => void published.push(envelope));
  const forgotten: number[] = [];
  const rights = { invalidate: (id: number) => void forgotten.push(id), load: async () => new Map() };
  const queue = createAcceptanceQueue({ log, rights, bus });
  const enter = (actor: Actor, id = 1) => queue.accept(actor, id).catch((error) => ChatError.from(error).code);
  return {
    ...{ enter, batches, published, forgotten, change },
    state: () => state,
    reads: () => reads,
  };
}

describe('AcceptanceQueue', () => {
  it('commits the first joins of one tick together, and answers each with the room as of the commit', async () => {
    const { enter, batches, published, forgotten, state, reads } = stage();
    const snapshots = await Promise.all([1, 2, 3].map((n) => enter(guest(n))));
    expect(batches).to.deep.equal([['1', '2', '3']]);
    for (const snapshot of snapshots) expect(snapshot).to.deep.equal(state());
    expect(published.map((change) => change.kind === 'member' && change.rule)).to.deep.equal(
      [1, 2, 3].map((n) => ({
        ...{ entity_UUID: uuidOf(n), kind: 'user', permissions: 'rw', level: 0, accepted: true },
      })),
    );
    expect(forgotten).to.include(1);
    expect(reads()).to.equal(3);
  });

  it('writes no acceptance for a user who has accepted already, or who has no access', async () => {
    const { enter, batches, change, state } = stage();
    change(uuidOf(1), { accepted: true });
    change(uuidOf(2), { permissions: 'w' });
    expect(await Promise.all([1, 2, 77].map((n) => enter(guest(n))))).to.deep.equal([state(), state(), state()]);
    expect(await enter(guest(1), 2)).to.equal('NOT_FOUND');
    expect(batches).to.deep.equal([]);
  });

  it('accepts an invitation once if several connections of a user join at the same time', async () => {
    const { enter, batches, published } = stage();
    const snapshots = await Promise.all([enter(guest(1)), enter(guest(1, 50)), enter(guest(1))]);
    expect(batches).to.deep.equal([['1']]);
    expect(published).to.have.length(1);
    for (const snapshot of snapshots) expect(snapshot).to.deep.include({ rightsRev: 1 });
  });

  it('authorizes an acceptance again if the rules have changed, and answers a banned user with the current room', async () => {
    const { enter, batches, change, state, published } = stage({
      intervene() {
        change(uuidOf(1), { permissions: 'b' });
        return [{ outcome: 'changed' }];
      },
    });
    expect(await enter(guest(1))).to.deep.equal(state());
    expect(batches).to.have.length(1);
    expect(published).to.deep.equal([]);
  });

  it('fails an acceptance with UNAVAILABLE if the rules keep changing', async () => {
    const { enter, batches } = stage({ intervene: (batch) => batch.map(() => ({ outcome: 'changed' })) });
    expect(await enter(guest(1))).to.equal('UNAVAILABLE');
    expect(batches.length).to.be.within(2, 50);
  });

  it('reads the room again if a change was committed between the read and the acceptance', async () => {
    const { enter, state, change } = stage({
      intervene() {
        if (state().head.rev === 0) change(uuidOf(9), { level: 7 });
        return undefined;
      },
    });
    expect(await enter(guest(1))).to.deep.equal(state());
  });

  it('retries an acceptance while another transaction keeps the room locked', async () => {
    let left = 3;
    const { enter, batches, state } = stage({
      intervene: (batch) => (left-- > 0 ? batch.map(() => ({ outcome: 'busy' })) : undefined),
    });
    expect(await enter(guest(1))).to.deep.equal(state());
    expect(batches).to.have.length(4);
  });

  it('fails acceptances while the database is down, and accepts later ones', async () => {
    let isDown = true;
    const { enter, state } = stage({
      intervene() {
        if (isDown) throw new ChatError('UNAVAILABLE');
        return undefined;
      },
    });
    expect(await Promise.all([enter(guest(1)), enter(guest(2))])).to.deep.equal(['UNAVAILABLE', 'UNAVAILABLE']);
    isDown = false;
    expect(await enter(guest(1))).to.deep.equal(state());
  });
});
