import { createHash, randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { service } from '../../src/core/authorization.ts';
import { acceptInvitations } from '../../src/core/log/accept-invitations.ts';
import { createRoomLog } from '../../src/core/log/room-log.ts';
import { lockRoom } from '../../src/core/log/room-transaction.ts';
import type { Statement, Store } from '../../src/database/store.ts';
import { describeEveryStore, insertRoom } from '../helpers/stores.ts';

const size = 150;

const toQuery = (text: string): Statement => ({ name: createHash('md5').update(text).digest('hex'), text });

/** Counts the rules that the statements of the store return. */
function countRules(store: Store) {
  const counted = { rules: 0 };
  const query = async <Row>(statement: Statement, values: unknown[]): Promise<Row[]> => {
    const rows = await store.query<Row>(statement, values);
    for (const { rules } of rows as { rules?: unknown[] }[]) counted.rules += rules?.length ?? 0;
    return rows;
  };
  return { counted, store: { ...store, query } as Store };
}

async function newRoom(store: Store): Promise<number> {
  const id = await insertRoom(store, 60);
  await store.query(
    toQuery(`insert into permission_rules (room_id, grantee, kind, permissions, level, created_at, updated_at)
      select $1::bigint, gen_random_uuid(), 'user', 'rw', 0, created_at, created_at from rooms, generate_series(1, ${size}) n
      where id = $1::bigint`),
    [id],
  );
  return id;
}

/** Writes an entry that affects rights, as another node would, after `write` has changed the rules. */
async function record(store: Store, room: number, grantee: string, at = 'clock_timestamp()', kind = 'member') {
  await store.query(
    toQuery(`with moved as (
        update rooms set last_rev = last_rev + 1, rights_rev = last_rev + 1 where id = $1::bigint returning last_rev
      )
      insert into room_changes (room_id, rev, kind, body, at)
      select $1::bigint, last_rev, $3, jsonb_build_object('entity_UUID', $2::uuid), ${at} from moved`),
    [room, grantee, kind],
  );
}

describeEveryStore('the rules of a large room', (openedStore) => {
  let store: Store;
  before(() => {
    store = openedStore();
  });

  const write = (sql: string, ...values: unknown[]) => store.query(toQuery(sql), values);

  it('are read once, and afterwards only those that have changed', async () => {
    const { counted, store: watched } = countRules(store);
    const log = createRoomLog(watched);
    const id = await newRoom(store);
    const [first] = (await log.snapshot(id))!.rules;
    expect(counted.rules).to.equal(size);
    const again = await log.snapshot(id);
    expect(again!.rules).to.have.length(size);
    expect(counted.rules).to.equal(size);

    const newcomer = randomUUID();
    await write(
      `insert into permission_rules (room_id, grantee, kind, permissions, level, created_at, updated_at)
        values ($1::bigint, $2::uuid, 'user', 'r', 7, now(), now())`,
      id,
      newcomer,
    );
    await record(store, id, newcomer);
    await write(
      `delete from permission_rules where room_id = $1::bigint and grantee = $2::uuid`,
      id,
      first!.entity_UUID,
    );
    await record(store, id, first!.entity_UUID);
    const [banned, invited] = (await log.snapshot(id))!.rules;
    await write(
      `update permission_rules set permissions = 'b', updated_at = now() where room_id = $1::bigint and grantee = $2::uuid`,
      id,
      banned!.entity_UUID,
    );
    await record(store, id, banned!.entity_UUID);
    const { rightsRev } = (await createRoomLog(store).snapshot(id))!;
    await acceptInvitations(store, [{ room_id: id, grantee: invited!.entity_UUID, entity: null, rightsRev }]);
    const [snapshot] = await log.snapshots([id]);
    expect(snapshot).to.deep.equal(await createRoomLog(store).snapshot(id));
    expect(snapshot!.rules.find(({ entity_UUID }) => entity_UUID === banned!.entity_UUID)?.permissions).to.equal('b');
    expect(counted.rules).to.be.below(size + 10);
  });

  for (const [change, at, kind] of [
    ['a change that a restored database has at the same rev', `'2020-01-01'`, 'member'],
    ['a change of a kind that this version does not know', 'clock_timestamp()', 'merge'],
  ] as const) {
    it(`are all read again after ${change}`, async () => {
      const log = createRoomLog(store);
      const id = await newRoom(store);
      await record(store, id, randomUUID());
      const [first] = (await log.snapshot(id))!.rules;
      if (kind === 'member') {
        await write('delete from room_changes where room_id = $1::bigint', id);
        await write('update rooms set last_rev = 0, rights_rev = 0 where id = $1::bigint', id);
      }
      await write(
        `update permission_rules set permissions = 'b' where room_id = $1::bigint and grantee = $2::uuid`,
        id,
        first!.entity_UUID,
      );
      await record(store, id, randomUUID(), at, kind);
      expect((await log.snapshot(id))!.rules[0]).to.deep.include({ ...first, permissions: 'b' });
    });
  }

  it('are not all read under the lock of the room: only those that decide what the author may do', async () => {
    const id = await newRoom(store);
    const [admin, author, entity, named, ...others] = (await createRoomLog(store).snapshot(id))!.rules.map(
      ({ entity_UUID }) => entity_UUID,
    );
    await write(
      `update permission_rules set permissions = 'rwa' where room_id = $1::bigint and grantee = $2::uuid`,
      id,
      admin,
    );
    await write('update rooms set user_owner = $2::uuid where id = $1::bigint', id, others[7]);
    await store.transaction(async (em) => {
      const room = (await lockRoom(em, { id }, { user: author!, entity: entity! }, [named!]))!;
      expect(room.rules.map(({ grantee }) => grantee)).to.have.members([admin, author, entity, named, others[7]]);
      expect(await room.countRules()).to.equal(size);
      expect(() => room.findRule(others[0]!)).to.throw('was not read');
    });
    await store.transaction(async (em) => {
      expect((await lockRoom(em, { id }, service, 'all'))!.rules).to.have.length(size);
    });
  });
});
