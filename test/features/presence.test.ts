import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { type Context, describeBothDatabases, describeOneWiring } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser, withClaims } from '../helpers/users.ts';

/** Durations that tests can wait for; the node uses them in place of seconds. */
const fast = { graceMs: 400, eventMs: 50 };
const withFast =
  (timeouts: Record<string, number> = fast): Parameters<Context['startNode']>[1] =>
  (config) => ({ ...config, timeouts: { presence: timeouts } });

async function joinSocket(url: string, person: TestUser, room_id: number, options: object = {}) {
  const socket = await socketClient(url, person);
  const ack = await socket.request('room:join', { room_id, ...options });
  expect(ack).to.include({ ok: true });
  return Object.assign(socket, { ack });
}

/** The users of the next event that fits; what came before it is skipped. */
async function expectUsers(socket: SocketClient, ...people: TestUser[]): Promise<Json> {
  const wanted = people.map(({ user }) => user).sort();
  for (;;) {
    const event = await socket.next('presence:changed');
    if (JSON.stringify(event.users) === JSON.stringify(wanted)) return event;
  }
}

async function sendFence(url: string, { token }: TestUser, room_id: number, socket: SocketClient) {
  const { body } = await rest(url, token).post(`/rooms/${room_id}/messages`, { content: 'fence' });
  while ((await socket.next('message:new')).seq !== body.content.seq);
}

const presenceIn = ({ unread }: SocketClient) => unread.filter(({ name }) => name === 'presence:changed');

