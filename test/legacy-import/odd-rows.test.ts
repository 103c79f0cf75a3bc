import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { Finding } from '../../src/legacy-import/report.ts';
import type { RunningServer } from '../../src/server.ts';
import { brokenLogs } from '../../tools/import-benchmark/verify.ts';
import type { Json } from '../helpers/json.ts';
import { createLegacyDatabase, type LegacyFixture } from '../helpers/legacy-fixture.ts';
import { openQuery, runImport } from '../helpers/legacy-import.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { putRule, sendMessages } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';

const nobody = '00000000-0000-0000-0000-000000000000';

/** As in forks that were less strict: no keys, texts for UUIDs, nothing that must be there. */
const loosened = `
alter table "Rooms" add column user_owner text, alter column uuid drop not null, alter column uuid type text,
  alter column name drop not null, alter column name type text, alter column level_admin drop not null;
alter table "Rooms" alter column uuid drop default;
alter table "Messages" drop constraint "Messages_room_id_fkey", alter column emitter type text, alter column content type text,
  alter column room_id drop not null, alter column "createdAt" drop not null;
alter table "Room_permissions" drop constraint "Room_permissions_room_id_fkey", drop constraint "Room_permissions_pkey";
alter table "Room_permissions" alter column "entity_UUID" type text, alter column level type numeric;`;

