import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import { describeEveryWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

const upTo = (last: number) => Array.from({ length: last }, (_, n) => n + 1);

describeEveryWiring('bans', ({ url }) => {
  async function makeRoom(members: TestUser[]) {
    const owner = createUser({ level: 100 });
    const api = rest(url(), owner.token);
    const room_id: number = (await api.post('/rooms', { name: 'bans' })).body.content.room.id;
    for (const { user } of members) await api.put(`/rooms/${room_id}/members`, { userUUID: user, permissions: 'rw' });
    return { owner, room_id, ban: (person: TestUser, permissions = 'b') => allow(person, permissions), api };
    function allow({ user }: TestUser, permissions: string) {
      return api.put(`/rooms/${room_id}/members`, { userUUID: user, permissions });
    }
  }

  it('delivers every message before a ban to the banned user, and none after it, while many connections send', async () => {
    const [banned, friend] = [createUser(), createUser()];
    const { owner, room_id, ban } = await makeRoom([banned, friend]);
    const witness = await socketClient(url(), owner);
    const { rev: start } = await witness.request('room:join', { room_id });
    const socket = await socketClient(url(), banned);
    const { rev: from } = await socket.request('room:join', { room_id });
    const chat = await chatInRoom(url(), banned, room_id);
    const senders = await Promise.all(upTo(6).map(() => socketClient(url(), friend)));
    const sendAll = (part: string) =>
      senders.flatMap((sender) =>
        upTo(50).map((n) => sender.request('message:send', { room_id, content: `${part} ${n}` })),
      );
    const before = sendAll('before');
    await before[20];
    const [during] = [sendAll('during'), await before[60]];
    await ban(banned);
    await Promise.all([...before, ...during, ...sendAll('after')]);

    const log = [];
    for (let rev = start; rev < start + 900 + 2; ) {
      const { name, payload } = await witness.nextOfAny();
      rev = payload.rev;
      log.push({ name, ...payload });
      if (log.filter((change) => change.name === 'message:new').length === 900) break;
    }
    const banRev = log.find(({ permissions }) => permissions === 'b')!.rev;
    const messages = log.filter(({ name }) => name === 'message:new').map(({ rev }) => rev);
    const allowed = (since: number) => messages.filter((rev) => rev > since && rev < banRev);
    expect(
      messages.some((rev) => rev > banRev),
      'some came after the ban',
    ).to.equal(true);

    expect(await socket.next('room:removed')).to.deep.equal({ room_id, code: 'BANNED' });
    await socket.request('room:leave', { room_id });
    const heard = socket.unread.filter(({ name }) => name === 'message:new').map(({ payload }) => payload.rev);
    expect(heard).to.deep.equal(allowed(from));
    const frames = [];
    for (let frame = await chat.next(); frame.type === 'message'; frame = await chat.next()) frames.push(frame.rev);
    expect(frames).to.deep.equal(allowed(chat.connected.rev));
    chat.send({ type: 'hello' });
    expect(await chat.next()).to.include({ data: 'COMMAND?' });
  });

  for (const transport of ['Socket.IO', '/chat']) {
    it(`stores the messages that a user sent over ${transport} before a ban, and rejects the rest of the burst`, async () => {
      const banned = createUser();
      const { owner, room_id, ban, api } = await makeRoom([banned]);
      const answers: Promise<'stored' | 'refused'>[] = [];
      if (transport === 'Socket.IO') {
        const socket = await socketClient(url(), banned);
        for (const n of upTo(300)) {
          const ack = socket.request('message:send', { room_id, content: String(n) });
          answers.push(ack.then(({ ok }) => (ok ? 'stored' : 'refused')));
        }
        await answers[10];
      } else {
        const chat = await chatInRoom(url(), banned, room_id);
        for (const n of upTo(300)) chat.send({ type: 'message', content: String(n), id: n });
        await chat.skipTo(({ id }) => id === 10);
      }
      await ban(banned);
      const stored = (await Promise.all(answers)).filter((answer) => answer === 'stored').length;
      const { body } = await api.get(`/rooms/${room_id}/messages?limit=500`);
      const contents = body.content.map(({ content }: { content: string }) => content);
      expect(contents, 'a beginning of the burst, without gaps').to.deep.equal(upTo(contents.length).map(String));
      if (transport === 'Socket.IO') expect(contents).to.have.length(stored);
      const witness = await chatInRoom(url(), owner, room_id);
      witness.send({ type: 'message', content: 'fence' });
      expect(await witness.next()).to.nested.include({ 'data.content': 'fence', 'data.seq': contents.length + 1 });
    });
  }

  it('answers a retry with the same client_msg_id as a duplicate after a ban or a removal', async () => {
    const sender = createUser();
    const { room_id, ban, api } = await makeRoom([sender]);
    const socket = await socketClient(url(), sender);
    const draft = { room_id, content: 'sent before', client_msg_id: 'mine' };
    const first = await socket.request('message:send', draft);
    const changes = [() => ban(sender), () => api.delete(`/rooms/${room_id}/members/${sender.user}`)];
    for (const [n, change] of changes.entries()) {
      await change();
      const code = n === 0 ? 'BANNED' : 'NOT_FOUND';
      expect(await socket.request('message:send', draft)).to.deep.equal({ ...first, duplicate: true });
      const other = await socket.request('message:send', { ...draft, client_msg_id: 'new' });
      expect(other).to.nested.include({ ok: false, 'error.code': code });
      const over = await rest(url(), sender.token).post(`/rooms/${room_id}/messages`, draft);
      expect(over.status).to.equal(200);
      expect(over.body.meta.duplicate).to.equal(true);
    }
  });

  it('answers a retry as a duplicate on /chat after the sender has lost w', async () => {
    const sender = createUser();
    const { room_id, ban } = await makeRoom([sender]);
    const chat = await chatInRoom(url(), sender, room_id);
    const command = { type: 'message', content: 'sent before', client_msg_id: 'mine' };
    chat.send(command);
    const first = await chat.next();
    await ban(sender, 'r');
    chat.send(command);
    expect(await chat.next()).to.deep.equal({ ...first, duplicate: true });
    chat.send({ ...command, client_msg_id: 'new' });
    expect(await chat.next()).to.include({ data: 'NOTAUTHORIZED', reason: 'FORBIDDEN' });
  });
});