describeBothDatabases('presence', ({ url, wiring }) => {
  async function setUp() {
    const { owner, room } = await createRoomWithOwner(url());
    return { owner, room, room_id: room.id as number, person: await createMember(url(), owner, room) };
  }
  const isComplete = wiring.nodes > 1;

  it('answers a join with the users who are present, and sends later sets of all nodes and transports', async () => {
    const { owner, room, room_id, person } = await setUp();
    const observer = await joinSocket(url(), owner, room_id, { presence: true });
    expect(observer.ack.presence).to.deep.include({ count: 1, users: [owner.user] });
    await joinSocket(url(), person, room_id);
    const both = await expectUsers(observer, owner, person);
    expect(both).to.deep.include({ room_id, count: 2 });
    const third = await createMember(url(), owner, room);
    await chatInRoom(url(), third, room_id);
    const all = await expectUsers(observer, owner, person, third);
    expect(all.count).to.equal(3);
    // A node without Redis cannot know whether others exist.
    expect(all.partial).to.equal(isComplete ? undefined : true);
  });

  it('counts a user once, whatever connections the user has', async () => {
    const { owner, room_id, person } = await setUp();
    const observer = await joinSocket(url(), owner, room_id, { presence: true });
    for (let n = 0; n < 4; n++) await joinSocket(url(), person, room_id);
    expect(await expectUsers(observer, owner, person)).to.have.property('count', 2);
    const { body } = await rest(url(), person.token).get(`/rooms/${room_id}/presence`);
    expect(body.content.count).to.equal(2);
  });

  it('sends presence:changed only to connections that asked for it in their last join', async () => {
    const { owner, room_id, person } = await setUp();
    const silent = await joinSocket(url(), owner, room_id);
    expect(silent.ack).to.not.have.property('presence');
    const observer = await joinSocket(url(), owner, room_id, { presence: true });
    const former = await joinSocket(url(), owner, room_id, { presence: true });
    expect(await former.request('room:join', { room_id })).to.include({ ok: true });
    await sendFence(url(), owner, room_id, former);
    const before = presenceIn(former).length;
    await joinSocket(url(), person, room_id);
    await expectUsers(observer, owner, person);
    await sendFence(url(), owner, room_id, silent);
    await sendFence(url(), owner, room_id, former);
    expect(presenceIn(silent)).to.deep.equal([]);
    expect(presenceIn(former).length).to.equal(before);
  });

  it('answers REST readers on every node, and nobody else', async () => {
    const { owner, room_id, person } = await setUp();
    await joinSocket(url(), owner, room_id);
    await joinSocket(url(), person, room_id);
    for (let n = 0; n < 2; n++) {
      const { status, body } = await rest(url(), person.token).get(`/rooms/${room_id}/presence`);
      expect(status).to.equal(200);
      expect(body.content).to.deep.equal({
        ...{ count: 2, users: [owner.user, person.user].sort() },
        ...(!isComplete && { partial: true }),
      });
    }
    expectRefusal(await rest(url(), createUser().token).get(`/rooms/${room_id}/presence`), 'NOT_FOUND');
    await putRule(url(), owner, { id: room_id }, { userUUID: person.user, permissions: 'b' });
    expectRefusal(await rest(url(), person.token).get(`/rooms/${room_id}/presence`), 'BANNED');
  });

  it('removes a banned user at once, with or without a connection', async () => {
    const { owner, room, room_id, person } = await setUp();
    const observer = await joinSocket(url(), owner, room_id, { presence: true });
    const other = await createMember(url(), owner, room);
    await joinSocket(url(), person, room_id);
    (await joinSocket(url(), other, room_id)).close();
    await expectUsers(observer, owner, person, other);
    for (const { user } of [person, other]) await putRule(url(), owner, room, { userUUID: user, permissions: 'b' });
    // On these nodes, a user whose connection is lost remains present for an hour.
    await expectUsers(observer, owner);
  });

  it('neither shows nor counts a user whose token has the scope presence:hidden', async () => {
    const { owner, room_id, person } = await setUp();
    const hidden = withClaims(owner, { scope: 'rooms:create presence:hidden' });
    const observer = await joinSocket(url(), hidden, room_id, { presence: true });
    expect(observer.ack.presence).to.deep.include({ count: 0, users: [] });
    await joinSocket(url(), person, room_id);
    expect(await expectUsers(observer, person)).to.have.property('count', 1);
    await observer.request('token:refresh', { token: owner.token });
    expect(await expectUsers(observer, owner, person)).to.have.property('count', 2);
  });

  it('refuses an option that is no boolean, and names it', async () => {
    const { owner, room_id } = await setUp();
    const socket = await socketClient(url(), owner);
    const { error } = await socket.request('room:join', { room_id, presence: 'yes' });
    expect(error).to.include({ code: 'BAD_REQUEST', field: 'presence' });
    expect(await socket.request('room:join', { room_id, presence: false })).to.not.have.property('presence');
  });
});