describe('An import of odd legacy rows', function () {
  this.timeout(300_000);
  const ana = createUser({ level: 100 });
  const ben = createUser({ entity: ana.entity });
  const cleo = createUser({ entity: ana.entity });
  const solo = createUser({ entity: ana.entity, user: ana.entity });
  let legacy: LegacyFixture;
  let target: string;
  let found: Awaited<ReturnType<typeof runImport>>;
  let ask: (text: string, values?: unknown[]) => Promise<Json[]>;
  let node: RunningServer;
  const rooms: Record<string, number> = {};

  before(async () => {
    legacy = await createLegacyDatabase(loosened);
    const made = async (name: string, wish = {}) => {
      rooms[name] = await legacy.createRoom(ana.user, ana.entity, { name, ...wish });
      return rooms[name];
    };
    const plain = await made('plain');
    const { message, rule, room, query } = legacy;
    await query('update "Rooms" set uuid = $1', [randomUUID().toUpperCase()]);

    await made('pair', { type: 'user2user' });
    await rule(rooms.pair!, ben.user, { permissions: 'rwa' });
    await message(rooms.pair!, ana.user, 'newer', '2021-06-03T12:00:00Z');
    await made('same two', { type: 'user2user' });
    await rule(rooms['same two']!, ben.user, { permissions: 'rwa' });
    await message(rooms['same two']!, ben.user, 'older', '2021-06-02T12:00:00Z');
    await made('three', { type: 'user2user' });
    for (const { user } of [ben, cleo]) await rule(rooms.three!, user);
    await made('alone', { type: 'user2user' });
    await made('banned pair', { type: 'user2user' });
    await rule(rooms['banned pair']!, cleo.user, { permissions: 'b' });

    rooms.same = await legacy.createRoom(solo.user, solo.user, { name: 'same' });
    rooms.bare = await room({ name: 'bare', entity: ana.entity });
    rooms.closed = await room({ name: 'closed', entity: null });
    rooms.owned = await room({ name: 'owned', entity: null });
    await query('update "Rooms" set user_owner = $1 where id = $2', [ben.user.toUpperCase(), rooms.owned]);

    await made('full', { max_entity_rules: 3 });
    for (let n = 0; n < 11; n++) await rule(rooms.full!, randomUUID());
    await made('typed', { type: 'channel' });
    await made('low', { level_admin: -5 });
    await made('', {});
    await made('x'.repeat(300));
    rooms.zero = await room({ id: 0, name: 'no number' });
    await message(0, ana.user, 'in no room');

    await rule(plain, 'not-a-uuid');
    await rule(plain, randomUUID(), { permissions: '' });
    await rule(plain, randomUUID(), { permissions: 'RW' });
    await rule(plain, ben.user, { permissions: 'wxr' });
    await rule(plain, cleo.user.toUpperCase(), { permissions: 'w' });
    await rule(plain, cleo.user, { permissions: 'r', accepted: true, at: '2021-06-02T12:00:00Z' });
    const half = randomUUID();
    await rule(plain, half, { permissions: 'w' });
    await query('update "Room_permissions" set level = 1.5 where "entity_UUID" = $1', [half]);
    await rule(999, ana.user);

    await message(plain, ana.user, null);
    await message(plain, ana.user, '');
    await message(999, ana.user, 'nowhere');
    await message(999, ana.user, 'nowhere');
    await query(`insert into "Messages" (content, "createdAt", "updatedAt") values ('no room', now(), now())`);
    await message(plain, ana.user.toUpperCase(), 'upper', '2021-06-01T13:00:00Z');
    await message(plain, null, 'nobody', '2021-06-01T13:00:01Z');
    await message(plain, 'bot', 'a bot', '2021-06-01T13:00:02.123456Z');
    await message(plain, ana.user, 'é'.repeat(300_000), '2021-06-01T13:00:03Z');
    await message(plain, ana.user, '\\0 as the legacy stored it', '2021-06-01T13:00:04Z');
    await message(plain, ana.user, 'future', '2999-01-01T00:00:00Z');
    await message(plain, ana.user, 'eternity', 'infinity');
    const undated = await message(plain, ana.user, 'undated');
    await query('update "Messages" set "createdAt" = null, "updatedAt" = $2 where id = $1', [
      undated,
      '1904-01-01T00:00Z',
    ]);

    target = await freshDatabase();
    found = await runImport(legacy.url, target);
    ask = await openQuery(target);
    node = await startNode(postgres, { DATABASE_URL: target });
  });

  const counts: Partial<Record<Finding, number>> = {
    ...{ room_number: 1, room_uuid: 14, room_name: 2, room_type: 1, room_level: 1, room_rules: 1, room_owner: 2 },
    ...{ room_owner_rule: 1, room_closed: 1, room_more_than_two: 2, room_same_two: 1 },
    ...{ rule_room: 1, rule_grantee: 1, rule_letters: 2, rule_organisation: 5, rule_dropped_letters: 1, rule_level: 1 },
    ...{ rule_twice: 1, rule_ban_works: 1, rule_write_only: 1, rule_entity_works: 6 },
    ...{ message_room: 4, message_content: 2, message_emitter: 2, message_long: 1, message_date: 3, message_before: 0 },
  };
  for (const [finding, count] of Object.entries(counts)) {
    it(`counts ${count} ${finding} among the odd rows`, () => {
      expect(found.findings.count(finding as Finding), found.report).to.equal(count);
    });
  }

  it('names odd rows in the report', () => {
    expect(found.report)
      .to.include('"RW"')
      .and.include('room 999: 2')
      .and.include('1 rules of rooms that do not exist')
      .and.include(`room ${rooms.full}: 13`);
  });

  const roomOf = async (name: string): Promise<Json> =>
    (await ask(`select * from rooms where id = $1`, [rooms[name]]))[0];
  const rulesOf = (name: string) =>
    ask('select grantee, kind, permissions, accepted from permission_rules where room_id = $1', [rooms[name]]);

  it('imports two rooms of the same two users as a user2user room and a private group', async () => {
    expect(await roomOf('pair')).to.include({ type: 'user2user', entity_owner: null });
    expect([(await roomOf('pair')).pair_low, (await roomOf('pair')).pair_high]).to.have.members([ana.user, ben.user]);
    expect(await roomOf('same two')).to.include({ type: 'group', entity_owner: null, pair_low: null });
    expect((await rulesOf('same two')).map(({ kind }) => kind)).to.deep.equal(['user', 'user']);
    const { body } = await rest(node.url, ben.token).get(`/rooms/${rooms['same two']}/messages`);
    expect(body.content[0].content).to.equal('older');
  });

  it('imports a user2user room with three users as a private group', async () => {
    for (const { token } of [ana, ben, cleo])
      expect((await rest(node.url, token).get(`/rooms/${rooms.three}`)).status).to.equal(200);
    const colleague = createUser({ entity: ana.entity, level: 999 });
    expect((await rest(node.url, colleague.token).get(`/rooms/${rooms.three}`)).status).to.equal(404);
  });

  it('imports a user2user room with one user, which accepts its second user unless the two have a room', async () => {
    const path = `/rooms/${rooms.alone}/members`;
    expectRefusal(await rest(node.url, ana.token).put(path, { userUUID: ben.user, permissions: 'rw' }), 'PAIR_EXISTS');
    await putRule(node.url, ana, { id: rooms.alone! }, { userUUID: cleo.user, permissions: 'rw' });
    expectRefusal(await rest(node.url, ana.token).put(path, { userUUID: ben.user, permissions: 'rw' }), 'ROOM_FULL');
  });

  it('imports a user2user room with a ban as a group, so that the ban can be lifted', async () => {
    await putRule(node.url, ana, { id: rooms['banned pair']! }, { entity_UUID: cleo.user, permissions: 'rw' });
    expect((await rest(node.url, cleo.token).get(`/rooms/${rooms['banned pair']}`)).body.content.rights).to.equal('rw');
  });

  it('makes a user who is their own organisation an administrator of their room', async () => {
    const { body } = await rest(node.url, solo.token).get(`/rooms/${rooms.same}`);
    expect(body.content).to.nested.include({
      rights: 'rwa',
      'room.user_owner': solo.user,
      'room.entity_owner': solo.user,
    });
  });

  it('leaves a room without rules to its organisation, its known owner, or nobody', async () => {
    expect(await roomOf('bare')).to.include({ user_owner: nobody, entity_owner: ana.entity });
    expect((await rest(node.url, ana.token).get(`/rooms/${rooms.bare}`)).body.content.rights).to.equal('rwa');
    expect(await roomOf('owned')).to.include({ user_owner: ben.user });
    expect((await rest(node.url, ben.token).get(`/rooms/${rooms.owned}`)).body.content.rights).to.equal('rwa');
    expect(await roomOf('closed')).to.include({ user_owner: nobody, entity_owner: null });
    const { findings } = await runImport(legacy.url, target);
    expect(findings.count('rule_last'), 'the rule that it was given here is not looked for there').to.equal(0);
    expect((await rest(node.url, ben.token).get(`/rooms/${rooms.owned}`)).body.content.rights).to.equal('rwa');
  });

  it('replaces invalid values of odd rows', async () => {
    expect(await roomOf('full')).to.include({ max_entity_rules: 13 });
    expect(await roomOf('typed')).to.include({ type: 'group' });
    expect(await roomOf('low')).to.include({ level_admin: 0 });
    expect(await roomOf('')).to.include({ name: `Room ${rooms['']}` });
    expect(await roomOf('x'.repeat(300))).to.include({ name: 'x'.repeat(255) });
    const uuids = await ask('select uuid from rooms');
    expect(new Set(uuids.map(({ uuid }) => uuid)).size).to.equal(uuids.length);
  });

  it('reduces rules to valid letters, and merges the rules of a UUID', async () => {
    const rules = await rulesOf('plain');
    const of = (user: string) => rules.find(({ grantee }) => grantee === user);
    expect(of(ben.user)).to.include({ permissions: 'rw' });
    expect(of(cleo.user)).to.include({ permissions: 'rw', accepted: true });
    expect(of(ana.entity)).to.include({ kind: 'entity', accepted: null });
    expect(rules).to.have.length(5);
  });

  it('keeps all messages of odd rows in order, whatever their size and date', async () => {
    const rows = await ask(`select emitter, content, created_at as at from messages where room_id = $1 order by seq`, [
      rooms.plain,
    ]);
    const shown = rows.map(({ emitter, content }) => [emitter, content.length > 50 ? content.length : content]);
    expect(shown).to.deep.equal([
      [ana.user, 'undated'],
      [ana.user, 'upper'],
      [nobody, 'nobody'],
      [nobody, 'a bot'],
      [ana.user, 300_000],
      [ana.user, '\\0 as the legacy stored it'],
      [ana.user, 'future'],
      [ana.user, 'eternity'],
    ]);
    const times = rows.map(({ at }) => at.getTime());
    expect(times).to.deep.equal(times.toSorted((a, b) => a - b));
    expect(times[0]).to.equal(Date.parse('2021-06-01T12:00:00Z'));
    expect(rows[3].at.toISOString()).to.equal('2021-06-01T13:00:02.123Z');
    expect(times.at(-1)).to.be.at.most(Date.now() + 5_000);
    expect(await ask(brokenLogs)).to.deep.equal([]);
  });

  it('accepts new messages in rooms that come from odd rows', async () => {
    const { body } = await rest(node.url, ana.token).get(`/rooms/${rooms.plain}/messages?limit=500`);
    expect(body.content.at(-1)).to.include({ content: 'eternity', seq: 8 });
    const [said] = await sendMessages(node.url, ana, { id: rooms.plain! }, 'on');
    expect(said.seq).to.equal(9);
    expect(Date.parse(said.createdAt)).to.be.below(Date.now() + 60_000);
  });
});

