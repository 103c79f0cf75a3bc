import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { type AcceptResult, acceptInvitations, type Invitation } from '../../src/core/log/accept-invitations.ts';
import { createRoomLog } from '../../src/core/log/room-log.ts';
import type { Store } from '../../src/database/store.ts';
import { databaseSession, lockRoom } from '../helpers/database-session.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { describeEveryStore, insertRoom, openPostgresStore, toQuery } from '../helpers/stores.ts';

const upTo = (last: number) => Array.from({ length: last }, (_, n) => n + 1);
/** Creates a room with unanswered invitations. Its last change was `ago` seconds ago. */
async function newRoom(store: Store, { guests = 1, ago = 60 } = {}) {
  const id = await insertRoom(store, ago);
  const grantees = Array.from({ length: guests }, () => randomUUID());
  for (const grantee of grantees) await addRule(store, id, grantee);
  return { id, invitations: grantees.map((grantee) => invitationTo(id, grantee)) };
}

function addRule(store: Store, room: number, grantee: string, accepted: boolean | null = null) {
  return store.query(
    toQuery(`insert into permission_rules (room_id, grantee, kind, permissions, level, accepted, created_at, updated_at)
      select $1::bigint, $2::uuid, 'any', 'rw', 3, $3::boolean, created_at, created_at from rooms where id = $1::bigint`),
    [room, grantee, accepted],
  );
}

const invitationTo = (room_id: number, grantee: string, more: Partial<Invitation> = {}): Invitation => ({
  ...{ room_id, grantee, entity: null, rightsRev: 0, ...more },
});

const outcomesOf = (answers: readonly AcceptResult[]) =>
  answers.map((answer) => (answer.outcome === 'accepted' ? `accepted ${answer.rev}` : answer.outcome));

/** Changes a rule as another node would. */
async function changeRule(store: Store, room: number, grantee: string): Promise<void> {
  await store.query(
    toQuery(`with moved as (
        update rooms set last_rev = last_rev + 1, rights_rev = last_rev + 1 where id = $1::bigint returning last_rev
      )
      insert into room_changes (room_id, rev, kind, body, at)
      select $1::bigint, last_rev, 'member', jsonb_build_object('entity_UUID', $2::uuid), now() from moved`),
    [room, grantee],
  );
}

