import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { nilUuid } from '../../src/core/ids.ts';
import { newKey, putKeyedRoom } from '../helpers/admin-rooms.ts';
import { captureLog } from '../helpers/captured-log.ts';
import { authenticatedChat } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { describeEveryWiring, describeOneWiring, postgres, startNode } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { admin } from '../helpers/revocations.ts';
import { createRoom, createRoomWithOwner } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { adminToken, createUser, type TestUser } from '../helpers/users.ts';

const rwOf = ({ user }: TestUser) => ({ userUUID: user, permissions: 'rw' });

describeEveryWiring('rooms with a key', ({ url, urls }) => {
  it('creates one room if calls with a new key arrive at the same time, on any node', async () => {
    const key = newKey();
    const calls = Array.from({ length: 8 }, (_, n) =>
      rest(urls()[n % urls().length]!, adminToken).put(`/admin/rooms/key:${key}`, { name: 'one room' }),
    );
    const answers = await Promise.all(calls);
    expect(answers.map(({ status }) => status).sort()).to.deep.equal([...Array(7).fill(200), 201]);
    expect(new Set(answers.map(({ body }) => body.content.room.id)).size).to.equal(1);
    const { body } = await admin(url()).get(`/admin/rooms?key_prefix=${key}`);
    expect(body.content).to.have.length(1);
  });

  it('gives a key to the room of a pair if users and the backend create the room at the same time', async () => {
    const [ana, ben] = [createUser({ level: 100 }), createUser()];
    const pair = { name: 'Ana and Ben', type: 'user2user', with: ben.user };
    const key = newKey();
    const [own, ...answers] = await Promise.all([
      createRoom(url(), ana, pair),
      ...[1, 2].map(() => admin(url()).put(`/admin/rooms/key:${key}`, { ...pair, user_owner: ana.user })),
    ]);
    for (const { body } of answers) expect(body.content.room).to.include({ id: own.id, key });
  });

  it('is the same room by its key on REST, Socket.IO and /chat', async () => {
    const ana = createUser();
    const room = await putKeyedRoom(url(), { rules: [rwOf(ana)] });
    const room_id = `key:${room.key}`;
    const client = rest(url(), ana.token);
    const socket = await socketClient(url(), ana);
    const joined = await socket.request('room:join', { room_id });
    expect(joined.room.id).to.equal(room.id);
    const chat = await authenticatedChat(url(), ana);
    chat.send({ type: 'select_room', room_id, id: 1 });
    expect(await chat.skipTo(({ data }) => data === 'CONNECTED')).to.include({ id: 1 });
    for (const path of [`/rooms/key:${room.key}`, `/rooms/key%3A${room.key}`]) {
      const { status, body } = await client.post(`${path}/messages`, { content: 'hello' });
      expect({ status, room: body.content.room_id }).to.deep.equal({ status: 201, room: room.id });
      expect(await socket.next('message:new')).to.include({ room_id: room.id, content: 'hello' });
      await chat.skipTo(({ type }) => type === 'message');
    }
    const sent = await socket.request('message:send', { room_id, content: 'by key' });
    expect(sent.message).to.include({ room_id: room.id });
    expect((await client.get(`/rooms/key:${room.key}/messages`)).body.content).to.have.length(3);
    await socket.request('room:leave', { room_id });
    await socket.request('room:join', { room_id: room.uuid });
  });
});

