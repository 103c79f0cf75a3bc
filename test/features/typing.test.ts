import type { Socket } from 'node:net';
import { expect } from 'chai';
import { maxTypingConnections } from '../../src/features/typing/typing.ts';
import { chatInRoom } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { readMetrics } from '../helpers/metrics.ts';
import { describeBothDatabases, describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser, withClaims } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

async function joinSocket(url: string, person: TestUser, room_id: number): Promise<SocketClient> {
  const socket = await socketClient(url, person);
  expect(await socket.request('room:join', { room_id })).to.include({ ok: true });
  return socket;
}

/** Sends a message, and waits until all sockets have received it. */
async function sendFence(url: string, { token }: TestUser, room_id: number, ...sockets: SocketClient[]) {
  const { body } = await rest(url, token).post(`/rooms/${room_id}/messages`, { content: 'fence' });
  for (const socket of sockets) while ((await socket.next('message:new')).seq !== body.content.seq);
}

const typingIn = ({ unread }: SocketClient) =>
  unread.filter(({ name }) => name === 'typing:changed').map(({ payload }) => payload);

const accept = async (answer: Promise<Json>) => expect(await answer).to.include({ ok: true });

describeBothDatabases('typing', ({ url }) => {
  /** A room with a typist and an observer, which are on different nodes if the wiring has two. */
  async function setUp() {
    const { owner, room } = await createRoomWithOwner(url());
    const room_id: number = room.id;
    const person = await createMember(url(), owner, room);
    const typist = await joinSocket(url(), person, room_id);
    const observer = await joinSocket(url(), owner, room_id);
    // Afterwards, both nodes receive what the other one publishes in the room.
    await sendFence(url(), owner, room_id, typist, observer);
    await sendFence(url(), owner, room_id, typist, observer);
    const set = (typing: boolean, more: object = {}) => typist.request('typing:set', { room_id, typing, ...more });
    const event = (...users: object[]) => ({ room_id, users, count: users.length });
    return { owner, room, room_id, person, typist, observer, set, event, byPerson: { user: person.user } };
  }

  it('sends the whole set to everybody in the room, the typist included, and an empty set when typing stops', async () => {
    const { typist, observer, set, event, byPerson } = await setUp();
    expect(await set(true)).to.deep.equal({ ok: true });
    for (const socket of [typist, observer]) expect(await socket.next('typing:changed')).to.deep.equal(event(byPerson));
    await accept(set(false));
    for (const socket of [typist, observer]) expect(await socket.next('typing:changed')).to.deep.equal(event());
  });

  it('lists every typist with their thread, also those of other nodes', async () => {
    const { room_id, owner, typist, observer, set, event, byPerson } = await setUp();
    await accept(set(true, { thread: 4 }));
    await accept(observer.request('typing:set', { room_id, typing: true }));
    const both = event({ ...byPerson, thread: 4 }, { user: owner.user });
    for (const socket of [typist, observer]) {
      let last: Json;
      while (last?.count !== 2) last = await socket.next('typing:changed');
      expect(last.users).to.have.deep.members(both.users);
    }
  });

  it('sends the present set to a user who joins while somebody types', async () => {
    const { owner, room_id, observer, set, event, byPerson } = await setUp();
    await accept(set(true));
    await observer.next('typing:changed');
    const late = await joinSocket(url(), owner, room_id);
    const again = setInterval(() => void set(true), 1_100);
    expect(await late.next('typing:changed')).to.deep.equal(event(byPerson));
    clearInterval(again);
  });

  for (const how of ['leaves the room', 'disconnects', 'sends a message', 'loses the right to write'] as const) {
    it(`ends the typing of a user who ${how}`, async () => {
      const { owner, room, room_id, person, typist, observer, set, event, byPerson } = await setUp();
      await accept(set(true));
      expect(await observer.next('typing:changed')).to.deep.equal(event(byPerson));
      if (how === 'leaves the room') await accept(typist.request('room:leave', { room_id }));
      if (how === 'disconnects') typist.close();
      if (how === 'sends a message')
        await rest(url(), person.token).post(`/rooms/${room_id}/messages`, { content: '!' });
      if (how === 'loses the right to write')
        await putRule(url(), owner, room, { userUUID: person.user, permissions: 'r' });
      expect(await observer.next('typing:changed')).to.deep.equal(event());
      if (how !== 'loses the right to write') return;
      expect(await set(true)).to.have.nested.property('error.code', 'FORBIDDEN');
      expect(await set(false)).to.deep.equal({ ok: true });
    });
  }

  it('takes the command typing on /chat, and sends /chat clients no event', async () => {
    const { owner, room_id, person, observer, event, byPerson } = await setUp();
    const chat = await chatInRoom(url(), person, room_id);
    await sendFence(url(), owner, room_id, observer);
    await chat.next();
    chat.send({ type: 'typing', typing: true, id: 1 });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'OK', id: 1 });
    expect(await observer.next('typing:changed')).to.deep.equal(event(byPerson));
    chat.send({ type: 'typing', typing: false });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'OK' });
    expect(await observer.next('typing:changed')).to.deep.equal(event());
    await sendFence(url(), owner, room_id, observer);
    expect(await chat.next()).to.have.property('type', 'message');
    expect(chat.unread).to.deep.equal([]);
    chat.send({ type: 'typing', typing: 'yes', id: 2 });
    expect(await chat.next()).to.deep.include({ data: 'ERROR', reason: 'BAD_REQUEST', id: 2 });
  });

  it('refuses invalid input with the name of the field, and the connection goes on', async () => {
    const { room_id, typist, observer, set, event, byPerson } = await setUp();
    const refused: [payload: unknown, field: string | undefined][] = [
      [{ room_id, typing: 'yes' }, 'typing'],
      [{ room_id }, 'typing'],
      [{ typing: true }, 'room_id'],
      [{ room_id, typing: true, thread: 0 }, 'thread'],
      [{ room_id, typing: true, thread: '4' }, 'thread'],
      [{ room_id: 999_999_999, typing: true }, 'room_id'],
      [{ room_id: '00000000-0000-4000-8000-000000000000', typing: true }, 'room_id'],
      ['typing', undefined],
    ];
    for (const [payload, field] of refused) {
      const { error } = await typist.request('typing:set', payload);
      expect(error, JSON.stringify(payload)).to.include({ code: 'BAD_REQUEST' });
      expect(error.field).to.equal(field);
    }
    expect(await typist.request('typing:set', { room_id: 999_999_999, typing: false })).to.deep.equal({ ok: true });
    await accept(set(true));
    expect(await observer.next('typing:changed')).to.deep.equal(event(byPerson));
  });
});

