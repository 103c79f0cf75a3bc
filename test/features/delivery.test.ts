import { expect } from 'chai';
import { type ChatClient, chatInRoom } from '../helpers/chat-client.ts';
import { describeEveryWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

interface Heard {
  seq: number;
  content: string;
  rev: number;
}

const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

describeEveryWiring('live delivery', ({ url }) => {
  async function makeRoom(owner: TestUser): Promise<number> {
    return (await rest(url(), owner.token).post('/rooms', { name: 'live' })).body.content.room.id;
  }

  async function socketIn(person: TestUser, room_id: number): Promise<SocketClient> {
    const socket = await socketClient(url(), person);
    expect(await socket.request('room:join', { room_id })).to.include({ ok: true });
    return socket;
  }

  async function fromSocket(socket: SocketClient, count: number): Promise<Heard[]> {
    const heard = [];
    for (let n = 0; n < count; n++) heard.push(await socket.next('message:new'));
    return heard;
  }

  async function fromChat(chat: ChatClient, count: number): Promise<Heard[]> {
    const heard = [];
    for (let n = 0; n < count; n++) {
      const { data, rev } = await chat.next();
      heard.push({ ...data, rev });
    }
    return heard;
  }

  it('delivers each message once and in order to everyone in the room, on both transports', async () => {
    const owner = createUser({ level: 100 });
    const room_id = await makeRoom(owner);
    const sockets = [await socketIn(owner, room_id), await socketIn(owner, room_id)];
    const chats = [await chatInRoom(url(), owner, room_id), await chatInRoom(url(), owner, room_id)];
    const count = 90;
    for (let n = 0; n < count; n += 3) {
      sockets[0]!.raw.emit('message:send', { room_id, content: `socket ${n}` });
      chats[0]!.send({ type: 'message', content: `chat ${n}` });
      await rest(url(), owner.token).post(`/rooms/${room_id}/messages`, { content: `rest ${n}` });
    }
    const heard = [
      ...(await Promise.all(sockets.map((socket) => fromSocket(socket, count)))),
      ...(await Promise.all(chats.map((chat) => fromChat(chat, count)))),
    ];
    for (const messages of heard) {
      expect(messages.map(({ seq }) => seq)).to.deep.equal(upTo(count));
      expect(messages.map(({ content }) => content)).to.deep.equal(heard[0]!.map(({ content }) => content));
      expect(messages.map(({ rev }) => rev)).to.deep.equal(upTo(count));
    }
    for (const client of [...sockets, ...chats]) expect(client.unread).to.deep.equal([]);
  });

  it('keeps the order of a burst of 2,000 messages (the legacy service had about 500 inversions)', async () => {
    const owner = createUser({ level: 100 });
    const room_id = await makeRoom(owner);
    const [sender, chat, socket] = [
      await chatInRoom(url(), owner, room_id),
      await chatInRoom(url(), owner, room_id),
      await socketIn(owner, room_id),
    ];
    const contents = upTo(2_000).map(String);
    for (const content of contents) sender.send({ type: 'message', content });
    for (const heard of [await fromChat(sender, 2_000), await fromChat(chat, 2_000), await fromSocket(socket, 2_000)]) {
      expect(heard.map(({ content }) => content)).to.deep.equal(contents);
      expect(heard.map(({ seq }) => seq)).to.deep.equal(upTo(2_000));
    }
  });

  it('keeps the order of a burst over Socket.IO', async () => {
    const owner = createUser({ level: 100 });
    const room_id = await makeRoom(owner);
    const [sender, chat] = [await socketIn(owner, room_id), await chatInRoom(url(), owner, room_id)];
    const contents = upTo(900).map(String);
    for (const content of contents) sender.raw.emit('message:send', { room_id, content });
    for (const heard of [await fromSocket(sender, 900), await fromChat(chat, 900)]) {
      expect(heard.map(({ content }) => content)).to.deep.equal(contents);
    }
  });

  it('delivers messages only to subscribers of their room', async () => {
    const owner = createUser({ level: 100 });
    const rooms = [await makeRoom(owner), await makeRoom(owner), await makeRoom(owner)];
    const [chatA, chatB] = [await chatInRoom(url(), owner, rooms[0]!), await chatInRoom(url(), owner, rooms[1]!)];
    const socket = await socketIn(owner, rooms[0]!);
    await socket.request('room:join', { room_id: rooms[1] });
    const sender = await socketClient(url(), owner);
    for (const room_id of [...rooms].reverse())
      await sender.request('message:send', { room_id, content: `in ${room_id}` });
    for (const room_id of rooms) await sender.request('message:send', { room_id, content: 'fence' });
    const [a, b] = rooms.map((room_id) => `in ${room_id}`);
    const contents = async (heard: Promise<Heard[]>) => (await heard).map(({ content }) => content);
    expect(await contents(fromChat(chatA, 2))).to.deep.equal([a, 'fence']);
    expect(await contents(fromChat(chatB, 2))).to.deep.equal([b, 'fence']);
    const both = (await fromSocket(socket, 4)) as (Heard & { room_id: number })[];
    const inRoom = (room_id: number) => both.filter((one) => one.room_id === room_id).map(({ content }) => content);
    // Each room has its own order.
    expect(rooms.slice(0, 2).map(inRoom)).to.deep.equal([
      [a, 'fence'],
      [b, 'fence'],
    ]);
    expect(sender.unread, 'in no room, so told nothing').to.deep.equal([]);
  });

  it('delivers messages without gaps or duplicates to a client that joins while others send', async () => {
    const owner = createUser({ level: 100 });
    const room_id = await makeRoom(owner);
    const sender = await socketClient(url(), owner);
    const count = 400;
    const sent = upTo(count).map((n) => sender.request('message:send', { room_id, content: String(n) }));
    const joins: Promise<void>[] = [];
    for (let n = 0; n < 8; n++) {
      await sent[n * 40];
      joins.push(joinedDuring(owner, room_id, count, n % 2 === 0));
    }
    await Promise.all([...sent, ...joins]);
    const { body } = await rest(url(), owner.token).get(`/rooms/${room_id}/messages?limit=500`);
    expect(body.content.map(({ seq }: Heard) => seq)).to.deep.equal(upTo(count));
  });

  it('delivers messages without gaps or duplicates to a client that repeatedly leaves and joins while others send', async () => {
    const owner = createUser({ level: 100 });
    const room_id = await makeRoom(owner);
    let sending = true;
    const send = async () => {
      const sender = await socketClient(url(), owner);
      for (let n = 0; n < 100; n++) await sender.request('message:send', { room_id, content: 'x' });
    };
    const sent = Promise.all([send(), send(), send(), send()]).then(() => {
      sending = false;
    });
    const joiners = [1, 2, 3, 4].map(async () => {
      const socket = await socketClient(url(), owner);
      while (sending) await joinOnce(socket, room_id, sent);
    });
    await Promise.all([sent, ...joiners]);
  });

  /** Joins, and leaves after some messages. Expects each message to follow directly after the previous position. */
  async function joinOnce({ raw, request }: SocketClient, room_id: number, sent: Promise<void>): Promise<void> {
    let have: number | undefined;
    const heard: [expected: number | undefined, rev: number][] = [];
    const some = new Promise<void>((resolve) => {
      raw.onAny((_name, { rev }) => {
        heard.push([have === undefined ? undefined : ++have, rev]);
        if (heard.length === 3) resolve();
      });
    });
    // The callback runs in the order in which frames arrive. A promise would resolve later.
    raw.emit('room:join', { room_id }, (ack: { rev: number }) => {
      have = ack.rev;
    });
    await Promise.race([some, sent]);
    await request('room:leave', { room_id });
    raw.offAny();
    for (const [expected, rev] of heard) expect(rev).to.equal(expected);
  }

  /** Expects live messages to start right after the position of the join, without gaps up to the end. */
  async function joinedDuring(person: TestUser, room_id: number, last: number, overChat: boolean): Promise<void> {
    if (overChat) {
      const chat = await chatInRoom(url(), person, room_id);
      const heard = await fromChat(chat, last - chat.connected.rev);
      expect(heard.map(({ rev }) => rev)).to.deep.equal(upTo(last, chat.connected.rev + 1));
    } else {
      const socket = await socketClient(url(), person);
      const { rev } = await socket.request('room:join', { room_id });
      expect((await fromSocket(socket, last - rev)).map((one) => one.rev)).to.deep.equal(upTo(last, rev + 1));
    }
  }
});