describeOneWiring('PUT /admin/rooms/key:KEY', ({ url }) => {
  const put = (key: string, body: object) => admin(url()).put(`/admin/rooms/key:${key}`, body);

  it('creates a room that the service owns, with the defaults of POST /rooms', async () => {
    const key = newKey();
    const { status, body } = await put(key, { name: 'Order 42' });
    expect(status).to.equal(201);
    expect(body.content.room).to.deep.include({
      ...{ key, name: 'Order 42', type: 'group', level_admin: 100, max_entity_rules: 10, last_seq: 0 },
      ...{ user_owner: nilUuid, entity_owner: null },
    });
    const { rules } = (await admin(url()).get(`/admin/rooms/key:${key}`)).body.content;
    expect(rules).to.deep.equal([]);
  });

  it('creates a room with all fields, with more rules than max_entity_rules, and at a time in the past', async () => {
    const [owner, entity] = [createUser(), randomUUID()];
    const members = Array.from({ length: 50 }, () => createUser());
    const fields = {
      ...{ name: 'Order 42', level_admin: 70, max_entity_rules: 20, custom: { order: 42 } },
      ...{ receipts: true, readers_react: true, user_owner: owner.user, entity_owner: entity },
    };
    const rules = members.map((member, n) => ({ ...rwOf(member), accepted: n === 0 ? true : null }));
    const room = await putKeyedRoom(url(), { ...fields, createdAt: '2020-02-03T04:05:06.007Z', rules });
    expect(room).to.deep.include({
      ...fields,
      ...{ createdAt: '2020-02-03T04:05:06.007Z', updatedAt: '2020-02-03T04:05:06.007Z' },
    });
    const listed = (await rest(url(), members[49]!.token).get(`/rooms/${room.id}/members`)).body.content;
    expect(listed).to.have.length(50);
    expect(listed.filter(({ accepted }: Json) => accepted)).to.have.length(1);
    expect(listed[0].createdAt).to.equal(room.createdAt);
    const { meta } = (await rest(url(), members[0]!.token).get(`/rooms/${room.id}/messages`)).body;
    expect(meta.rev).to.equal(0);
  });

  it('creates a room without rules like POST /rooms does, with rules for its owners', async () => {
    const [owner, other, entity] = [createUser(), createUser(), randomUUID()];
    const group = await putKeyedRoom(url(), { user_owner: owner.user, entity_owner: entity });
    const pair = await putKeyedRoom(url(), { type: 'user2user', user_owner: owner.user, with: other.user });
    const rulesOf = async ({ id }: Json) =>
      (await admin(url()).get(`/admin/rooms/${id}`)).body.content.rules.map((rule: Json) =>
        [rule.entity_UUID, rule.kind, rule.permissions, rule.level, rule.accepted].join(' '),
      );
    expect(await rulesOf(group)).to.have.members([`${owner.user} user rwa 0 false`, `${entity} entity rw 100 false`]);
    expect(await rulesOf(pair)).to.have.members([`${owner.user} user rwa 0 false`, `${other.user} user rwa 0 false`]);
    expect(pair).to.include({ receipts: true });
  });

  it('changes an existing room, keeps absent fields, and ignores what counts only at creation', async () => {
    const ana = createUser();
    const room = await putKeyedRoom(url(), { custom: { a: 1 }, rules: [rwOf(ana)] });
    const socket = await socketClient(url(), ana);
    await socket.request('room:join', { room_id: room.id });
    const late = { type: 'group', user_owner: ana.user, createdAt: '2020-01-01', rules: [rwOf(createUser())] };
    const { status, body } = await put(room.key, { name: 'another', receipts: true, ...late });
    expect(status).to.equal(200);
    const { updatedAt } = body.content.room;
    expect(body.content.room).to.deep.equal({ ...room, name: 'another', receipts: true, updatedAt });
    const { key, ...changed } = body.content.room;
    expect(await socket.next('room:changed')).to.deep.include({ room: changed, by: null });
    expect((await put(room.key, { name: 'another', custom: { a: 1 } })).body.content.room).to.deep.equal({
      ...room,
      ...{ name: 'another', receipts: true, updatedAt },
    });
    expect((await put(room.key, { level_admin: 1 })).body.content.room).to.include({ name: 'another', level_admin: 1 });
    // Nothing was announced for the call that changed nothing.
    expect(await socket.next('room:changed'))
      .to.deep.include({ by: null })
      .and.nested.include({ 'room.level_admin': 1 });
  });

  it('gives the key to the room that a pair already has, and changes it', async () => {
    const [ana, ben] = [createUser({ level: 100 }), createUser()];
    const own = await createRoom(url(), ana, { type: 'user2user', with: ben.user });
    const socket = await socketClient(url(), ben);
    await socket.request('room:join', { room_id: own.id });
    const pair = { type: 'user2user', user_owner: ben.user, with: ana.user };
    const key = newKey();
    const { status, body } = await put(key, { ...pair, custom: { match: 7 } });
    expect(status).to.equal(200);
    expect(body.content.room).to.deep.include({ id: own.id, key, name: own.name, custom: { match: 7 } });
    expect(await socket.next('room:changed')).to.deep.nested.include({ 'room.custom': { match: 7 }, by: null });
    expectRefusal(await put(newKey(), pair), 'KEY_CONFLICT');
    expect((await put(key, pair)).status).to.equal(200);
  });

  it('refuses another type later', async () => {
    const { key } = await putKeyedRoom(url());
    const pair = { type: 'user2user', user_owner: createUser().user, with: createUser().user };
    expectRefusal(await put(key, pair), 'KEY_CONFLICT', 'type');
  });

  it('accepts every key of the allowed characters, and tells it from numbers and UUIDs', async () => {
    const { room } = await createRoomWithOwner(url());
    const ana = createUser();
    const rules = [rwOf(ana)];
    for (const key of [String(room.id), room.uuid, room.uuid.toUpperCase(), '...', '-', 'A_b.c-9', 'x'.repeat(128)]) {
      const keyed = await putKeyedRoom(url(), { rules }, key);
      expect(keyed.id).not.to.equal(room.id);
      const { body } = await rest(url(), ana.token).get(`/rooms/key:${key}`);
      expect(body.content.room.id, key).to.equal(keyed.id);
      await admin(url()).delete(`/admin/rooms/key:${key}`);
    }
  });

  const refusedKeys = ['.', '..', '', 'x'.repeat(129), 'a%20b', 'a%2Fb', 'é', 'a:b', 'a%00'];
  for (const key of refusedKeys) {
    it(`refuses the key ${key.slice(0, 10) || 'without characters'}, on the public transports, too`, async () => {
      const { token } = createUser();
      expectRefusal(await put(key, { name: 'x' }), 'BAD_REQUEST', 'id');
      expectRefusal(await rest(url(), token).get(`/rooms/key:${key}`), 'BAD_REQUEST', 'id');
      const socket = await socketClient(url(), { token });
      const { error } = await socket.request('room:join', { room_id: `key:${decodeURIComponent(key)}` });
      expect(error).to.include({ code: 'BAD_REQUEST', field: 'room_id' });
    });
  }

  it('refuses to put a room by its number, its UUID or a bare key', async () => {
    const room = await putKeyedRoom(url());
    for (const ref of [room.id, room.uuid, room.key, `KEY:${room.key}`]) {
      expectRefusal(await admin(url()).put(`/admin/rooms/${ref}`, { name: 'x' }), 'BAD_REQUEST', 'id');
    }
  });

  const [ana, ben] = [createUser().user, createUser().user];
  const refusals: [field: string, input: object][] = [
    ['name', {}],
    ['name', { name: '' }],
    ['type', { name: 'x', type: 'channel' }],
    ['with', { name: 'x', with: ana }],
    ['user_owner', { name: 'x', type: 'user2user', with: ana }],
    ['with', { name: 'x', type: 'user2user', user_owner: ana }],
    ['with', { name: 'x', type: 'user2user', user_owner: ana, with: ana }],
    ['entity_owner', { name: 'x', type: 'user2user', user_owner: ana, with: ben, entity_owner: ana }],
    ['rules.0', { name: 'x', type: 'user2user', user_owner: ana, with: ben, rules: [rwOf(createUser())] }],
    [
      'rules.0.entityUUID',
      { name: 'x', type: 'user2user', user_owner: ana, with: ben, rules: [{ entityUUID: ana, permissions: 'r' }] },
    ],
    ['createdAt', { name: 'x', createdAt: '2999-01-01' }],
    ['createdAt', { name: 'x', createdAt: 1_700_000_000 }],
    ['max_entity_rules', { name: 'x', max_entity_rules: 1_000_000 }],
    ['custom', { name: 'x', custom: { large: 'x'.repeat(1_100) } }],
    ['rules.0.permissions', { name: 'x', rules: [{ userUUID: ana }] }],
    ['rules.0.permissions', { name: 'x', rules: [{ userUUID: ana, permissions: null }] }],
    [
      'rules.1',
      {
        name: 'x',
        rules: [
          { userUUID: ana, permissions: 'r' },
          { entityUUID: ana, permissions: 'r' },
        ],
      },
    ],
    ['rules.0.userUUID', { name: 'x', rules: [{ permissions: 'r' }] }],
    ['rules.0.userUUID', { name: 'x', rules: [{ userUUID: ana, entityUUID: ben, permissions: 'r' }] }],
    ['rules', { name: 'x', rules: Array.from({ length: 1_001 }, () => rwOf(createUser())) }],
  ];
  for (const [field, input] of refusals) {
    it(`refuses a new room with ${JSON.stringify(input).slice(0, 100)}, naming ${field}`, async () => {
      expectRefusal(await put(newKey(), input), 'BAD_REQUEST', field);
    });
  }

  it('refuses an unknown key of the body that looks like a known one, and reports others', async () => {
    expectRefusal(await put(newKey(), { name: 'x', userOwner: ana }), 'BAD_REQUEST', 'userOwner');
    expect((await put(newKey(), { name: 'x', colour: 'red' })).body.meta.ignored).to.deep.equal(['colour']);
  });
});