describeEveryStore('a batch of acceptances', (openedStore) => {
  let store: Store;
  before(() => {
    store = openedStore();
  });

  it('stores accepted invitations as changes of the log, with timestamps that never decrease', async () => {
    // The last change of the second room is in the future, so its next change must not be earlier than that.
    const [one, two] = [await newRoom(store, { guests: 2 }), await newRoom(store, { guests: 1, ago: -600 })];
    const [a, b, c] = [one.invitations[1]!, two.invitations[0]!, one.invitations[0]!];
    const answers = await acceptInvitations(store, [a, b, c]);
    expect(outcomesOf(answers)).to.deep.equal(['accepted 1', 'accepted 1', 'accepted 2']);
    const log = createRoomLog(store);
    for (const { id } of [one, two]) {
      const { rules, head, rightsRev, start } = (await log.snapshot(id))!;
      expect({ rev: head.rev, rightsRev }).to.deep.equal({ rev: rules.length, rightsRev: rules.length });
      expect(head.at).to.be.at.least(start.at);
      const changes = await log.changes(id, 1, 9, 9);
      expect(changes.map(({ rev }) => rev)).to.deep.equal(upTo(rules.length));
      for (const change of changes) {
        const rule = change.kind === 'member' ? change.rule : expect.fail('a change of another kind');
        const { createdAt, updatedAt, ...kept } = rules.find((one) => one.entity_UUID === rule.entity_UUID)!;
        expect(rule).to.deep.equal({ ...kept, accepted: true });
        expect(Date.parse(updatedAt)).to.equal(change.at);
        expect(change.at).to.be.at.least(Date.parse(createdAt));
      }
    }
    expect(answers.map((answer) => answer.outcome === 'accepted' && answer.at)).to.deep.equal([
      (await log.changes(one.id, 1, 1, 1))[0]!.at,
      (await log.changes(two.id, 1, 1, 1))[0]!.at,
      (await log.changes(one.id, 2, 2, 1))[0]!.at,
    ]);
  });

  it('stores many acceptances at once without gaps in rev, even if batches name the same rooms in another order', async () => {
    const rooms = [await newRoom(store, { guests: 40 }), await newRoom(store, { guests: 40 })];
    const batches = upTo(10).map((n) => {
      const some = rooms.flatMap(({ invitations }) => invitations.slice(4 * (n - 1), 4 * n));
      return n % 2 === 0 ? some : some.reverse();
    });
    const log = createRoomLog(store);
    const acceptEach = async (batch: Invitation[]): Promise<void> => {
      const answers = await log.accept(batch);
      const again = batch.filter((_, n) => answers[n]!.outcome === 'busy');
      expect(answers.filter(({ outcome }) => outcome === 'changed')).to.deep.equal([]);
      if (again.length > 0) await acceptEach(again);
    };
    await Promise.all(batches.map(acceptEach));
    for (const { id } of rooms) {
      const changes = await log.changes(id, 1, 99, 99);
      expect(changes.map(({ rev }) => rev)).to.deep.equal(upTo(40));
      expect((await log.snapshot(id))!.rules.every(({ accepted }) => accepted)).to.equal(true);
    }
  });

  const changed: [string, (room: number, grantee: string, entity: string) => Promise<unknown>][] = [
    [
      'that no longer exists',
      (room) => store.query(toQuery('delete from permission_rules where room_id = $1'), [room]),
    ],
    ['to a room that no longer exists', (room) => store.query(toQuery('delete from rooms where id = $1'), [room])],
    [
      'that is already answered',
      (room) => store.query(toQuery('update permission_rules set accepted = false where room_id = $1'), [room]),
    ],
    ['whose rule has changed', (room, grantee) => changeRule(store, room, grantee)],
    ['to a user whose organisation’s rule has changed', (room, _, entity) => changeRule(store, room, entity)],
    [
      'to a room that has changed',
      async (room) => {
        await changeRule(store, room, randomUUID());
        await store.query(toQuery(`update room_changes set kind = 'room', body = '{}' where room_id = $1`), [room]);
      },
    ],
  ];
  for (const [title, change] of changed) {
    it(`answers "changed" for an invitation ${title}, and accepts the others`, async () => {
      const [room, other] = [await newRoom(store), await newRoom(store)];
      const entity = randomUUID();
      const [invitation] = room.invitations;
      await change(room.id, invitation!.grantee, entity);
      const answers = await acceptInvitations(store, [{ ...invitation!, entity }, ...other.invitations]);
      expect(outcomesOf(answers)).to.deep.equal(['changed', 'accepted 1']);
    });
  }

  it('accepts an invitation even if other rules changed after it was authorized', async () => {
    const room = await newRoom(store, { guests: 2 });
    await changeRule(store, room.id, randomUUID());
    const answers = await acceptInvitations(store, room.invitations);
    expect(outcomesOf(answers)).to.deep.equal(['accepted 2', 'accepted 3']);
  });
});

it('answers "busy" for a room that another transaction keeps locked, and does not delay other rooms', async () => {
  const url = await freshDatabase();
  const store = await openPostgresStore(url);
  const [locked, other] = [await newRoom(store), await newRoom(store)];
  const session = await databaseSession(url);
  await lockRoom(session, locked);
  const both = [...locked.invitations, ...other.invitations];
  expect(outcomesOf(await acceptInvitations(store, both))).to.deep.equal(['busy', 'accepted 1']);
  await session.query('rollback');
  expect(outcomesOf(await acceptInvitations(store, both))).to.deep.equal(['accepted 1', 'changed']);
});