describe('A fork of the legacy service with other columns', function () {
  this.timeout(300_000);

  it('is imported in its spelling, with defaults for optional columns', async () => {
    const legacy = await createLegacyDatabase(`
      alter table "Rooms" drop column uuid, drop column max_entity_rules, drop column type, drop column level_admin;
      alter table "Rooms" rename to rooms;
      alter table "Messages" drop column "updatedAt", add column type text;
      alter table "Messages" rename column "createdAt" to created_at;
      alter table "Messages" alter column created_at type timestamp using created_at at time zone 'UTC';
      alter table "Room_permissions" rename column "entity_UUID" to "entityUUID";
      alter table "Room_permissions" drop column accepted, drop column level;
      alter table "Room_permissions" rename to "RoomPermissions";`);
    const [user, at] = [randomUUID(), '2021-06-01T12:00:00.007Z'];
    await legacy.query('insert into rooms (name, "createdAt", "updatedAt") values ($1, $2, $2)', ['a fork', at]);
    await legacy.query(
      `insert into "RoomPermissions" (room_id, "entityUUID", permissions, "createdAt", "updatedAt") values (1, $1, 'rwa', $2, $2)`,
      [user, at],
    );
    await legacy.query(`insert into "Messages" (room_id, emitter, content, created_at) values (1, $1, 'hi', $2)`, [
      user,
      at.slice(0, -1),
    ]);
    const target = await freshDatabase();
    await runImport(legacy.url, target);
    const ask = await openQuery(target);
    const [room] = await ask('select * from rooms');
    expect(room).to.include({
      id: '1',
      name: 'a fork',
      type: 'group',
      level_admin: 100,
      max_entity_rules: 10,
      user_owner: user,
    });
    const [message] = await ask('select * from messages');
    expect(message.created_at.toISOString()).to.equal(at);
    // The legacy room has no UUID, but the second import derives the same UUID as the first.
    expect((await runImport(legacy.url, target)).rooms).to.deep.equal({ known: 1, added: 0 });
    expect((await ask('select uuid from imported_rooms'))[0].uuid).to.equal(room.uuid);
  });
});