describeOneWiring('GET, PATCH and DELETE /admin/rooms', ({ url }) => {
  const list = async (query: string): Promise<Json> => (await admin(url()).get(`/admin/rooms?${query}`)).body;
  const idsOf = ({ content }: Json): number[] => content.map(({ id }: Json) => id);

  it('lists rooms by user, entity and prefix of the key, page by page', async () => {
    const prefix = newKey();
    const [ana, entity] = [createUser(), randomUUID()];
    const inputs = [
      { rules: [rwOf(ana)] },
      { entity_owner: entity },
      { rules: [rwOf(ana), { entityUUID: entity, permissions: 'r' }] },
    ];
    const rooms: Json[] = [];
    for (const [n, input] of inputs.entries()) rooms.push(await putKeyedRoom(url(), input, `${prefix}.${n}`));
    await putKeyedRoom(url(), {}, `${prefix.slice(0, -1)}`);
    const own = await createRoom(url(), createUser({ level: 100, entity }));
    const [first, second, third] = rooms.map(({ id }) => id);
    expect(idsOf(await list(`key_prefix=${prefix}`))).to.deep.equal([first, second, third]);
    expect(idsOf(await list(`user=${ana.user}`))).to.deep.equal([first, third]);
    expect(idsOf(await list(`entity=${entity}`))).to.deep.equal([second, third, own.id]);
    expect(idsOf(await list(`entity=${entity}&user=${ana.user}&key_prefix=${prefix}`))).to.deep.equal([third]);
    expect(idsOf(await list(`key_prefix=${prefix}_`))).to.deep.equal([]);
    const page = await list(`key_prefix=${prefix}&limit=2`);
    expect(page.meta.next).to.equal(second);
    const last = await list(`key_prefix=${prefix}&limit=2&after=${page.meta.next}`);
    expect([idsOf(last), last.meta.next]).to.deep.equal([[third], null]);
    expect(page.content[0]).to.deep.equal(rooms[0]);
    expect((await list(`after=${own.id - 1}&limit=1`)).content[0]).to.deep.equal({ ...own, key: null });
    for (const field of ['user', 'entity', 'key_prefix', 'after', 'limit']) {
      expectRefusal(await admin(url()).get(`/admin/rooms?${field}=%2F`), 'BAD_REQUEST', field);
    }
  });

  it('reads, changes and deletes a room by number, UUID or key, above the rules, with by null', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const keyed = await putKeyedRoom(url(), { rules: [rwOf(owner)] });
    const socket = await socketClient(url(), owner);
    await socket.request('room:join', { room_id: room.id });
    for (const [n, ref] of [room.id, room.uuid].entries()) {
      const { body } = await admin(url()).patch(`/admin/rooms/${ref}`, { level_admin: n, max_entity_rules: 1 });
      expect(body.content.room).to.deep.include({ id: room.id, key: null, level_admin: n, max_entity_rules: 1 });
      expect(await socket.next('room:changed')).to.deep.include({ by: null });
    }
    const { body } = await admin(url()).get(`/admin/rooms/key:${keyed.key}`);
    expect(body.content.room).to.deep.equal(keyed);
    expect(body.content.rules).to.have.length(1);
    expectRefusal(await admin(url()).patch(`/admin/rooms/${room.id}`, {}), 'BAD_REQUEST');
    expect((await socket.request('room:join', { room_id: `key:${keyed.key}` })).room.id).to.equal(keyed.id);
    expect((await admin(url()).delete(`/admin/rooms/key:${keyed.key}`)).status).to.equal(200);
    expect(await socket.next('room:removed')).to.include({ room_id: keyed.id, code: 'ROOM_DELETED' });
    expectRefusal(await rest(url(), owner.token).get(`/rooms/key:${keyed.key}`), 'NOT_FOUND');
    const again = await putKeyedRoom(url(), { rules: [rwOf(owner)] }, keyed.key);
    expect(again.id).to.be.above(keyed.id);
    const { body: found } = await rest(url(), owner.token).get(`/rooms/key:${keyed.key}`);
    expect(found.content.room.id).to.equal(again.id);
    expect((await socket.request('room:join', { room_id: `key:${keyed.key}` })).room.id).to.equal(again.id);
  });

  it('answers a room that does not exist with NOT_FOUND', async () => {
    for (const ref of [9_007_199_254_740_991, randomUUID(), `key:${newKey()}`]) {
      expectRefusal(await admin(url()).get(`/admin/rooms/${ref}`), 'NOT_FOUND');
      expectRefusal(await admin(url()).patch(`/admin/rooms/${ref}`, { name: 'x' }), 'NOT_FOUND');
      expectRefusal(await admin(url()).delete(`/admin/rooms/${ref}`), 'NOT_FOUND');
      expectRefusal(await admin(url()).put(`/admin/rooms/${ref}/members`, { rules: [] }), 'NOT_FOUND');
    }
  });
});

