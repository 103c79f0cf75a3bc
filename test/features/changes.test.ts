import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import { describeEveryWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

describeEveryWiring('live changes', ({ url }) => {
  async function joined() {
    const owner = createUser({ level: 100 });
    const api = rest(url(), owner.token);
    const { room } = (await api.post('/rooms', { name: 'changes' })).body.content;
    const socket = await socketClient(url(), owner);
    expect(await socket.request('room:join', { room_id: room.id })).to.include({ rev: 0 });
    return { owner, api, room, room_id: room.id as number, members: `/rooms/${room.id}/members`, socket };
  }

  async function announced(socket: SocketClient, name: string) {
    const { cursor, ...fact } = await socket.next(name);
    expect(cursor).to.be.a('string');
    return fact;
  }

  it('delivers an event if a rule is created, changed or removed', async () => {
    const { owner, api, room_id, members, socket } = await joined();
    const user = randomUUID();
    const answer = { accepted: false, declined: false, by: owner.user };
    await api.put(members, { userUUID: user, permissions: 'wr', level: '7' });
    const rule = { room_id, entity_UUID: user, kind: 'user', permissions: 'rw', level: 7, ...answer };
    expect(await announced(socket, 'member:changed')).to.deep.equal({ ...rule, rev: 1 });
    await api.put(members, { userUUID: user, permissions: 'r' });
    expect(await announced(socket, 'member:changed')).to.deep.equal({ ...rule, permissions: 'r', rev: 2 });
    await api.delete(`${members}/${user}`);
    expect(await announced(socket, 'member:changed')).to.deep.equal({ ...rule, permissions: null, rev: 3 });
  });

  it('adds no rev to the log for a request that changes nothing', async () => {
    const { api, room, members, socket } = await joined();
    const rule = { entityUUID: randomUUID(), permissions: 'r', level: 1 };
    for (let n = 0; n < 3; n++) await api.put(members, rule);
    await api.patch(`/rooms/${room.id}`, { name: room.name });
    await api.patch(`/rooms/${room.id}`, { name: 'fence' });
    expect(await announced(socket, 'member:changed')).to.include({ rev: 1, kind: 'entity' });
    expect(await announced(socket, 'room:changed')).to.include({ rev: 2 });
  });

  it('delivers a change of the room with the whole room', async () => {
    const { api, room, room_id, socket } = await joined();
    const { body } = await api.patch(`/rooms/${room_id}`, { name: 'renamed', level_admin: 50 });
    const fact = await announced(socket, 'room:changed');
    expect(fact).to.deep.include({ room_id, rev: 1 });
    expect(fact.room).to.include({ id: room_id, uuid: room.uuid, name: 'renamed', level_admin: 50 });
    expect(fact.room).to.deep.equal(body.content.room ?? body.content);
  });

  it('delivers an event if an invited user accepts by joining, or declines', async () => {
    const { api, room_id, members, socket } = await joined();
    const guest = createUser();
    await api.put(members, { userUUID: guest.user, permissions: 'rw' });
    expect(await announced(socket, 'member:changed')).to.include({ rev: 1, accepted: false, declined: false });
    await chatInRoom(url(), guest, room_id);
    expect(await announced(socket, 'member:changed')).to.include({ rev: 2, accepted: true, declined: false });
    await rest(url(), guest.token).put(`/rooms/${room_id}/invitation`, { accepted: false });
    expect(await announced(socket, 'member:changed')).to.include({ rev: 3, accepted: false, declined: true });
  });

  it('numbers changes of every kind with one rev without gaps, in one order', async () => {
    const { owner, api, room_id, members, socket } = await joined();
    const chat = await chatInRoom(url(), owner, room_id);
    const work: Promise<unknown>[] = [];
    for (let n = 0; n < 30; n++) {
      work.push(socket.request('message:send', { room_id, content: String(n) }));
      if (n % 5 === 0) work.push(api.patch(`/rooms/${room_id}`, { name: `name ${n}` }));
      if (n % 6 === 0) work.push(api.put(members, { userUUID: randomUUID(), permissions: 'r' }));
    }
    await Promise.all(work);
    const total = 30 + 6 + 5;
    const revs = [];
    for (let n = 0; n < total; n++) revs.push((await socket.nextOfAny()).payload.rev);
    expect(revs).to.deep.equal(Array.from({ length: total }, (_, n) => n + 1));
    const seqs = [];
    for (let n = 0; n < 30; n++) seqs.push((await chat.next()).data.seq);
    expect(seqs).to.deep.equal(Array.from({ length: 30 }, (_, n) => n + 1));
  });

  it('includes the latest last_seq in a change of the room after a message', async () => {
    const { api, room_id, socket } = await joined();
    for (const content of ['one', 'two']) await socket.request('message:send', { room_id, content });
    await api.patch(`/rooms/${room_id}`, { name: 'renamed' });
    expect((await announced(socket, 'room:changed')).room).to.include({ last_seq: 2 });
  });
});