describeOneWiring('typing on one node', ({ url, startNode }) => {
  async function setUp(to = url()) {
    const { owner, room } = await createRoomWithOwner(to);
    const room_id: number = room.id;
    const person = await createMember(to, owner, room);
    const [typist, observer] = [await joinSocket(to, person, room_id), await joinSocket(to, owner, room_id)];
    const set = (typing: boolean) => typist.request('typing:set', { room_id, typing });
    return { owner, room, room_id, person, typist, observer, set };
  }
  /** Sends no event again, unless the test wants that. */
  const startFastNode = (typing: Record<string, number>) =>
    startNode({}, (config) => ({ ...config, timeouts: { typing: { resendMs: 3_600_000, ...typing } } }));

  it('ends typing after the timeout unless the client repeats it', async () => {
    const node = await startFastNode({ endMs: 600, repeatMs: 10, eventMs: 10 });
    const { observer, set } = await setUp(node.url);
    await accept(set(true));
    expect(await observer.next('typing:changed')).to.have.property('count', 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const repeatedAt = performance.now();
    await accept(set(true));
    // On a very slow machine, it has already ended once. Without the repetition, it ends only then.
    let hasEnded = false;
    while (!hasEnded) {
      const { count } = await observer.next('typing:changed');
      hasEnded = count === 0 && performance.now() - repeatedAt >= 590;
    }
  });

  it('sends the last event again while somebody types, and three times after that, for congested connections', async () => {
    const node = await startFastNode({ eventMs: 1, resendMs: 50 });
    const { owner, room_id, observer, set } = await setUp(node.url);
    await accept(set(true));
    for (let n = 0; n < 5; n++) expect(await observer.next('typing:changed')).to.have.property('count', 1);
    await accept(set(false));
    let event = await observer.next('typing:changed');
    while (event.count === 1) event = await observer.next('typing:changed');
    for (let n = 0; n < 3; n++) expect(await observer.next('typing:changed')).to.deep.equal(event);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await sendFence(node.url, owner, room_id, observer);
    expect(typingIn(observer)).to.deep.equal([]);
  });

  it('ignores further `true` of a connection within a second, and never a `false`', async () => {
    const node = await startFastNode({ repeatMs: 3_600_000, eventMs: 1, endMs: 3_600_000 });
    const { owner, room_id, observer, set } = await setUp(node.url);
    await accept(set(true));
    expect(await observer.next('typing:changed')).to.have.property('count', 1);
    await accept(set(false));
    expect(await observer.next('typing:changed')).to.have.property('count', 0);
    await accept(set(true));
    await sendFence(node.url, owner, room_id, observer);
    expect(typingIn(observer)).to.deep.equal([]);
  });

  it('sends at most one event per interval, and always the last set', async () => {
    const node = await startFastNode({ repeatMs: 0, eventMs: 400 });
    const { observer, set, typist, room_id, owner } = await setUp(node.url);
    const startedAt = performance.now();
    for (let n = 0; n < 20; n++) await accept(set(n % 2 === 0));
    await accept(typist.request('typing:set', { room_id, typing: true, thread: 4 }));
    let events = 0;
    let last: Json;
    while (last?.users[0]?.thread !== 4) {
      last = await observer.next('typing:changed');
      events += 1;
    }
    expect(events).to.be.within(2, 2 + Math.floor((performance.now() - startedAt) / 400));
    await sendFence(node.url, owner, room_id, observer);
    expect(typingIn(observer)).to.deep.equal([]);
  });

  it('names 10 of many typists, and counts all', async () => {
    const node = await startFastNode({ endMs: 3_600_000 });
    const { owner, room } = await createRoomWithOwner(node.url, { max_entity_rules: 50 });
    const observer = await joinSocket(node.url, owner, room.id);
    for (let n = 0; n < 12; n++) {
      const typist = await joinSocket(node.url, await createMember(node.url, owner, room), room.id);
      await accept(typist.request('typing:set', { room_id: room.id, typing: true }));
    }
    let last: Json;
    while (last?.count !== 12) last = await observer.next('typing:changed');
    expect(new Set(last.users.map(({ user }: Json) => user)).size).to.equal(10);
  });

  it('counts a user once who types on two connections, until the last of them stops', async () => {
    const { person, room_id, observer, typist, set, owner } = await setUp();
    const second = await joinSocket(url(), person, room_id);
    await accept(set(true));
    await observer.next('typing:changed');
    await accept(second.request('typing:set', { room_id, typing: true }));
    typist.close();
    await sendFence(url(), owner, room_id, observer);
    expect(typingIn(observer)).to.deep.equal([]);
    await accept(second.request('typing:set', { room_id, typing: false }));
    expect(await observer.next('typing:changed')).to.deep.equal({ room_id, users: [], count: 0 });
  });

  it('ends the typing of a user whose fresh token may not write', async () => {
    const entity = createUser().user;
    const owner = createUser({ level: 100, entity });
    const { body } = await rest(url(), owner.token).post('/rooms', { name: 'levels', open_to_entity: false });
    const { room } = body.content;
    const guests = createUser().user;
    await putRule(url(), owner, room, { entityUUID: guests, permissions: 'rw', level: 50 });
    await putRule(url(), owner, room, { entityUUID: entity, permissions: 'r', level: 0 });
    const person = createUser({ entity: guests, level: 50 });
    const [typist, observer] = [await joinSocket(url(), person, room.id), await joinSocket(url(), owner, room.id)];
    await accept(typist.request('typing:set', { room_id: room.id, typing: true }));
    expect(await observer.next('typing:changed')).to.have.property('count', 1);
    await accept(
      typist.request('token:refresh', { token: withClaims(person, { entityUUID: entity, levelOnEntity: 0 }).token }),
    );
    expect(await observer.next('typing:changed')).to.have.property('count', 0);
  });

  it('sends nothing to a connection that does not read, and sends later events after it reads again', async () => {
    const node = await startNode({ MAX_SEND_BUFFER_BYTES: 0, MAX_CONTENT_BYTES: 60_000 }, (config) => ({
      ...config,
      timeouts: { typing: { resendMs: 3_600_000, endMs: 3_600_000 } },
    }));
    const { owner, room_id, observer, typist, set } = await setUp(node.url);
    const slow = await socketClient(node.url, owner, { transports: ['websocket'] });
    await accept(slow.request('room:join', { room_id }));
    const transport = slow.raw.io.engine.transport as unknown as { ws: { _socket: Socket } };
    transport.ws._socket.pause();
    const unsent = async () =>
      (await readMetrics(node.url)).get('nano_messaging_send_buffer_bytes{transport="socketio"}')!;
    const content = 'x'.repeat(50_000);
    while ((await unsent()) < 100_000) await accept(typist.request('message:send', { room_id, content }));
    await accept(set(true));
    expect(await observer.next('typing:changed')).to.have.property('count', 1);
    const drops = (await readMetrics(node.url)).get('nano_messaging_ephemeral_drops_total{to="socketio"}');
    expect(drops).to.equal(1);
    transport.ws._socket.resume();
    await sendFence(node.url, owner, room_id, slow);
    expect(typingIn(slow)).to.deep.equal([]);
    await accept(set(false));
    expect(await slow.next('typing:changed')).to.have.property('count', 0);
  });

  it('sends no event in a room with too many connections on the node, and ends the one that it has sent', async function () {
    this.timeout(60_000);
    const node = await startFastNode({ endMs: 3_600_000 });
    const { owner, room_id, observer, set } = await setUp(node.url);
    await accept(set(true));
    expect(await observer.next('typing:changed')).to.have.property('count', 1);
    const crowd: SocketClient[] = [];
    // Not all at once, because on a busy machine their requests would time out.
    while (crowd.length < maxTypingConnections - 1) {
      const count = Math.min(20, maxTypingConnections - 1 - crowd.length);
      crowd.push(...(await Promise.all(Array.from({ length: count }, () => joinSocket(node.url, owner, room_id)))));
    }
    await waitUntil('the set is empty', async () => typingIn(observer).at(-1)?.count === 0);
    const before = await readMetrics(node.url);
    await accept(set(false));
    await accept(observer.request('typing:set', { room_id, typing: true }));
    await sendFence(node.url, owner, room_id, observer);
    const after = await readMetrics(node.url);
    const emitted = 'nano_messaging_ephemeral_events_total{feature="typing"}';
    expect(after.get(emitted)).to.equal(before.get(emitted));
    for (const socket of crowd) socket.close();
  });
});
