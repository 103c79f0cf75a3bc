import { expect } from 'chai';
import type { RunningServer } from '../../src/server.ts';
import { brokenLogs } from '../../tools/import-benchmark/verify.ts';
import { chatInRoom } from '../helpers/chat-client.ts';
import { databaseSession } from '../helpers/database-session.ts';
import type { Json } from '../helpers/json.ts';
import { createLegacyDatabase, type LegacyFixture } from '../helpers/legacy-fixture.ts';
import { openQuery, runImport } from '../helpers/legacy-import.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, putRule, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const at = (second: number) => new Date(Date.UTC(2021, 5, 2, 12, 0, second)).toISOString();

describe('A later import into a running service', function () {
  this.timeout(300_000);
  const ana = createUser({ level: 100 });
  let legacy: LegacyFixture;
  let target: string;
  let ask: (text: string, values?: unknown[]) => Promise<Json[]>;
  let node: RunningServer;
  let ben: TestUser;
  let cleo: TestUser;
  let room: number;

  before(async () => {
    legacy = await createLegacyDatabase();
    target = await freshDatabase();
    ask = await openQuery(target);
    node = await startNode(postgres, { DATABASE_URL: target }, (config) => ({ ...config, reconcileIntervalMs: 50 }));
  });

  /** Each test has another room with two members, imported. */
  beforeEach(async () => {
    [ben, cleo] = [createUser(), createUser()];
    room = await legacy.createRoom(ana.user, ana.entity);
    await legacy.rule(room, ben.user);
    await legacy.rule(room, cleo.user);
    for (let n = 1; n <= 3; n++) await legacy.message(room, ana.user, `${n}`, at(n));
    await runImport(legacy.url, target);
  });

  afterEach(async () => {
    expect(await ask(brokenLogs)).to.deep.equal([]);
  });

  const contents = async (id = room) =>
    (await ask('select content from messages where room_id = $1 order by seq', [id])).map(({ content }) => content);
  const rightsOf = async ({ token }: TestUser): Promise<string> => {
    const { body } = await rest(node.url, token).get(`/rooms/${room}`);
    return body.content?.rights ?? body.meta.reason;
  };

  it('imports new messages, and the next reconciliation delivers them to subscribers', async () => {
    const chat = await chatInRoom(node.url, ben, room);
    await legacy.message(room, ana.user, '4', at(4));
    await legacy.message(room, cleo.user, '5', at(5));
    expect((await runImport(legacy.url, target)).messages).to.equal(2);
    for (const [seq, content] of [
      [4, '4'],
      [5, '5'],
    ] as const) {
      expect((await chat.next()).data).to.include({ seq, content });
    }
    expect((await runImport(legacy.url, target)).messages).to.equal(0);
    expect(await contents()).to.deep.equal(['1', '2', '3', '4', '5']);
  });

  it('appends legacy messages after messages that were written here, with dates that do not decrease', async () => {
    const [here] = await sendMessages(node.url, ben, { id: room }, 'here');
    const id = await legacy.message(room, ana.user, 'there', at(9));
    const { findings } = await runImport(legacy.url, target);
    expect(findings.count('message_date')).to.equal(1);
    expect(await contents()).to.deep.equal(['1', '2', '3', 'here', 'there']);
    const [message] = await ask('select id::int, created_at as at from messages where room_id = $1 and seq = 5', [
      room,
    ]);
    expect(message.id).to.equal(id);
    expect(message.at.toISOString()).to.equal(here.createdAt);
    expect((await sendMessages(node.url, ben, { id: room }, 'on'))[0].seq).to.equal(6);
  });

  it('leaves nothing unread that the legacy service had, and keeps what is unread here', async () => {
    const unread = async (person: TestUser, seq = 0) => {
      const { body } = await rest(node.url, person.token).put(`/rooms/${room}/read`, { seq });
      return [body.content.read_seq, body.content.unread];
    };
    expect(await unread(ben)).to.deep.equal([3, 0]);
    await legacy.message(room, ana.user, '4', at(4));
    await runImport(legacy.url, target);
    expect(await unread(ben)).to.deep.equal([4, 0]);
    await sendMessages(node.url, cleo, { id: room }, 'here');
    expect(await unread(cleo, 4)).to.deep.equal([5, 0]);
    await legacy.message(room, ana.user, '6', at(9));
    await runImport(legacy.url, target);
    expect(await unread(ben)).to.deep.equal([4, 2]);
    expect(await unread(cleo)).to.deep.equal([6, 0]);
    // The imported message is their own, and they have not read what was sent here.
    expect(await unread(ana)).to.deep.equal([4, 1]);
  });

  it('imports a message with a lower id whose transaction was open during the last import', async () => {
    await legacy.query(`select nextval('"Messages_id_seq"')`);
    const late = (await legacy.query(`select last_value from "Messages_id_seq"`)).rows[0].last_value;
    await legacy.message(room, ana.user, '4', at(4));
    await runImport(legacy.url, target);
    await legacy.query(
      `insert into "Messages" (id, room_id, emitter, content, "createdAt", "updatedAt") values ($1, $2, $3, 'late', $4, $4)`,
      [late, room, ana.user, at(3)],
    );
    expect((await runImport(legacy.url, target)).messages).to.equal(1);
    expect((await runImport(legacy.url, target)).messages).to.equal(0);
    expect(await contents()).to.deep.equal(['1', '2', '3', '4', 'late']);
  });

  it('reports messages that an earlier import skipped', async () => {
    await legacy.message(room, ana.user, null, at(4));
    expect((await runImport(legacy.url, target)).findings.count('message_content')).to.equal(1);
    await legacy.message(room, ana.user, '5', at(5));
    const { findings } = await runImport(legacy.url, target);
    expect(findings.count('message_content')).to.equal(0);
    expect(findings.count('message_before')).to.be.at.least(1);
    expect(await contents()).to.deep.equal(['1', '2', '3', '5']);
  });

  it('applies added, changed, removed and answered rules to live connections', async () => {
    const dora = createUser();
    const socket = await socketClient(node.url, cleo);
    await socket.request('room:join', { room_id: room });
    await legacy.rule(room, dora.user);
    await legacy.query(`update "Room_permissions" set permissions = 'r' where room_id = $1 and "entity_UUID" = $2`, [
      room,
      ben.user,
    ]);
    await legacy.query('delete from "Room_permissions" where room_id = $1 and "entity_UUID" = $2', [room, cleo.user]);
    await legacy.query('update "Room_permissions" set accepted = true where room_id = $1 and "entity_UUID" = $2', [
      room,
      ana.user,
    ]);
    expect((await runImport(legacy.url, target)).rules).to.include({ changed: 4 });
    expect(await socket.next('room:removed')).to.deep.equal({ room_id: room, code: 'RULE_REMOVED' });
    expect([await rightsOf(dora), await rightsOf(ben), await rightsOf(cleo)]).to.deep.equal(['rw', 'r', 'NOT_FOUND']);
    const { body } = await rest(node.url, ana.token).get(`/rooms/${room}/members`);
    expect(body.content.find(({ entity_UUID }: Json) => entity_UUID === ana.user)).to.include({ accepted: true });
    const path = `/rooms/${room}/messages`;
    expect((await rest(node.url, ben.token).post(path, { content: 'no' })).status).to.equal(403);
    expect((await runImport(legacy.url, target)).rules).to.include({ changed: 0 });
  });

  it('keeps rules that changed here, whatever changed in the legacy service', async () => {
    await putRule(node.url, ana, { id: room }, { entity_UUID: ben.user, permissions: 'b' });
    await rest(node.url, ana.token).delete(`/rooms/${room}/members/${cleo.user}`);
    expect((await runImport(legacy.url, target)).findings.count('rule_changed')).to.equal(0);
    await legacy.query(`update "Room_permissions" set permissions = 'rwa' where room_id = $1`, [room]);
    const { findings, rules } = await runImport(legacy.url, target);
    expect(findings.count('rule_changed')).to.equal(2);
    expect(rules.changed).to.equal(1); // the organisation's
    expect([await rightsOf(ben), await rightsOf(cleo)]).to.deep.equal(['BANNED', 'NOT_FOUND']);
  });

  it('does not remove the last administrator', async () => {
    await legacy.query('delete from "Room_permissions" where room_id = $1', [room]);
    const { findings } = await runImport(legacy.url, target);
    expect(findings.count('rule_last')).to.equal(1);
    expect(await rightsOf(ana)).to.equal('rwa');
    expect(await rightsOf(ben)).to.equal('NOT_FOUND');
  });

  it('completes a user2user room, but adds no third user and no second room of the same two users', async () => {
    const pair = await legacy.createRoom(ana.user, ana.entity, { type: 'user2user' });
    const other = await legacy.createRoom(ana.user, ana.entity, { type: 'user2user' });
    await runImport(legacy.url, target);
    await legacy.rule(pair, ben.user);
    await legacy.rule(other, ben.user);
    const first = await runImport(legacy.url, target);
    expect(first.findings.count('rule_pair')).to.equal(1);
    const [made] = await ask('select pair_low as low, pair_high as high from rooms where id = $1', [pair]);
    expect([made.low, made.high]).to.have.members([ana.user, ben.user]);
    await legacy.rule(pair, cleo.user);
    expect((await runImport(legacy.url, target)).findings.count('rule_third')).to.equal(1);
    const three = await legacy.createRoom(cleo.user, cleo.entity, { type: 'user2user' });
    await runImport(legacy.url, target);
    for (const user of [ana.user, ben.user]) await legacy.rule(three, user);
    expect((await runImport(legacy.url, target)).findings.count('rule_third'), 'two at once').to.be.at.least(1);
    const inThree = await ask('select grantee from permission_rules where room_id = $1', [three]);
    expect(inThree).to.have.length(2);
    await legacy.query('delete from "Rooms" where id = any($1)', [[other, three]]);
    await legacy.query('delete from "Room_permissions" where "entity_UUID" = $1', [cleo.user]);
  });

  it('imports new rooms, ignores rooms that were created here, and keeps rooms that the legacy service deleted', async () => {
    const own = await createRoom(node.url, ana);
    await sendMessages(node.url, ana, own, 'ours');
    const next = await legacy.createRoom(ana.user, ana.entity);
    await legacy.message(next, ana.user, 'a new room', at(1));
    await legacy.query('delete from "Rooms" where id = $1', [room]);
    const { rooms, findings } = await runImport(legacy.url, target);
    expect(rooms.added).to.equal(1);
    expect(findings.count('room_gone')).to.be.at.least(1);
    expect(await contents(next)).to.deep.equal(['a new room']);
    expect(await contents(own.id)).to.deep.equal(['ours']);
    expect(await contents()).to.deep.equal(['1', '2', '3']);
  });

  it('does not restore rooms that were deleted here', async () => {
    expect((await rest(node.url, ana.token).delete(`/rooms/${room}`)).status).to.equal(200);
    await legacy.message(room, ana.user, '4', at(4));
    expect((await runImport(legacy.url, target)).findings.count('room_deleted')).to.equal(1);
    expect(await ask('select 1 from rooms where id = $1', [room])).to.deep.equal([]);
    expect(await contents()).to.deep.equal([]);
  });

  it('refuses legacy rooms that have the id of another room here, names them, and writes nothing', async () => {
    const own = await createRoom(node.url, ana, { name: 'Ours' });
    await legacy.room({ id: own.id });
    await legacy.message(room, ana.user, '4', at(4));
    const error = await runImport(legacy.url, target).then(() => undefined, String);
    expect(error).to.include(`${own.id} "Ours"`).and.include('1 of the legacy rooms');
    expect(await contents()).to.deep.equal(['1', '2', '3']);
    await legacy.query('delete from "Rooms" where id = $1', [own.id]);
    // This is another legacy database with a room of the same id.
    const another = await createLegacyDatabase();
    await another.room({ id: room });
    expect(await runImport(another.url, target).then(() => undefined, String)).to.include('1 of the legacy rooms');
  });

  it('waits for a locked room, appends after its new messages, and does not delay other rooms', async () => {
    const session = await databaseSession(target);
    await session.query('begin');
    await session.query('update rooms set last_seq = 4, last_rev = 4, last_change_at = $2 where id = $1', [
      room,
      at(30),
    ]);
    await session.query(
      `insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at) values ($1, 4, 4, $2, 'here', $3, $3)`,
      [room, ben.user, at(30)],
    );
    await legacy.message(room, ana.user, 'there', at(4));
    const importing = runImport(legacy.url, target);
    const waiting = `select 1 from pg_stat_activity
      where application_name = 'nano-messaging import' and wait_event_type = 'Lock' and datname = current_database()`;
    await waitUntil('the import waits', async () => (await ask(waiting)).length > 0);
    await sendMessages(node.url, ana, await createRoom(node.url, ana), 'meanwhile');
    await session.query('commit');
    expect((await importing).messages).to.equal(1);
    expect(await contents()).to.deep.equal(['1', '2', '3', 'here', 'there']);
  });

  it('leaves the ids of messages that are written here beyond the range of the legacy service', async () => {
    await legacy.query(`select setval('"Messages_id_seq"', 2147483000)`);
    const [here] = await sendMessages(node.url, ben, { id: room }, 'here');
    const there = await legacy.message(room, ana.user, 'there', at(5));
    await runImport(legacy.url, target);
    const ids = (await ask('select id::float8 as id from messages where room_id = $1', [room])).map(({ id }) => id);
    expect(ids).to.include.members([here.id, there]);
    expect(new Set(ids).size).to.equal(5);
  });
});