describeOneWiring('presence on one node', ({ url, startNode }) => {
  it('keeps a user for a while who lost the connection, and longer if they return', async () => {
    const graceMs = 2_000;
    const node = await startNode({}, withFast({ graceMs, eventMs: 50 }));
    const { owner, room } = await createRoomWithOwner(node.url);
    const [person, other] = [
      await createMember(node.url, owner, room),
      await createMember(node.url, owner, room),
    ] as const;
    const observer = await joinSocket(node.url, owner, room.id, { presence: true });
    const first = await joinSocket(node.url, person, room.id);
    const leaver = await joinSocket(node.url, other, room.id);
    await expectUsers(observer, owner, person, other);
    first.close();
    await first.closed;
    await joinSocket(node.url, person, room.id);
    const leftAt = performance.now();
    await leaver.request('room:leave', { room_id: room.id });
    const { users } = await observer.next('presence:changed');
    expect(performance.now() - leftAt).to.be.at.least(graceMs - 10);
    expect(users, 'the user has returned').to.deep.equal([owner.user, person.user].sort());
  });

  it('sends a set again that became another one and back while somebody began to follow the room', async () => {
    const node = await startNode({}, withFast({ graceMs: 0, eventMs: 1_500 }));
    const { owner, room } = await createRoomWithOwner(node.url);
    const person = await createMember(node.url, owner, room);
    const observer = await joinSocket(node.url, owner, room.id, { presence: true });
    const first = await joinSocket(node.url, person, room.id);
    await expectUsers(observer, owner, person);
    await first.request('room:leave', { room_id: room.id });
    let second = await joinSocket(node.url, owner, room.id, { presence: true });
    while (second.ack.presence.count === 2) second = await joinSocket(node.url, owner, room.id, { presence: true });
    await first.request('room:join', { room_id: room.id });
    await expectUsers(second, owner, person);
  });

  it('sends the first change at once, then at most one per interval, and always the last', async () => {
    const node = await startNode({}, withFast({ graceMs: 0, eventMs: 700 }));
    const { owner, room } = await createRoomWithOwner(node.url, { max_entity_rules: 20 });
    const observer = await joinSocket(node.url, owner, room.id, { presence: true });
    await sendFence(node.url, owner, room.id, observer);
    const people = await Promise.all(Array.from({ length: 6 }, () => createMember(node.url, owner, room)));
    await new Promise((resolve) => setTimeout(resolve, 800));
    let events = 0;
    observer.raw.on('presence:changed', () => {
      events += 1;
    });
    const startedAt = performance.now();
    for (const person of people) await joinSocket(node.url, person, room.id);
    await expectUsers(observer, owner, ...people);
    expect(events).to.be.at.most(2 + Math.floor((performance.now() - startedAt) / 700));
    expect(presenceIn(observer)).to.deep.equal([]);
  });

  it('counts more than 100 users without naming them', async function () {
    this.timeout(60_000);
    const node = await startNode({}, withFast());
    const entity = createUser().user;
    const owner = createUser({ level: 100, entity });
    const { body } = await rest(node.url, owner.token).post('/rooms', { name: 'crowd' });
    const { room } = body.content;
    await putRule(node.url, owner, room, { entityUUID: entity, permissions: 'rw', level: 0 });
    const observer = await joinSocket(node.url, owner, room.id, { presence: true });
    const crowd: SocketClient[] = [];
    for (let n = 0; n < 100; n++) crowd.push(await joinSocket(node.url, createUser({ entity }), room.id));
    let last: Json;
    while (last?.count !== 101) last = await observer.next('presence:changed');
    expect(last).to.not.have.property('users');
    crowd[0]!.close();
    while (last?.count !== 100) last = await observer.next('presence:changed');
    expect(last.users).to.have.lengthOf(100);
  });

  it('answers null with PRESENCE=off, and sends no event', async () => {
    const node = await startNode({ PRESENCE: 'off' });
    const { owner, room } = await createRoomWithOwner(node.url);
    const observer = await joinSocket(node.url, owner, room.id, { presence: true });
    expect(observer.ack.presence).to.equal(null);
    const { body } = await rest(node.url, owner.token).get(`/rooms/${room.id}/presence`);
    expect(body.content).to.equal(null);
    await joinSocket(node.url, await createMember(node.url, owner, room), room.id);
    await sendFence(node.url, owner, room.id, observer);
    expect(presenceIn(observer)).to.deep.equal([]);
  });

  it('sends nothing of a room that the connection has left or been removed from', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const observer = await joinSocket(url(), owner, room.id, { presence: true });
    const person = await createMember(url(), owner, room);
    const removed = await joinSocket(url(), person, room.id, { presence: true });
    const left = await joinSocket(url(), person, room.id, { presence: true });
    await left.request('room:leave', { room_id: room.id });
    await putRule(url(), owner, room, { userUUID: person.user, permissions: 'b' });
    await removed.next('room:removed');
    await expectUsers(observer, owner);
    for (const socket of [left, removed]) {
      const seen = presenceIn(socket).length;
      await joinSocket(url(), await createMember(url(), owner, room), room.id);
      let event: Json;
      while (event?.count !== 2 && event?.count !== 3) event = await observer.next('presence:changed');
      await socket.request('room:leave', { room_id: room.id });
      expect(presenceIn(socket).length).to.equal(seen);
    }
  });
});
