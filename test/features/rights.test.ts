import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { type ChatClient, chatInRoom } from '../helpers/chat-client.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { type RestClient, rest } from '../helpers/rest-client.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser, withClaims } from '../helpers/users.ts';

interface Case {
  code: string;
  /** The rule that lets the member read the room. */
  rule: (member: TestUser) => object;
  change: (api: RestClient, room: string, member: TestUser) => Promise<unknown>;
}

const ownRule = ({ user }: TestUser) => ({ userUUID: user, permissions: 'rw' });
const rules: Record<string, Case> = {
  'is banned': {
    code: 'BANNED',
    rule: ownRule,
    change: (api, room, { user }) => api.put(`${room}/members`, { userUUID: user, permissions: 'rwb' }),
  },
  'belongs to an organisation that is banned at any level': {
    code: 'BANNED',
    rule: ownRule,
    change: (api, room, { entity }) =>
      api.put(`${room}/members`, { entityUUID: entity, permissions: 'b', level: 2_000_000 }),
  },
  'loses their rule': {
    code: 'RULE_REMOVED',
    rule: ownRule,
    change: (api, room, { user }) => api.delete(`${room}/members/${user}`),
  },
  'loses the letter r': {
    code: 'NO_READ',
    rule: ownRule,
    change: (api, room, { user }) => api.put(`${room}/members`, { userUUID: user, permissions: 'w' }),
  },
  'is below the raised level of the organisation’s rule': {
    code: 'LEVEL_TOO_LOW',
    rule: ({ entity }) => ({ entityUUID: entity, permissions: 'rw', level: 50 }),
    change: (api, room, { entity }) => api.put(`${room}/members`, { entityUUID: entity, level: 51 }),
  },
};