describe('the audit log of the server API', () => {
  it('records changes of the backend without a user, and calls with the room', async () => {
    const log = captureLog();
    const { url } = await startNode(postgres, {}, undefined, log.logger);
    const { id, key } = await putKeyedRoom(url, { level_admin: 1 });
    const ana = createUser();
    await admin(url).put(`/admin/rooms/${id}/members`, { rules: [{ userUUID: ana.user, permissions: 'b' }] });
    await admin(url).put(`/admin/rooms/key:${key}`, { level_admin: 2 });
    await admin(url).delete(`/admin/rooms/${id}`);
    const by = { room_id: id, actor: null, actor_entity: null };
    expect(log.startingWith('member banned')[0]).to.deep.include({ ...by, grantee: ana.user, kind: 'user' });
    expect(log.startingWith('level_admin changed')[0]).to.deep.include({ ...by, from: 1, to: 2 });
    expect(log.startingWith('room deleted')[0]).to.deep.include(by);
    const calls = log.startingWith('admin call').map(({ operation, room, status }) => [operation, room, status]);
    expect(calls.slice(0, 3)).to.deep.equal([
      ['adminPutRoom', `key:${key}`, 201],
      ['adminPutMembers', String(id), 200],
      ['adminPutRoom', `key:${key}`, 200],
    ]);
  });
});
