import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

const mark = '\u{feff}';

describeBothDatabases('Texts that begin with a byte order mark', ({ url }) => {
  it('returns texts that begin with a byte order mark exactly as they were sent, on all transports', async () => {
    const owner = createUser({ level: 100 });
    const name = `${mark}name`;
    const room = await createRoom(url(), owner, { name });
    expect(room.name).to.equal(name);
    const client = rest(url(), owner.token);
    const socket = await socketClient(url(), owner);
    const { cursor } = await socket.request('room:join', { room_id: room.id });
    const chat = await chatInRoom(url(), owner, room.id);
    const contents = ['REST', 'Socket.IO', '/chat', ''].map((from) => mark + from);
    const [fromRest, fromSocket, fromChat, alone] = contents;

    const post = (content: unknown) => client.post(`/rooms/${room.id}/messages`, { content });
    expect((await post(fromRest)).body.content.content).to.equal(fromRest);
    expect((await chat.next()).data.content).to.equal(fromRest);
    const draft = { room_id: room.id, content: fromSocket };
    expect((await socket.request('message:send', draft)).message.content).to.equal(fromSocket);
    expect((await chat.next()).data.content).to.equal(fromSocket);
    chat.send({ type: 'message', content: fromChat });
    expect((await chat.next()).data.content).to.equal(fromChat);
    expect((await post(alone)).status).to.equal(201);
    expect((await chat.next()).data.content).to.equal(alone);
    for (const content of contents) expect((await socket.next('message:new')).content).to.equal(content);

    const contentsOf = (messages: Json[]) => messages.map(({ content }) => content);
    expect(contentsOf((await client.get(`/rooms/${room.id}/messages`)).body.content)).to.deep.equal(contents);
    expect((await client.get(`/rooms/${room.id}`)).body.content.room.name).to.equal(name);
    chat.send({ type: 'get_past_messages' });
    for (const content of contents) expect((await chat.next()).data.content).to.equal(content);
    const late = await chatInRoom(url(), owner, room.id, cursor);
    for (const content of contents) expect((await late.next()).data.content).to.equal(content);
    const { messages } = await socket.request('message:history', { room_id: room.id });
    expect(contentsOf(messages)).to.deep.equal(contents);
  });

  it('refuses a client_msg_id that begins with a byte order mark', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(url(), owner);
    const draft = { room_id: room.id, content: 'x', client_msg_id: `${mark}x` };
    expectRefusal(
      await rest(url(), owner.token).post(`/rooms/${room.id}/messages`, draft),
      'BAD_REQUEST',
      'client_msg_id',
    );
  });
});
