import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { authenticatedChat, chatInRoom } from '../helpers/chat-client.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

describeBothDatabases('/chat select_room', ({ url }) => {
  const makeRoom = async (owner: TestUser) =>
    (await rest(url(), owner.token).post('/rooms', { name: 'select' })).body.content.room;
  const allow = (owner: TestUser, room: { id: number }, rule: object) =>
    rest(url(), owner.token).put(`/rooms/${room.id}/members`, rule);

  it('answers select_room with CONNECTED, the room, the rights and the position', async () => {
    const owner = createUser({ level: 100 });
    const room = await makeRoom(owner);
    const chat = await authenticatedChat(url(), owner);
    chat.send({ type: 'select_room', room_id: room.id, id: 'x' });
    const { cursor, ...connected } = await chat.next();
    const status = { type: 'status', data: 'CONNECTED' };
    expect(connected).to.deep.equal({ ...status, room_id: room.id, rights: 'rwa', rev: 0, recovered: false, id: 'x' });
    expect(cursor).to.be.a('string');
  });

  it('accepts the number of a room, its decimal string or its UUID', async () => {
    const owner = createUser({ level: 100 });
    const room = await makeRoom(owner);
    for (const room_id of [room.id, String(room.id), room.uuid, room.uuid.toUpperCase()]) {
      const chat = await authenticatedChat(url(), owner);
      chat.send({ type: 'select_room', room_id });
      expect(await chat.next()).to.include({ data: 'CONNECTED', room_id: room.id });
    }
  });

  const malformed: Record<string, (id: number) => unknown> = {
    'no room_id (it crashed the legacy service)': () => undefined,
    null: () => null,
    '"abc" (it crashed the legacy service)': () => 'abc',
    'a number with a leading zero (the legacy service published to another channel)': (id) => `0${id}`,
    'a list (the legacy service answered CONNECTED)': (id) => [id, id + 1],
    'a list of one': (id) => [id],
    'a fraction': (id) => id + 0.5,
    'a fraction in a string': (id) => `${id}.0`,
    'an object': (id) => ({ id }),
    'a negative number': (id) => -id,
    zero: () => 0,
    'a number beyond every integer': () => 1e300,
    'an empty string': () => '',
    true: () => true,
  };
  for (const [title, room_id] of Object.entries(malformed)) {
    it(`rejects a select_room with ${title} and keeps the connection usable`, async () => {
      const owner = createUser({ level: 100 });
      const room = await makeRoom(owner);
      const chat = await authenticatedChat(url(), owner);
      chat.send({ type: 'select_room', room_id: room_id(room.id) });
      expect(await chat.next()).to.include({ type: 'status', data: 'ERROR', reason: 'BAD_REQUEST' });
      chat.send({ type: 'select_room', room_id: room.id });
      expect(await chat.next()).to.include({ data: 'CONNECTED' });
    });
  }

  it('answers NOTAUTHORIZED both for rooms that do not exist and for rooms of others', async () => {
    const room = await makeRoom(createUser({ level: 100 }));
    const chat = await authenticatedChat(url(), createUser({ level: 100 }));
    for (const room_id of [room.id, room.uuid, 999_999_999, '9007199254740991', randomUUID()]) {
      chat.send({ type: 'select_room', room_id, id: 7 });
      const answer = await chat.next();
      expect(answer).to.include({ type: 'status', data: 'NOTAUTHORIZED', reason: 'NOT_FOUND', id: 7 });
    }
  });

  it('authorizes select_room by the rules: levels of organisations, bans and the letter `r`', async () => {
    const owner = createUser({ level: 100 });
    const room = await makeRoom(owner);
    const entity = randomUUID();
    await allow(owner, room, { entityUUID: entity, permissions: 'rw', level: 50 });
    const [banned, writer, high, rule999] = [
      createUser({ level: 100 }),
      createUser({ level: 100 }),
      createUser({ entity, level: 50 }),
      createUser({ level: 0 }),
    ];
    await allow(owner, room, { userUUID: banned.user, permissions: 'rwb' });
    await allow(owner, room, { userUUID: writer.user, permissions: 'w' });
    await allow(owner, room, { userUUID: rule999.user, permissions: 'r', level: '999' });
    const select = async (person: TestUser) => {
      const chat = await authenticatedChat(url(), person);
      chat.send({ type: 'select_room', room_id: room.id });
      const { data, reason, rights } = await chat.next();
      return [data, reason ?? rights];
    };
    expect(await select(high)).to.deep.equal(['CONNECTED', 'rw']);
    expect(await select(createUser({ entity, level: 49 }))).to.deep.equal(['NOTAUTHORIZED', 'FORBIDDEN']);
    expect(await select(banned)).to.deep.equal(['NOTAUTHORIZED', 'BANNED']);
    expect(await select(writer)).to.deep.equal(['NOTAUTHORIZED', 'FORBIDDEN']);
    expect(await select(rule999), "a user's rule does not ask for a level").to.deep.equal(['CONNECTED', 'r']);
  });

  it("accepts the user's own unanswered invitation", async () => {
    const [owner, guest] = [createUser({ level: 100 }), createUser({ level: 100 })];
    const room = await makeRoom(owner);
    await allow(owner, room, { entity_UUID: guest.user, permissions: 'rw' });
    const answerOf = async () => {
      const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}/members`);
      return body.content.find((rule: { entity_UUID: string }) => rule.entity_UUID === guest.user).accepted;
    };
    expect(await answerOf()).to.equal(false);
    await chatInRoom(url(), guest, room.id);
    expect(await answerOf()).to.equal(true);
  });

  it('leaves the previous room, whose messages no longer arrive (they did in the legacy service)', async () => {
    const owner = createUser({ level: 100 });
    const [a, b] = [await makeRoom(owner), await makeRoom(owner)];
    const [chat, inA, inB] = [
      await chatInRoom(url(), owner, a.id),
      await chatInRoom(url(), owner, a.id),
      await chatInRoom(url(), owner, b.id),
    ];
    chat.send({ type: 'select_room', room_id: b.id });
    expect(await chat.next()).to.include({ data: 'CONNECTED', room_id: b.id });
    inA.send({ type: 'message', content: 'into a' });
    expect(await inA.next()).to.nested.include({ 'data.content': 'into a' });
    inB.send({ type: 'message', content: 'into b' });
    expect(await chat.next()).to.nested.include({ 'data.content': 'into b', 'data.room_id': b.id });
  });

  for (const [title, room_id] of Object.entries({ 'of an unknown room': 999_999_999, 'that is malformed': 'abc' })) {
    it(`leaves the previous room after a select_room ${title}, too`, async () => {
      const owner = createUser({ level: 100 });
      const room = await makeRoom(owner);
      const [chat, other] = [await chatInRoom(url(), owner, room.id), await chatInRoom(url(), owner, room.id)];
      chat.send({ type: 'select_room', room_id });
      expect(await chat.next()).to.have.property('reason');
      other.send({ type: 'message', content: 'not for who has left' });
      expect(await other.next()).to.include({ type: 'message' });
      chat.send({ type: 'message', content: 'from nowhere' });
      expect(await chat.next()).to.include({ type: 'query', data: 'SELECTROOM?' });
    });
  }

  it('changes nothing if the current room is selected again: each message is echoed once and `since` is ignored', async () => {
    const owner = createUser({ level: 100 });
    const room = await makeRoom(owner);
    const chat = await authenticatedChat(url(), owner);
    chat.send({ type: 'select_room', room_id: room.id });
    const { cursor: since } = await chat.next();
    chat.send({ type: 'message', content: 'first' });
    expect(await chat.next()).to.nested.include({ 'data.content': 'first' });
    for (const room_id of [room.id, String(room.id), room.uuid]) {
      chat.send({ type: 'select_room', room_id, since });
      const again = await chat.next();
      expect(again).to.include({ data: 'CONNECTED', room_id: room.id, rights: 'rwa', rev: 1, recovered: false });
    }
    for (const content of ['second', 'third']) chat.send({ type: 'message', content });
    expect(await chat.next()).to.nested.include({ 'data.content': 'second' });
    expect(await chat.next()).to.nested.include({ 'data.content': 'third' });
  });

  it('sends no frames for changes of rules and of the room', async () => {
    const owner = createUser({ level: 100 });
    const room = await makeRoom(owner);
    const chat = await chatInRoom(url(), owner, room.id);
    await allow(owner, room, { userUUID: randomUUID(), permissions: 'rw' });
    await rest(url(), owner.token).patch(`/rooms/${room.id}`, { name: 'renamed' });
    chat.send({ type: 'message', content: 'fence' });
    const echo = await chat.next();
    expect(echo).to.nested.include({ 'data.content': 'fence', 'data.seq': 1 });
    expect(echo.rev, 'two changes of other kinds came between').to.equal(3);
  });
});
