import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { putKeyedRoom } from '../helpers/admin-rooms.ts';
import { chatInRoom } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { describeEveryWiring, describeOneWiring } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { admin } from '../helpers/revocations.ts';
import { createRoom, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

const ruleOf = ({ user }: Pick<TestUser, 'user'>, permissions: string | null = 'rw') => ({
  userUUID: user,
  permissions,
});
const createUsers = (count: number) => Array.from({ length: count }, () => createUser());

const put = (url: string, room: { id: number | string }, rules: object[], replace = false) =>
  admin(url).put(`/admin/rooms/${room.id}/members`, { rules, replace });

/** The rules of the room, each as text, in the order of their grantees. */
async function rulesOf(url: string, { id }: Json): Promise<string[]> {
  const { rules } = (await admin(url).get(`/admin/rooms/${id}`)).body.content;
  const texts = rules.map(({ entity_UUID, kind, permissions, level, accepted, declined }: Json) =>
    [entity_UUID, kind, permissions, level, accepted ? 'accepted' : declined ? 'declined' : 'open'].join(' '),
  );
  return texts.sort();
}

async function revOf(url: string, room: Json, { token }: TestUser): Promise<number> {
  return (await rest(url, token).get(`/rooms/${room.id}/messages?limit=1`)).body.meta.rev;
}

describeEveryWiring('PUT /admin/rooms/:id/members, live', ({ url, urls }) => {
  it('bans and removes members at once on all nodes, and announces every change in order with by null', async () => {
    const [ana, ben, carl, dan] = createUsers(4) as [TestUser, TestUser, TestUser, TestUser];
    const room = await putKeyedRoom(url(), { rules: [ana, ben, carl].map((user) => ruleOf(user)) });
    const [first, last] = [urls()[0]!, urls().at(-1)!];
    const [witness, banned, removed] = [
      await socketClient(last, ana),
      await socketClient(last, ben),
      await chatInRoom(last, carl, room.id),
    ];
    for (const socket of [witness, banned]) await socket.request('room:join', { room_id: room.id });
    const before = await witness.request('room:join', { room_id: room.id });
    const { status, body } = await put(first, room, [ruleOf(ben, 'b'), ruleOf(ana), ruleOf(dan, 'r')], true);
    expect({ status, content: body.content }).to.deep.equal({
      status: 200,
      content: { added: 1, changed: 1, removed: 1 },
    });
    expect(await banned.next('room:removed')).to.include({ code: 'BANNED' });
    expect(await removed.skipTo(({ data }) => data === 'NOTAUTHORIZED')).to.include({ reason: 'RULE_REMOVED' });
    const changes: Json[] = [];
    while (changes.at(-1)?.rev !== before.rev + 3) changes.push(await witness.next('member:changed'));
    const seen = changes.filter(({ rev }) => rev > before.rev);
    expect(seen.map(({ rev }) => rev - before.rev)).to.deep.equal([1, 2, 3]);
    const announced = seen.map(({ entity_UUID, permissions, by }) => [entity_UUID, permissions, by]);
    expect(announced).to.deep.equal([
      [dan.user, 'r', null],
      [ben.user, 'b', null],
      [carl.user, null, null],
    ]);
    expectRefusal(await rest(last, ben.token).post(`/rooms/${room.id}/messages`, { content: 'x' }), 'BANNED');
  });

  it('stores 1,000 rules of a room that nobody has joined', async () => {
    const users = createUsers(1_000);
    const room = await putKeyedRoom(url());
    const rules = users.map((user) => ruleOf(user));
    expect((await put(url(), room, rules)).body.content).to.deep.equal({ added: 1_000, changed: 0, removed: 0 });
    expect((await put(url(), room, rules, true)).body.content).to.deep.equal({ added: 0, changed: 0, removed: 0 });
    const { body } = await rest(url(), users[999]!.token).get(`/rooms/${room.id}/messages`);
    expect(body.meta.rev).to.equal(1_000);
    expect((await put(url(), room, rules.slice(0, 1), true)).body.content).to.include({ removed: 999 });
  });
});

describeOneWiring('PUT /admin/rooms/:id/members', ({ url, startNode }) => {
  it('adds, changes and removes only what differs, and keeps absent fields', async () => {
    const [ana, ben, carl] = createUsers(3) as [TestUser, TestUser, TestUser];
    const entity = randomUUID();
    const room = await putKeyedRoom(url(), {
      rules: [
        { ...ruleOf(ana, 'rwa'), accepted: true },
        ruleOf(ben),
        { entityUUID: entity, permissions: 'r', level: 50 },
      ],
    });
    const rev = await revOf(url(), room, ana);
    const list = [
      { userUUID: ana.user },
      { userUUID: ben.user, accepted: true },
      { entity_UUID: entity, level: 60 },
      { ...ruleOf(carl, 'wr'), accepted: false },
    ];
    expect((await put(url(), room, list)).body.content).to.deep.equal({ added: 1, changed: 2, removed: 0 });
    expect(await rulesOf(url(), room)).to.deep.equal(
      [
        `${ana.user} user rwa 0 accepted`,
        `${ben.user} user rw 0 accepted`,
        `${entity} entity r 60 open`,
        `${carl.user} user rw 0 declined`,
      ].sort(),
    );
    expect(await revOf(url(), room, ana)).to.equal(rev + 3);
    expect((await put(url(), room, list)).body.content).to.deep.equal({ added: 0, changed: 0, removed: 0 });
    expect(await revOf(url(), room, ana)).to.equal(rev + 3);
    const removal = [ruleOf(ben, null), ruleOf(createUser(), null), { userUUID: carl.user, accepted: null }];
    expect((await put(url(), room, removal)).body.content).to.deep.equal({ added: 0, changed: 1, removed: 1 });
  });

  it('keeps a ban that the list does not name, and lifts one that it names', async () => {
    const [ana, ben, carl] = createUsers(3) as [TestUser, TestUser, TestUser];
    const rules = [ruleOf(ana), ruleOf(ben, 'rwb'), ruleOf(carl, 'b')];
    const room = await putKeyedRoom(url(), { rules });
    const { body } = await put(url(), room, [ruleOf(carl, 'r')], true);
    expect(body.content).to.deep.equal({ added: 0, changed: 1, removed: 1 });
    expect(await rulesOf(url(), room)).to.have.members([`${ben.user} user rwb 0 open`, `${carl.user} user r 0 open`]);
  });

  it('changes more than 400 rules of a joined room only in parts, and nothing if it refuses', async () => {
    const [ana, users] = [createUser(), createUsers(401)];
    const room = await putKeyedRoom(url(), { rules: [ruleOf(ana)] });
    const socket = await socketClient(url(), ana);
    await socket.request('room:join', { room_id: room.id });
    const rules = users.map((user) => ruleOf(user));
    expectRefusal(await put(url(), room, rules), 'TOO_MANY_CHANGES');
    const { cursor } = await socket.request('room:join', { room_id: room.id });
    expect(await rulesOf(url(), room)).to.have.length(1);
    expect((await put(url(), room, rules.slice(0, 400))).body.content).to.include({ added: 400 });
    // A client that was disconnected meanwhile recovers.
    const again = await socketClient(url(), ana);
    const joined = await again.request('room:join', { room_id: room.id, since: cursor });
    expect(joined).to.include({ recovered: true }).and.have.property('events').with.length(400);
    expect((await put(url(), room, rules)).body.content).to.include({ added: 1 });
  });

  it('counts a room as joined if a connection is in it, although no rule is accepted', async () => {
    const entity = randomUUID();
    const room = await putKeyedRoom(url(), { rules: [{ entityUUID: entity, permissions: 'r' }] });
    const socket = await socketClient(url(), createUser({ entity, level: 1 }));
    expect(await socket.request('room:join', { room_id: room.id })).to.include({ ok: true });
    const rules = createUsers(401).map((user) => ruleOf(user));
    expectRefusal(await put(url(), room, rules), 'TOO_MANY_CHANGES');
  });

  it('leaves a member in the room whose access moves from one rule to another', async () => {
    const [entity, dan] = [randomUUID(), createUser()];
    const ana = createUser({ entity, level: 1 });
    const room = await putKeyedRoom(url(), { rules: [{ entityUUID: entity, permissions: 'rw' }, ruleOf(dan)] });
    const socket = await socketClient(url(), ana);
    await socket.request('room:join', { room_id: room.id });
    await put(url(), room, [{ entityUUID: entity, permissions: null }, ruleOf(ana)], true);
    for (const grantee of [ana.user, entity, dan.user]) {
      expect(await socket.next()).to.include({ entity_UUID: grantee });
    }
  });

  it('is above LAST_ADMIN, max_entity_rules and the protection of the owner', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { max_entity_rules: 2, open_to_entity: false });
    const users = createUsers(10);
    expect(
      (
        await put(
          url(),
          room,
          users.map((user) => ruleOf(user)),
        )
      ).body.content,
    ).to.include({ added: 10 });
    expect((await put(url(), room, [ruleOf(owner, 'b')])).body.content).to.include({ changed: 1 });
    expectRefusal(await rest(url(), owner.token).get(`/rooms/${room.id}`), 'BANNED');
    expect((await put(url(), room, [ruleOf(owner, null)])).body.content).to.include({ removed: 1 });
    expect((await put(url(), room, [], true)).body.content).to.deep.equal({ added: 0, changed: 0, removed: 10 });
    expect(await rulesOf(url(), room)).to.deep.equal([]);
  });

  it('is not above MAX_RULES_PER_ROOM, but may remove rules beyond it', async () => {
    const { url: small } = await startNode({ MAX_RULES_PER_ROOM: 3 });
    const room = await putKeyedRoom(small, { rules: createUsers(3).map((user) => ruleOf(user)) });
    expectRefusal(await put(small, room, [ruleOf(createUser())]), 'TOO_MANY_RULES');
    expect((await put(small, room, [ruleOf(createUser())], true)).body.content).to.include({ added: 1, removed: 3 });
  });

  it('keeps two users in a user2user room, whose rights it may revoke', async () => {
    const [ana, ben, carl] = createUsers(3) as [TestUser, TestUser, TestUser];
    const pair = await putKeyedRoom(url(), { type: 'user2user', user_owner: ana.user, with: ben.user });
    expectRefusal(await put(url(), pair, [ruleOf(carl)]), 'ROOM_FULL');
    const organisation = { entityUUID: randomUUID(), permissions: 'r' };
    expectRefusal(await put(url(), pair, [organisation]), 'BAD_REQUEST', 'rules.0.entityUUID');
    expect((await put(url(), pair, [ruleOf(ana, 'b')], true)).body.content).to.include({ changed: 1, removed: 1 });
    expect((await put(url(), pair, [{ entity_UUID: ben.user, permissions: 'r' }])).body.content.added).to.equal(1);
    expect(await rulesOf(url(), pair)).to.have.members([`${ana.user} user b 0 open`, `${ben.user} user r 0 open`]);
  });

  it('completes a pair with one user so far, unless the two already have a room', async () => {
    const owner = createUser({ level: 100 });
    const [ben, carl] = createUsers(2) as [TestUser, TestUser];
    const [half, other] = [
      await createRoom(url(), owner, { type: 'user2user' }),
      await createRoom(url(), owner, { type: 'user2user' }),
    ];
    expectRefusal(await put(url(), half, [ruleOf(ben), ruleOf(carl)]), 'ROOM_FULL');
    expect((await put(url(), half, [ruleOf(ben)])).body.content).to.include({ added: 1 });
    expectRefusal(await put(url(), half, [ruleOf(carl)]), 'ROOM_FULL');
    expectRefusal(await put(url(), other, [ruleOf(ben)]), 'PAIR_EXISTS');
  });

  it('counts what was sent before a rule as read', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'one', 'two');
    const ana = createUser();
    await put(url(), room, [ruleOf(ana)]);
    await sendMessages(url(), owner, room, 'three');
    const { body } = await rest(url(), ana.token).get('/rooms?inbox=true');
    expect(body.content[0]).to.include({ unread: 1 });
  });

  const refusals: [field: string, body: unknown][] = [
    ['', []],
    ['rules', {}],
    ['rules', { rules: {} }],
    ['rules', { rules: Array.from({ length: 1_001 }, () => ruleOf({ user: randomUUID() })) }],
    ['rules.0.permissions', { rules: [{ userUUID: randomUUID() }] }],
    ['rules.0.permissions', { rules: [{ userUUID: randomUUID(), permissions: 'x' }] }],
    ['rules.0.accepted', { rules: [{ userUUID: randomUUID(), permissions: 'r', accepted: 'yes' }] }],
    ['rules.0.userUUID', { rules: [{ permissions: 'r' }] }],
    ['rules.0.userUUID', { rules: [{ userUUID: 'ana', permissions: 'r' }] }],
    ['rules.0.permission', { rules: [{ userUUID: randomUUID(), permission: 'r' }] }],
    ['replace', { rules: [], replace: 'all' }],
  ];
  for (const [field, body] of refusals) {
    it(`refuses ${JSON.stringify(body).slice(0, 60)}, naming ${field || 'the body'}`, async () => {
      const room = await putKeyedRoom(url());
      const answer = await admin(url()).put(`/admin/rooms/${room.id}/members`, body);
      expectRefusal(answer, 'BAD_REQUEST', field || undefined);
    });
  }
});
