import { expect } from 'chai';
import { authenticatedChat, chatInRoom } from '../helpers/chat-client.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

describeBothDatabases('/chat messages', ({ url }) => {
  const makeRoom = async (owner: TestUser) =>
    (await rest(url(), owner.token).post('/rooms', { name: 'messages' })).body.content.room;

  /** Creates a room and connects its owner. */
  async function alone() {
    const owner = createUser({ level: 100 });
    const room = await makeRoom(owner);
    return { owner, room, chat: await chatInRoom(url(), owner, room.id) };
  }

  it('echoes a message to its sender with all fields', async () => {
    const { owner, room, chat } = await alone();
    chat.send({ type: 'message', content: 'Fueled up and ready to go', client_msg_id: 'one' });
    const echo = await chat.next();
    expect(Object.keys(echo).sort()).to.deep.equal(['cursor', 'data', 'rev', 'type']);
    const { id, createdAt, updatedAt, ...data } = echo.data;
    const sent = { content: 'Fueled up and ready to go', client_msg_id: 'one' };
    expect(data).to.deep.equal({ ...sent, emitter: owner.user, room_id: room.id, seq: 1, version: echo.rev });
    expect(id).to.be.a('number');
    expect(new Date(createdAt).toISOString()).to.equal(createdAt);
    expect(new Date(updatedAt).toISOString()).to.equal(updatedAt);
  });

  it('delivers the same frame to everybody; only the frame of the sender has the id of the command', async () => {
    const { owner, room, chat } = await alone();
    const other = await chatInRoom(url(), owner, room.id);
    chat.send({ type: 'message', content: 'hello', id: 'mine' });
    const { id, ...echo } = await chat.next();
    expect(id).to.equal('mine');
    expect(await other.next()).to.deep.equal(echo);
  });

  it('uses `msg` of a message command if `content` is absent', async () => {
    const { chat } = await alone();
    chat.send({ type: 'message', msg: 'old clients' });
    expect(await chat.next()).to.nested.include({ 'data.content': 'old clients' });
    chat.send({ type: 'message', msg: 'old', content: 'new' });
    expect(await chat.next()).to.nested.include({ 'data.content': 'new' });
  });

  it('delivers and stores content exactly as it was sent', async () => {
    const { owner, room, chat } = await alone();
    const contents = [
      '👩‍👩‍👧‍👦 ñandú',
      '"\\\' --; drop table messages',
      '<img src=x onerror=alert(1)>',
      ' \n\t ',
      'a\u2028b',
      '\\u0000',
    ];
    for (const content of contents) {
      chat.send({ type: 'message', content });
      expect(await chat.next()).to.nested.include({ 'data.content': content });
    }
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}/messages`);
    expect(body.content.map((message: { content: string }) => message.content)).to.deep.equal(contents);
  });

  const malformed: Record<string, object> = {
    'an object as content (it crashed the legacy service)': { content: { text: 'x' } },
    'a list as content': { content: ['x'] },
    'a number as content (the legacy service stored a string)': { content: 42 },
    'true as content': { content: true },
    'null as content (the legacy service stored it)': { content: null },
    'no content': {},
    'empty content': { content: '' },
    'NUL in the content (the legacy service stored two characters)': { content: 'a\0b' },
    'half a surrogate pair': { content: '\ud83d' },
    'a client_msg_id with a blank': { content: 'x', client_msg_id: 'a b' },
    'a client_msg_id of 65 characters': { content: 'x', client_msg_id: 'x'.repeat(65) },
    'a client_msg_id that is a number': { content: 'x', client_msg_id: 7 },
  };
  for (const [title, fields] of Object.entries(malformed)) {
    it(`rejects a message with ${title} and keeps the connection open`, async () => {
      const { chat } = await alone();
      chat.send({ type: 'message', ...fields, id: 1 });
      const refusal = await chat.next();
      expect(refusal).to.include({ type: 'status', data: 'ERROR', reason: 'BAD_REQUEST', id: 1 });
      chat.send({ type: 'message', content: 'fence' });
      expect(await chat.next()).to.nested.include({ 'data.content': 'fence', 'data.seq': 1 });
    });
  }

  it('accepts messages of more than 255 characters (they crashed the legacy service)', async () => {
    const { chat } = await alone();
    chat.send({ type: 'message', content: 'x'.repeat(256) });
    expect(await chat.next()).to.nested.include({ 'data.content': 'x'.repeat(256) });
  });

  it('answers a message outside a room with SELECTROOM?', async () => {
    const chat = await authenticatedChat(url(), createUser({ level: 100 }));
    chat.send({ type: 'message', content: 'x', id: 5 });
    expect(await chat.next()).to.deep.equal({ type: 'query', data: 'SELECTROOM?', id: 5 });
  });

  it('answers a message from a user without `w` with NOTAUTHORIZED', async () => {
    const { owner, room, chat } = await alone();
    const reader = createUser({ level: 100 });
    await rest(url(), owner.token).put(`/rooms/${room.id}/members`, { userUUID: reader.user, permissions: 'r' });
    const reading = await chatInRoom(url(), reader, room.id);
    reading.send({ type: 'message', content: 'x', id: 5 });
    expect(await reading.next()).to.include({ type: 'status', data: 'NOTAUTHORIZED', reason: 'FORBIDDEN', id: 5 });
    chat.send({ type: 'message', content: 'to the reader' });
    expect(await reading.next()).to.nested.include({ 'data.content': 'to the reader', 'data.seq': 1 });
  });

  it('answers a retry with the same client_msg_id with the first message as a duplicate, to the sender alone', async () => {
    const { owner, room, chat } = await alone();
    const other = await chatInRoom(url(), owner, room.id);
    const command = { type: 'message', content: 'once', client_msg_id: 'same' };
    chat.send(command);
    const first = await chat.next();
    expect(await other.next()).to.deep.equal(first);
    chat.send({ ...command, id: 'again' });
    expect(await chat.next()).to.deep.equal({ ...first, duplicate: true, id: 'again' });
    chat.send({ type: 'message', content: 'fence' });
    expect(await other.next()).to.nested.include({ 'data.content': 'fence', 'data.seq': 2 });
  });

  it('stores messages with the same client_msg_id in one burst once', async () => {
    const { chat } = await alone();
    for (let n = 0; n < 5; n++) chat.send({ type: 'message', content: 'once', client_msg_id: 'same', id: n });
    const frames = [];
    for (let n = 0; n < 5; n++) frames.push(await chat.next());
    expect(frames.filter(({ duplicate }) => duplicate)).to.have.length(4);
    expect(frames.map(({ data }) => data.seq)).to.deep.equal([1, 1, 1, 1, 1]);
    expect(frames.map(({ id }) => id).sort()).to.deep.equal([0, 1, 2, 3, 4]);
  });

  it('rejects different content under a used client_msg_id with ID_REUSED', async () => {
    const { chat } = await alone();
    chat.send({ type: 'message', content: 'one', client_msg_id: 'same' });
    await chat.next();
    chat.send({ type: 'message', content: 'two', client_msg_id: 'same' });
    expect(await chat.next()).to.include({ data: 'ERROR', reason: 'ID_REUSED' });
  });

  it('accepts the same client_msg_id from two senders and in two rooms', async () => {
    const { owner, room, chat } = await alone();
    const guest = createUser({ level: 100 });
    await rest(url(), owner.token).put(`/rooms/${room.id}/members`, { userUUID: guest.user, permissions: 'rw' });
    const command = { type: 'message', client_msg_id: 'same' };
    chat.send({ ...command, content: 'by the owner' });
    await chat.next();
    (await chatInRoom(url(), guest, room.id)).send({ ...command, content: 'by the guest' });
    expect(await chat.next()).to.nested.include({ 'data.content': 'by the guest' });
    const elsewhere = await chatInRoom(url(), owner, (await makeRoom(owner)).id);
    elsewhere.send({ ...command, content: 'in another room' });
    expect(await elsewhere.next()).to.nested.include({ 'data.content': 'in another room', 'data.seq': 1 });
  });
});