describeBothDatabases('rights of live members', ({ url }) => {
  async function makeRoom() {
    const owner = createUser({ level: 1_000 });
    const api = rest(url(), owner.token);
    const room_id: number = (await api.post('/rooms', { name: 'rights', level_admin: 500 })).body.content.room.id;
    return { owner, api, room_id, room: `/rooms/${room_id}` };
  }

  async function inside(person: TestUser, room_id: number) {
    const socket = await socketClient(url(), person);
    expect(await socket.request('room:join', { room_id })).to.include({ ok: true });
    return { socket, chat: await chatInRoom(url(), person, room_id) };
  }

  async function expectOut(
    { socket, chat }: { socket: SocketClient; chat: ChatClient },
    room_id: number,
    code: string,
  ) {
    expect(await socket.next('room:removed')).to.deep.equal({ room_id, code });
    expect(await chat.next()).to.deep.include({ type: 'status', data: 'NOTAUTHORIZED', reason: code });
  }

  /** The answers arrive after any earlier event. If no event of the room has arrived by then, none will. */
  async function expectSilence({ socket, chat }: { socket: SocketClient; chat: ChatClient }) {
    await socket.request('room:leave', { room_id: 999_999_999 });
    expect(socket.unread.filter(({ name }) => name === 'message:new')).to.deep.equal([]);
    chat.send({ type: 'message', content: 'from outside' });
    expect(await chat.next()).to.include({ type: 'query', data: 'SELECTROOM?' });
  }

  for (const [title, { code, rule, change }] of Object.entries(rules)) {
    it(`removes a member who ${title} with ${code}, and keeps the others`, async () => {
      const { owner, api, room_id, room } = await makeRoom();
      const member = createUser({ level: 50 });
      await api.put(`${room}/members`, rule(member));
      const [out, stays] = [await inside(member, room_id), await inside(owner, room_id)];
      await change(api, room, member);
      await expectOut(out, room_id, code);
      await stays.socket.request('message:send', { room_id, content: 'among us' });
      expect(await stays.chat.next()).to.nested.include({ 'data.content': 'among us' });
      expect(await stays.socket.next('message:new')).to.include({ content: 'among us' });
      await expectSilence(out);
    });
  }

  it('removes a member who declines, with DECLINED', async () => {
    const { api, room_id, room } = await makeRoom();
    const member = createUser();
    await api.put(`${room}/members`, ownRule(member));
    const out = await inside(member, room_id);
    await rest(url(), member.token).put(`${room}/invitation`, { accepted: false });
    await expectOut(out, room_id, 'DECLINED');
    await expectSilence(out);
  });

  it('removes an owner administrator below a raised level_admin, with LEVEL_TOO_LOW', async () => {
    const { owner, api, room_id, room } = await makeRoom();
    const colleague = createUser({ entity: owner.entity, level: 500 });
    await api.put(`${room}/members`, { entityUUID: owner.entity, level: 900 });
    const [out, stays] = [await inside(colleague, room_id), await inside(owner, room_id)];
    await api.patch(room, { level_admin: 501 });
    await expectOut(out, room_id, 'LEVEL_TOO_LOW');
    await stays.socket.request('message:send', { room_id, content: 'among us' });
    expect(await stays.chat.next()).to.nested.include({ 'data.content': 'among us' });
    await expectSilence(out);
  });

  it('removes everybody from a deleted room, with ROOM_DELETED', async () => {
    const { owner, api, room_id, room } = await makeRoom();
    const member = createUser();
    await api.put(`${room}/members`, ownRule(member));
    const everybody = [await inside(member, room_id), await inside(owner, room_id)];
    expect((await api.delete(room)).status).to.be.within(200, 204);
    for (const one of everybody) await expectOut(one, room_id, 'ROOM_DELETED');
    const { socket, chat } = everybody[0]!;
    const refusal = await socket.request('message:send', { room_id, content: 'x' });
    expect(refusal).to.nested.include({ ok: false, 'error.code': 'NOT_FOUND' });
    chat.send({ type: 'select_room', room_id });
    expect(await chat.next()).to.include({ data: 'NOTAUTHORIZED', reason: 'NOT_FOUND' });
  });

  it('removes a member from one room only', async () => {
    const [one, other] = [await makeRoom(), await makeRoom()];
    const member = createUser();
    for (const { api, room } of [one, other]) await api.put(`${room}/members`, ownRule(member));
    const { socket } = await inside(member, one.room_id);
    await socket.request('room:join', { room_id: other.room_id });
    await one.api.delete(`${one.room}/members/${member.user}`);
    expect(await socket.next('room:removed')).to.include({ room_id: one.room_id });
    await socket.request('message:send', { room_id: other.room_id, content: 'still here' });
    expect(await socket.next('message:new')).to.include({ content: 'still here' });
  });

  it('admits a member again whose rights are restored', async () => {
    const { api, room_id, room } = await makeRoom();
    const member = createUser();
    await api.put(`${room}/members`, ownRule(member));
    const { socket, chat } = await inside(member, room_id);
    await api.put(`${room}/members`, { userUUID: member.user, permissions: 'b' });
    await expectOut({ socket, chat }, room_id, 'BANNED');
    await api.put(`${room}/members`, ownRule(member));
    expect(await socket.request('room:join', { room_id })).to.include({ ok: true, rights: 'rw' });
    chat.send({ type: 'select_room', room_id });
    expect(await chat.next()).to.include({ data: 'CONNECTED', rights: 'rw' });
  });

  it('keeps a member who loses w in the room as a reader', async () => {
    const { owner, api, room_id, room } = await makeRoom();
    const member = createUser();
    await api.put(`${room}/members`, ownRule(member));
    const [{ socket, chat }, others] = [await inside(member, room_id), await inside(owner, room_id)];
    await api.put(`${room}/members`, { userUUID: member.user, permissions: 'r' });
    const refusal = await socket.request('message:send', { room_id, content: 'x' });
    expect(refusal).to.nested.include({ ok: false, 'error.code': 'FORBIDDEN' });
    chat.send({ type: 'message', content: 'x' });
    expect(await chat.next()).to.include({ data: 'NOTAUTHORIZED', reason: 'FORBIDDEN' });
    await others.socket.request('message:send', { room_id, content: 'for readers' });
    expect(await chat.next()).to.nested.include({ 'data.content': 'for readers', 'data.seq': 1 });
    expect(await socket.next('message:new')).to.include({ content: 'for readers', seq: 1 });
  });

  it('authorizes the rooms of a /chat connection again for a second token, and removes a member whose level is too low', async () => {
    const { api, room_id, room } = await makeRoom();
    const member = createUser({ level: 50 });
    await api.put(`${room}/members`, { entityUUID: member.entity, permissions: 'rw', level: 50 });
    const chat = await chatInRoom(url(), member, room_id);
    for (const level of [51, 50]) {
      chat.send({ type: 'token', content: withClaims(member, { levelOnEntity: level }).token });
      expect(await chat.next()).to.include({ data: 'READY' });
      chat.send({ type: 'message', content: String(level) });
      expect(await chat.next()).to.nested.include({ 'data.content': String(level) });
    }
    chat.send({ type: 'token', content: withClaims(member, { levelOnEntity: 49, entityUUID: member.entity }).token });
    expect(await chat.next()).to.include({ data: 'READY' });
    expect(await chat.next()).to.include({ data: 'NOTAUTHORIZED', reason: 'LEVEL_TOO_LOW' });
  });

  it('authorizes the rooms of a connection again for a token of another organisation', async () => {
    const { api, room_id, room } = await makeRoom();
    const member = createUser({ level: 50 });
    await api.put(`${room}/members`, { entityUUID: member.entity, permissions: 'rw', level: 50 });
    const { socket } = await inside(member, room_id);
    const moved = withClaims(member, { entityUUID: randomUUID() });
    expect(await socket.request('token:refresh', moved)).to.include({ ok: true });
    expect(await socket.next('room:removed')).to.include({ room_id });
  });
});
