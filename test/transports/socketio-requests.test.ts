import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

describeOneWiring('Socket.IO requests', ({ url }) => {
  const makeRoom = async (owner: TestUser) =>
    (await rest(url(), owner.token).post('/rooms', { name: 'requests' })).body.content.room;

  async function alone() {
    const owner = createUser({ level: 100 });
    const room = await makeRoom(owner);
    const socket = await socketClient(url(), owner);
    return { owner, room, room_id: room.id as number, socket };
  }

  it('answers room:join with the room, the rights and the position', async () => {
    const { room, room_id, socket } = await alone();
    const { cursor, ...ack } = await socket.request('room:join', { room_id });
    expect(ack).to.deep.equal({ ok: true, room, rights: 'rwa', rev: 0, recovered: false, events: [] });
    expect(cursor).to.be.a('string');
  });

  it('accepts the number, the decimal string and the UUID in room:join, again and again', async () => {
    const { room, room_id, socket } = await alone();
    for (const ref of [room_id, String(room_id), room.uuid, room.uuid.toUpperCase()]) {
      expect(await socket.request('room:join', { room_id: ref })).to.nested.include({ ok: true, 'room.id': room_id });
    }
    await socket.request('message:send', { room_id, content: 'once' });
    await socket.request('message:send', { room_id, content: 'fence' });
    expect(await socket.next('message:new')).to.include({ content: 'once' });
    expect(await socket.next('message:new')).to.include({ content: 'fence' });
  });

  it('answers room:join with the letters of the rights', async () => {
    const { owner, room_id } = await alone();
    const members = `/rooms/${room_id}/members`;
    for (const permissions of ['r', 'rw', 'rwa', 'a']) {
      const guest = createUser();
      await rest(url(), owner.token).put(members, { userUUID: guest.user, permissions });
      const ack = await (await socketClient(url(), guest)).request('room:join', { room_id });
      expect(ack.rights).to.equal(permissions === 'a' ? 'rwa' : permissions);
    }
  });

  it('rejects a room:join to foreign and missing rooms alike, of banned users and of users who may not read', async () => {
    const { owner, room_id } = await alone();
    const [stranger, banned, writer] = [createUser(), createUser(), createUser()];
    const members = `/rooms/${room_id}/members`;
    await rest(url(), owner.token).put(members, { userUUID: banned.user, permissions: 'rwb' });
    await rest(url(), owner.token).put(members, { userUUID: writer.user, permissions: 'w' });
    const codeFor = async (person: TestUser, ref: unknown) =>
      (await (await socketClient(url(), person)).request('room:join', { room_id: ref })).error.code;
    for (const ref of [room_id, 999_999_999, randomUUID()]) expect(await codeFor(stranger, ref)).to.equal('NOT_FOUND');
    expect(await codeFor(banned, room_id)).to.equal('BANNED');
    expect(await codeFor(writer, room_id)).to.equal('FORBIDDEN');
  });

  it('stops the events of a room after room:leave, which is harmless outside the room', async () => {
    const { owner, room_id, socket } = await alone();
    const other = (await makeRoom(owner)).id;
    for (const joined of [room_id, other]) await socket.request('room:join', { room_id: joined });
    for (let n = 0; n < 2; n++) expect(await socket.request('room:leave', { room_id })).to.deep.equal({ ok: true });
    for (const to of [room_id, other]) await socket.request('message:send', { room_id: to, content: 'x' });
    expect(await socket.next()).to.include({ room_id: other });
  });

  it('answers message:send with the message, its position and `duplicate: false`', async () => {
    const { owner, room_id, socket } = await alone();
    const draft = { room_id, content: 'hello', client_msg_id: 'one' };
    const { message, cursor, ...ack } = await socket.request('message:send', draft);
    expect(ack).to.deep.equal({ ok: true, duplicate: false, rev: 1 });
    expect(message).to.include({ ...draft, emitter: owner.user, seq: 1 });
    expect(cursor).to.be.a('string');
    expect(await socket.request('message:send', draft)).to.deep.equal({
      ok: true,
      message,
      cursor,
      duplicate: true,
      rev: 1,
    });
    const reused = await socket.request('message:send', { ...draft, content: 'other' });
    expect(reused).to.nested.include({ ok: false, 'error.code': 'ID_REUSED' });
  });

  it('emits the sent message with rev and cursor to all subscribers, the sender included', async () => {
    const { room_id, socket } = await alone();
    await socket.request('room:join', { room_id });
    const { message, rev, cursor } = await socket.request('message:send', { room_id, content: 'hello' });
    expect(await socket.next('message:new')).to.deep.equal({ ...message, rev, cursor });
  });

  it('rejects message:send from a user without `w`', async () => {
    const { owner, room_id } = await alone();
    const reader = createUser();
    await rest(url(), owner.token).put(`/rooms/${room_id}/members`, { userUUID: reader.user, permissions: 'r' });
    const socket = await socketClient(url(), reader);
    const refusal = await socket.request('message:send', { room_id, content: 'x' });
    expect(refusal).to.nested.include({ ok: false, 'error.code': 'FORBIDDEN' });
  });

  it('pages message:history by before, after and around, oldest first', async () => {
    const { room_id, socket } = await alone();
    for (let n = 1; n <= 9; n++) await socket.request('message:send', { room_id, content: String(n) });
    const page = async (query: object) => {
      const { messages, has_more, rev } = await socket.request('message:history', { room_id, ...query });
      expect(rev).to.equal(9);
      return [messages.map(({ content }: { content: string }) => content).join(''), has_more];
    };
    expect(await page({})).to.deep.equal(['123456789', false]);
    expect(await page({ limit: 2 })).to.deep.equal(['89', true]);
    expect(await page({ before: 4, limit: 2 })).to.deep.equal(['23', true]);
    expect(await page({ before: 3 })).to.deep.equal(['12', false]);
    expect(await page({ after: 4, limit: 2 })).to.deep.equal(['56', true]);
    expect(await page({ after: 7 })).to.deep.equal(['89', false]);
    const [around] = await page({ around: 5, limit: 3 });
    expect(around).to.equal('456');
    const refusal = await socket.request('message:history', { room_id, before: 1, after: 1 });
    expect(refusal).to.nested.include({ ok: false, 'error.code': 'BAD_REQUEST' });
  });

  it('handles the requests of a connection in order if the client does not wait for acknowledgements', async () => {
    const { room_id, socket } = await alone();
    const contents = Array.from({ length: 200 }, (_, n) => String(n));
    const acks = await Promise.all(contents.map((content) => socket.request('message:send', { room_id, content })));
    expect(acks.map(({ message }) => message.seq)).to.deep.equal(contents.map((_, n) => n + 1));
  });
});
