import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoomWithOwner, readRev } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { adminToken, createUser } from '../helpers/users.ts';

describeOneWiring('unknown keys', ({ url }) => {
  it('lists unknown keys of a REST body in meta.ignored', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const { post, put, patch } = rest(url(), owner.token);
    const member = { userUUID: randomUUID(), permissions: 'r', note: 'x' };
    const answers = [
      await post('/rooms', { name: 'x', description: 'y' }),
      await patch(`/rooms/${room.id}`, { name: 'other', user_owner: randomUUID(), type: 'user2user' }),
      await put(`/rooms/${room.id}/members`, member),
      await put(`/rooms/${room.id}/invitation`, { accepted: true, why: 1 }),
      await post(`/rooms/${room.id}/messages`, { content: 'x', type: 'image', metadata: {} }),
      await rest(url(), adminToken).post('/admin/revocations', { jti: randomUUID(), by: 'me' }),
    ];
    expect(answers.map(({ body }) => body.meta.ignored)).to.deep.equal([
      ['description'],
      ['user_owner', 'type'],
      ['note'],
      ['why'],
      ['type', 'metadata'],
      ['by'],
    ]);
    expect((await post('/rooms', { name: 'x' })).body.meta).to.deep.equal({ code: 200, message: 'OK' });
  });

  it('rejects misspelt keys of a REST body, and changes nothing', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const { get, post, put, patch } = rest(url(), owner.token);
    const rev = await readRev(url(), owner, room);
    const members = `/rooms/${room.id}/members`;
    const messages = `/rooms/${room.id}/messages`;
    expectRefusal(await post('/rooms', { name: 'x', openToEntity: false }), 'BAD_REQUEST', 'openToEntity');
    expectRefusal(await patch(`/rooms/${room.id}`, { name: 'y', levelAdmin: 1 }), 'BAD_REQUEST', 'levelAdmin');
    expectRefusal(await put(members, { userUuid: randomUUID(), permissions: 'r' }), 'BAD_REQUEST', 'userUuid');
    expectRefusal(await put(`/rooms/${room.id}/invitation`, { accept: false }), 'BAD_REQUEST', 'accept');
    expectRefusal(await post(messages, { content: 'x', clientMsgId: 'm1' }), 'BAD_REQUEST', 'clientMsgId');
    expectRefusal(await get(`${messages}?date_from=2026-01-01`), 'BAD_REQUEST', 'date_from');
    expectRefusal(await get('/rooms?limits=1'), 'BAD_REQUEST', 'limits');
    expect((await get('/rooms?_=1795562000&utm_source=x')).status).to.equal(200);
    expect(await readRev(url(), owner, room)).to.equal(rev);
  });

  it('lists unknown keys of a Socket.IO request in the acknowledgement, or rejects them', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const socket = await socketClient(url(), owner);
    const room_id = room.id;
    expect((await socket.request('room:join', { room_id, token: 'x' })).ignored).to.deep.equal(['token']);
    const sent = await socket.request('message:send', { room_id, content: 'x', type: 'image' });
    expect(sent.ignored).to.deep.equal(['type']);
    expect((await socket.request('message:history', { room_id, page: 2 })).ignored).to.deep.equal(['page']);
    expect(await socket.request('room:leave', { room_id })).to.deep.equal({ ok: true });
    const slip = await socket.request('message:send', { room_id, content: 'x', clientMsgId: 'm1' });
    expect(slip.error).to.include({ code: 'BAD_REQUEST', field: 'clientMsgId' });
    expect((await socket.request('room:join', { roomId: room_id })).error).to.include({ field: 'roomId' });
  });

  it('lists unknown keys of a /chat command with an id in the answer, and ignores those of a command without an id', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const chat = await chatInRoom(url(), owner, room.id);
    chat.send({ type: 'message', content: 'legacy', time: 1, user: 'x' });
    expect(await chat.next()).to.not.have.any.keys('ignored', 'id');
    chat.send({ type: 'message', content: 'x', metadata: {}, id: 1 });
    expect(await chat.next()).to.deep.include({ id: 1, ignored: ['metadata'] });
    chat.send({ type: 'message', content: 'x', id: 1 });
    expect(await chat.next())
      .to.include({ id: 1 })
      .and.not.have.property('ignored');
    chat.send({ type: 'get_past_messages', limit: 1, page: 2, id: 2 });
    expect(await chat.next())
      .to.include({ history: true })
      .and.not.have.property('ignored');
    expect(await chat.next()).to.deep.include({ data: 'HISTORY', id: 2, ignored: ['page'] });
    chat.send({ type: 'select_room', room_id: room.uuid, name: 'x', id: 3 });
    expect(await chat.next()).to.deep.include({ data: 'CONNECTED', id: 3, ignored: ['name'] });
    chat.send({ type: 'message', content: 'x', clientMsgId: 'm1', id: 4 });
    const refusal = await chat.next();
    expect(refusal).to.include({ data: 'ERROR', reason: 'BAD_REQUEST', id: 4 });
    expect(refusal.detail).to.match(/^clientMsgId: .*client_msg_id/);
    chat.send({ type: 'message', metadata: {}, id: 5 });
    expect(await chat.next())
      .to.include({ data: 'ERROR', id: 5 })
      .and.not.have.property('ignored');
  });

  it('handles a request with thousands of unknown keys, and lists only 20 of them', async () => {
    const { token } = createUser({ level: 100 });
    const many = Object.fromEntries(Array.from({ length: 4_000 }, (_, n) => [`key${n}`, n]));
    const { status, body } = await rest(url(), token).post('/rooms', { name: 'x', ...many });
    expect(status).to.equal(200);
    expect(body.meta.ignored).to.have.lengthOf(20);
  });
});
