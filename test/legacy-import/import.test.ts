import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { formatCursor } from '../../src/core/cursor.ts';
import { lockDataDirectory } from '../../src/database/data-directory.ts';
import { migratePostgres } from '../../src/database/migrate.ts';
import type { RunningServer } from '../../src/server.ts';
import { generateLegacyDatabase } from '../../tools/import-benchmark/generate.ts';
import { brokenLogs, verifyImport } from '../../tools/import-benchmark/verify.ts';
import { authenticatedChat, chatInRoom } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import type { Json } from '../helpers/json.ts';
import { createLegacyDatabase, type LegacyFixture } from '../helpers/legacy-fixture.ts';
import { openQuery, runImport } from '../helpers/legacy-import.ts';
import { embedded, postgres, startNode } from '../helpers/node.ts';
import { emptyDatabase, execute, freshDatabase } from '../helpers/postgres.ts';
import { dataDirectory, runCommand } from '../helpers/process.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser, withClaims } from '../helpers/users.ts';

const at = (second: number) => new Date(Date.UTC(2021, 5, 2, 12, 0, second, 250)).toISOString();
const ms = (date: string) => Date.parse(date);

describe('An import from the legacy service [PostgreSQL]', function () {
  this.timeout(300_000);
  const ana = createUser({ level: 100 });
  const ben = createUser({ entity: ana.entity });
  const cleo = createUser({ entity: ana.entity, level: 100 });
  const eve = createUser();
  let legacy: LegacyFixture;
  let node: RunningServer;
  let target: string;
  let group: number;
  let pair: number;
  let ids: number[];

  before(async () => {
    legacy = await createLegacyDatabase();
    group = await legacy.createRoom(ana.user, ana.entity, { id: 28, name: 'Lanzamiento 🚀', level_admin: 500 });
    await legacy.rule(group, ben.user, { permissions: 'rw', level: 999, accepted: true });
    await legacy.rule(group, eve.user, { permissions: 'rwb' });
    pair = await legacy.createRoom(ana.user, ana.entity, { id: 30, type: 'user2user' });
    await legacy.rule(pair, ben.user);
    ids = [];
    // The ids and the times are in different orders. Messages are ordered by time, and by id if the times are equal.
    ids.push(await legacy.message(group, ben.user, 'third', at(3)));
    ids.push(await legacy.message(group, ana.user, 'first "quoted" \\ <b>', at(1)));
    await legacy.message(pair, ana.user, 'between us', at(2));
    ids.push(await legacy.message(group, ben.user, 'fourth', at(3)));
    ids.push(await legacy.message(group, ana.user, 'second 👩‍🚀', at(2)));
    const reader = `reader_${randomBytes(6).toString('hex')}`;
    await legacy.query(`create role ${reader} login password '${reader}'`);
    closeLater(() => legacy.query(`drop owned by ${reader}; drop role ${reader}`));
    await legacy.query(`grant select on all tables in schema public to ${reader}`);
    const url = new URL(legacy.url);
    [url.username, url.password] = [reader, reader];
    target = await freshDatabase();
    // The import needs only the privilege to read the legacy database.
    await runImport(url.href, target);
    node = await startNode(postgres, { DATABASE_URL: target });
  });

  const messagesOf = async ({ token }: TestUser, room: number, query = ''): Promise<Json> =>
    (await rest(node.url, token).get(`/rooms/${room}/messages${query}`)).body;

  it('keeps ids, UUIDs, names, levels, owners and dates of rooms', async () => {
    const { rows } = await legacy.query('select uuid from "Rooms" where id = 28');
    const { body } = await rest(node.url, ana.token).get('/rooms/28');
    expect(body.content.room).to.deep.equal({
      ...{ id: 28, uuid: rows[0].uuid, name: 'Lanzamiento 🚀', type: 'group', level_admin: 500 },
      ...{ user_owner: ana.user, entity_owner: ana.entity, max_entity_rules: 10, last_seq: 4 },
      ...{ createdAt: '2021-06-01T12:00:00.000Z', updatedAt: '2021-06-01T12:00:00.000Z' },
    });
  });

  it('numbers messages by their time and keeps ids, emitters, contents and dates', async () => {
    const { content } = await messagesOf(ben, group);
    const expected = [
      [1, ids[1], ana.user, 'first "quoted" \\ <b>', at(1)],
      [2, ids[3], ana.user, 'second 👩‍🚀', at(2)],
      [3, ids[0], ben.user, 'third', at(3)],
      [4, ids[2], ben.user, 'fourth', at(3)],
    ];
    const shown = content.map((one: Json) => [one.seq, one.id, one.emitter, one.content, one.createdAt]);
    expect(shown).to.deep.equal(expected);
    expect(content[0]).to.include({ updatedAt: at(1), client_msg_id: null, room_id: group });
  });

  it('makes messages available by date', async () => {
    const { content } = await messagesOf(ben, group, `?dateFrom=${at(2)}&dateTo=${at(2)}`);
    expect(content.map(({ seq }: Json) => seq)).to.deep.equal([2]);
  });

  it('keeps the rules of users and organisations, and enforces levels and bans', async () => {
    const { body } = await rest(node.url, ben.token).get(`/rooms/${group}`);
    expect(body.content.rights).to.equal('rw');
    expect((await rest(node.url, cleo.token).get(`/rooms/${group}`)).body.content.rights).to.equal('rw');
    expect((await rest(node.url, eve.token).get(`/rooms/${group}`)).body.meta.reason).to.equal('BANNED');
    const { body: members } = await rest(node.url, ana.token).get(`/rooms/${group}/members`);
    const shown = members.content.map((rule: Json) => [
      rule.entity_UUID,
      rule.kind,
      rule.permissions,
      rule.level,
      rule.accepted,
    ]);
    expect(shown).to.have.deep.members([
      [ana.user, 'user', 'rwa', 100, false],
      [ana.entity, 'entity', 'rw', 100, false],
      [ben.user, 'any', 'rw', 999, true],
      [eve.user, 'any', 'rwb', 0, false],
    ]);
  });

  it('opens user2user rooms only to their two users, who find them with `with`', async () => {
    expect((await rest(node.url, cleo.token).get(`/rooms/${pair}`)).status).to.equal(404);
    expect((await messagesOf(ben, pair)).content[0].content).to.equal('between us');
    const made = await createRoom(node.url, ben, { type: 'user2user', with: ana.user });
    expect(made).to.include({ id: pair, entity_owner: null, user_owner: ana.user });
  });

  it('continues the log on REST, and on Socket.IO and /chat with since', async () => {
    const { meta } = await messagesOf(ben, group);
    expect(meta.rev).to.equal(4);
    const [sent] = await sendMessages(node.url, ben, { id: group }, 'fifth');
    expect(sent).to.include({ seq: 5 });
    expect(sent.id).to.be.above(2_147_483_647);
    // The first cursor is that of the last change, and the second is that of an imported message.
    const places: [string, number][] = [
      [meta.cursor, 5],
      [formatCursor({ room_id: group, rev: 2, at: ms(at(2)) }), 3],
    ];
    const socket = await socketClient(node.url, ben);
    for (const [since, first] of places) {
      const joined = await socket.request('room:join', { room_id: group, since });
      expect(joined.recovered).to.equal(true);
      const seqs = joined.events.map(({ payload }: Json) => payload.seq);
      expect(seqs).to.deep.equal([3, 4, 5].slice(first - 3));
      await socket.request('room:leave', { room_id: group });
      const chat = await chatInRoom(node.url, ben, group, since);
      expect(chat.connected).to.include({ recovered: true, rights: 'rw' });
      for (const seq of seqs) expect((await chat.next()).data.seq).to.equal(seq);
    }
    const chat = await chatInRoom(node.url, ben, String(group));
    chat.send({ type: 'message', content: 'sixth' });
    expect((await chat.next()).data).to.include({ seq: 6, content: 'sixth', room_id: group });
    chat.send({ type: 'get_past_messages' });
    for (let seq = 1; seq <= 6; seq++) expect((await chat.next()).data.seq).to.equal(seq);
  });

  it('denies banned users, and members of the organisation below its level', async () => {
    for (const person of [eve, withClaims(cleo, { levelOnEntity: 99 })]) {
      const chat = await authenticatedChat(node.url, person);
      chat.send({ type: 'select_room', room_id: group });
      expect((await chat.next()).data).to.equal('NOTAUTHORIZED');
    }
  });

  it('lists rooms by their latest activity', async () => {
    const { body } = await rest(node.url, ben.token).get('/rooms');
    expect(body.content.map(({ id }: Json) => id)).to.deep.equal([group, pair]);
  });

  it('leaves room ids free for later imports', async () => {
    expect((await createRoom(node.url, ana)).id).to.be.above(1_000);
  });

  it('writes complete logs', async () => {
    const ask = await openQuery(target);
    expect(await ask(brokenLogs)).to.deep.equal([]);
  });
});

describe('npm run import', function () {
  this.timeout(300_000);

  it('[PostgreSQL] imports everything, prints its progress, and imports nothing the second time', async () => {
    const legacy = await createLegacyDatabase('drop table "Room_permissions", "Messages", "Rooms"');
    await generateLegacyDatabase(legacy.url, { rooms: 20, messages: 9_000 });
    const DATABASE_URL = await freshDatabase();
    const run = (...words: string[]) =>
      runCommand('bin/legacy-import.ts', { DATABASE_URL }, [...words, legacy.url]).exited;
    const ask = await openQuery(DATABASE_URL);

    const dry = await run('--dry-run');
    expect(dry.output).to.include('nothing was written').and.include('9,000 messages');
    for (const table of ['rooms', 'messages', 'permission_rules', 'imported_rooms']) {
      expect(await ask(`select 1 from ${table}`)).to.deep.equal([]);
    }

    const first = await run();
    expect(first).to.include({ code: 0 });
    expect(first.output)
      .to.include('0 of 9,000 messages')
      .and.match(/9,000 messages in [\d.]+ s, [\d,]+ per second/);
    expect(first.output)
      .to.include('20 rooms; 0 were imported')
      .and.include('4 rules of the organisation in user2user rooms');
    expect(await verifyImport(legacy.url, { query: ask as never })).to.equal(9_000);

    const second = await run();
    expect(second).to.include({ code: 0 });
    expect(second.output).to.include('0 rooms; 20 were imported').and.include('  0 messages');
    expect(await verifyImport(legacy.url, { query: ask as never })).to.equal(9_000);
  });

  it('[PostgreSQL] imports from the database to which it writes', async () => {
    const legacy = await createLegacyDatabase();
    const ana = createUser();
    const room = await legacy.createRoom(ana.user, ana.entity);
    await legacy.message(room, ana.user, 'here and there');
    await migratePostgres(legacy.url);
    expect(await runImport(legacy.url, legacy.url)).to.include({ messages: 1 });
    const ask = await openQuery(legacy.url);
    expect(await ask('select content from messages')).to.deep.equal([{ content: 'here and there' }]);
  });

  it('[PostgreSQL] does not depend on database defaults, and uses the schema of the account', async () => {
    const odd = [`datestyle = 'German, DMY'`, `timezone = 'America/St_Johns'`, 'standard_conforming_strings = off'];
    odd.push('array_nulls = off', 'extra_float_digits = -15', `default_transaction_isolation = 'serializable'`);
    odd.push(
      ...['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'].map((name) => `${name} = '1ms'`),
    );
    const legacy = await createLegacyDatabase();
    const ana = createUser();
    const room = await legacy.createRoom(ana.user, ana.entity, { name: `\\' or 1=1 --` });
    await legacy.message(room, ana.user, `\\' NULL`, at(7));
    const DATABASE_URL = await emptyDatabase();
    const set = (url: string, settings: string[]) =>
      execute(url, settings.map((one) => `alter database ${new URL(url).pathname.slice(1)} set ${one}`).join('; '));
    await execute(DATABASE_URL, 'create schema chat');
    await set(DATABASE_URL, [...odd, 'search_path = chat']);
    await set(legacy.url, odd);
    await migratePostgres(DATABASE_URL);
    expect(await runImport(legacy.url, DATABASE_URL)).to.include({ messages: 1 });
    const { url } = await startNode(postgres, { DATABASE_URL });
    const { body } = await rest(url, ana.token).get(`/rooms/${room}/messages`);
    expect(body.content[0]).to.include({ content: `\\' NULL`, createdAt: at(7), client_msg_id: null });
    expect((await rest(url, ana.token).get('/rooms')).body.content[0]).to.include({ name: `\\' or 1=1 --` });
  });

  it('[embedded (PGlite)] creates the directory, refuses a locked directory, and imports the rest later', async () => {
    const legacy = await createLegacyDatabase();
    const ana = createUser();
    const room = await legacy.createRoom(ana.user, ana.entity);
    for (let n = 1; n <= 3; n++) await legacy.message(room, ana.user, `${n}`, at(n));
    const DATA_DIR = dataDirectory();

    expect((await runImport(legacy.url, DATA_DIR, { dryRun: true })).messages).to.equal(3);
    expect(existsSync(DATA_DIR)).to.equal(false);
    await runImport(legacy.url, DATA_DIR);

    const { release } = await lockDataDirectory(DATA_DIR);
    const refused = await runCommand('bin/legacy-import.ts', { DATA_DIR }, [legacy.url]).exited;
    release();
    expect(refused.code).to.equal(1);
    expect(refused.output.trim()).to.include(`in use by process ${process.pid}`).and.not.include('\n');

    await legacy.message(room, ana.user, '4', at(4));
    await runImport(legacy.url, DATA_DIR);
    const { url } = await startNode(embedded, { DATA_DIR });
    const { body } = await rest(url, ana.token).get(`/rooms/${room}/messages`);
    expect(body.content.map(({ content }: Json) => content)).to.deep.equal(['1', '2', '3', '4']);
    expect(body.meta.rev).to.equal(4);
    expect((await sendMessages(url, ana, { id: room }, 'on'))[0].seq).to.equal(5);
  });
});
