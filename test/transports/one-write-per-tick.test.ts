import { expect } from 'chai';
import { type ChatClient, chatInRoom } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import type { TestUser } from '../helpers/users.ts';

const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, n) => first + n);
const burst = 50;

interface Received {
  seq: number;
  content: string;
  rev: number;
}

/** A subscriber of a room, on any transport. */
interface Ear {
  over: string;
  receive(count: number): Promise<Received[]>;
  waiting(): number;
}

describeBothDatabases('a burst of messages to a room', ({ url }) => {
  async function socketIn(person: TestUser, room_id: number, transports?: string[]): Promise<SocketClient> {
    const socket = await socketClient(url(), person, transports && { transports });
    expect(await socket.request('room:join', { room_id })).to.include({ ok: true });
    return socket;
  }

  const earOfSocket = (socket: SocketClient, over: string): Ear => ({
    over,
    async receive(count) {
      const received: Received[] = [];
      for (let n = 0; n < count; n++) {
        const { seq, content, rev } = await socket.next('message:new');
        received.push({ seq, content, rev });
      }
      return received;
    },
    waiting: () => socket.unread.length,
  });

  const earOfChat = (chat: ChatClient): Ear => ({
    over: '/chat',
    async receive(count) {
      const received: Received[] = [];
      for (let n = 0; n < count; n++) {
        const { data, rev } = await chat.next();
        received.push({ seq: data.seq, content: data.content, rev });
      }
      return received;
    },
    waiting: () => chat.unread.length,
  });

  /** Connects two subscribers of each kind, so that every node of the wiring has some. */
  async function ears(person: TestUser, room_id: number): Promise<Ear[]> {
    const all: Ear[] = [];
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      for (let n = 0; n < 2; n++) {
        all.push(earOfSocket(await socketIn(person, room_id, transports), transports.join(' and ')));
      }
    }
    for (let n = 0; n < 2; n++) all.push(earOfChat(await chatInRoom(url(), person, room_id)));
    return all;
  }

  it('delivers a burst from Socket.IO and /chat to all subscribers once and in order, on every transport', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const all = await ears(owner, room.id);
    const [socket, chat] = [await socketIn(owner, room.id), await chatInRoom(url(), owner, room.id)];
    for (let n = 0; n < burst; n++) {
      socket.raw.emit('message:send', { room_id: room.id, content: `socket ${n}` });
      chat.send({ type: 'message', content: `chat ${n}` });
    }
    const senders = [earOfSocket(socket, 'the sender on Socket.IO'), earOfChat(chat)];
    const count = 2 * burst;
    const first = await all[0]!.receive(count);
    expect(first.map(({ seq }) => seq)).to.deep.equal(upTo(count));
    for (const sender of ['socket', 'chat']) {
      const own = first.map(({ content }) => content).filter((content) => content.startsWith(sender));
      expect(own).to.deep.equal(upTo(burst - 1, 0).map((n) => `${sender} ${n}`));
    }
    for (const { over, receive } of [...all.slice(1), ...senders]) {
      expect(await receive(count), over).to.deep.equal(first);
    }
    await rest(url(), owner.token).post(`/rooms/${room.id}/messages`, { content: 'the fence' });
    for (const { over, receive, waiting } of [...all, ...senders]) {
      expect((await receive(1))[0], over).to.include({ content: 'the fence', seq: count + 1 });
      expect(waiting(), over).to.equal(0);
    }
  });

  it('echoes the messages of a /chat client with their `id`, once and in order among the messages of others', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const [chat, other] = [await chatInRoom(url(), owner, room.id), await chatInRoom(url(), owner, room.id)];
    const socket = await socketIn(owner, room.id);
    for (let n = 0; n < burst; n++) {
      socket.raw.emit('message:send', { room_id: room.id, content: `other ${n}` });
      // Some messages have no `id`.
      chat.send({ type: 'message', content: `own ${n}`, ...(n % 5 !== 0 && { id: `id ${n}` }) });
    }
    const frames: Json[] = [];
    while (frames.length < 2 * burst) frames.push(await chat.next());
    expect(frames.map(({ data }) => data.seq)).to.deep.equal(upTo(2 * burst));
    const own = frames.filter(({ data }) => data.content.startsWith('own'));
    expect(own.map(({ data }) => data.content)).to.deep.equal(upTo(burst - 1, 0).map((n) => `own ${n}`));
    expect(own.map(({ id }) => id)).to.deep.equal(upTo(burst - 1, 0).map((n) => (n % 5 === 0 ? undefined : `id ${n}`)));
    for (const frame of frames) {
      expect(frame).to.include({ type: 'message' });
      if (!own.includes(frame)) expect(frame).not.to.have.property('id');
    }
    const elsewhere: Json[] = [];
    while (elsewhere.length < 2 * burst) elsewhere.push(await other.next());
    expect(elsewhere).to.deep.equal(frames.map(({ id, ...frame }) => frame));
    chat.send({ type: 'dance', id: 'the fence' });
    expect(await chat.next()).to.include({ data: 'COMMAND?', id: 'the fence' });
  });

  it('answers /chat commands in order, and delivers the earlier messages of the room before each answer', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const chat = await chatInRoom(url(), owner, room.id);
    const socket = await socketIn(owner, room.id);
    for (let n = 0; n < burst; n++) {
      socket.raw.emit('message:send', { room_id: room.id, content: `other ${n}` });
      chat.send({ type: 'message', content: `${n}`, id: n });
      chat.send({ type: 'select_room', room_id: room.id, id: `confirmed ${n}` });
    }
    let rev = 0;
    const answers: unknown[] = [];
    const received: number[] = [];
    while (answers.length < 2 * burst || received.length < 2 * burst) {
      const frame = await chat.next();
      if (frame.id !== undefined) answers.push(frame.id);
      if (frame.data === 'CONNECTED') expect(frame.rev, 'messages before CONNECTED').to.equal(rev);
      if (frame.type === 'message') received.push(frame.data.seq);
      rev = frame.rev;
    }
    expect(answers).to.deep.equal(upTo(burst - 1, 0).flatMap((n) => [n, `confirmed ${n}`]));
    expect(received).to.deep.equal(upTo(2 * burst));
  });

  it('delivers a burst to a banned user up to the ban and not after it', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const witness = await socketIn(owner, room.id);
    const sender = await socketIn(owner, room.id);
    const web = await socketIn(guest, room.id, ['websocket']);
    const poll = await socketIn(guest, room.id, ['polling']);
    const chat = await chatInRoom(url(), guest, room.id);
    const send = (part: string) =>
      upTo(burst).map((n) => sender.request('message:send', { room_id: room.id, content: `${part} ${n}` }));
    const before = send('before');
    // The ban is committed in the middle of the burst.
    await before[0];
    const during = send('during');
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'b' });
    const sent = await Promise.all([...before, ...during, ...send('after')]);
    expect(sent.every(({ ok }) => ok)).to.equal(true);

    const log: { name: string; payload: Json }[] = [];
    let seen = 0;
    while (seen < 3 * burst) {
      const one = await witness.nextOfAny();
      log.push(one);
      if (one.name === 'message:new') seen += 1;
    }
    const ban = log.find(({ name, payload }) => name === 'member:changed' && payload.permissions === 'b')!.payload.rev;
    const revs = log.filter(({ name }) => name === 'message:new').map(({ payload }) => payload.rev);
    const allowed = revs.filter((rev) => rev < ban);
    expect(allowed.length).to.be.within(1, 3 * burst - 1);

    for (const socket of [web, poll]) {
      const received: number[] = [];
      for (let one = await socket.nextOfAny(); one.name !== 'room:removed'; one = await socket.nextOfAny()) {
        if (one.name === 'message:new') received.push(one.payload.rev);
      }
      expect(received).to.deep.equal(allowed);
      await socket.request('room:leave', { room_id: room.id });
      expect(socket.unread).to.deep.equal([]);
    }
    const received: number[] = [];
    for (let frame = await chat.next(); frame.type === 'message'; frame = await chat.next()) received.push(frame.rev);
    expect(received).to.deep.equal(allowed);
    chat.send({ type: 'message', content: 'the fence' });
    expect(await chat.next()).to.include({ data: 'SELECTROOM?' });
  });

  it('delivers all messages between joining and leaving to a client that does both during a burst', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const sender = await socketIn(owner, room.id);
    let hasEnded = false;
    let sent = 0;
    const sending = (async () => {
      while (!hasEnded) {
        const acks = upTo(20).map((n) => sender.request('message:send', { room_id: room.id, content: `${sent} ${n}` }));
        sent += (await Promise.all(acks)).length;
      }
    })();
    const visits = 8;

    async function visitBySocket(transport: string): Promise<number> {
      const socket = await socketClient(url(), owner, { transports: [transport] });
      let total = 0;
      for (let n = 0; n < visits; n++) {
        const { rev } = await socket.request('room:join', { room_id: room.id });
        await socket.next('message:new').then((first) => expect(first.rev).to.equal(rev + 1));
        await socket.request('room:leave', { room_id: room.id });
        const received = await takeAll(socket);
        expect(received, transport).to.deep.equal(upTo(rev + 1 + received.length, rev + 2));
        total += received.length + 1;
      }
      return total;
    }

    /** Returns everything that has arrived, after nothing can arrive any more. */
    async function takeAll({ unread, next }: SocketClient): Promise<number[]> {
      const revs: number[] = [];
      while (unread.length > 0) revs.push((await next()).rev);
      return revs;
    }

    async function visitByChat(): Promise<number> {
      const chat = await chatInRoom(url(), owner, room.id);
      let { rev } = chat.connected;
      let total = 0;
      for (let n = 0; n < visits; n++) {
        const first = await chat.next();
        expect(first.rev).to.equal(rev + 1);
        // The room does not exist; the previous room is left all the same.
        chat.send({ type: 'select_room', room_id: 987_654_321, id: 'left' });
        const received: number[] = [];
        let frame = await chat.next();
        for (; frame.type === 'message'; frame = await chat.next()) received.push(frame.rev as Json);
        expect(frame).to.include({ id: 'left' });
        expect(received).to.deep.equal(upTo(rev + 1 + received.length, rev + 2));
        total += received.length + 1;
        chat.send({ type: 'select_room', room_id: room.id });
        const connected = await chat.next();
        expect(connected).to.include({ data: 'CONNECTED' });
        rev = connected.rev;
      }
      return total;
    }

    const visiting = Promise.all([visitBySocket('websocket'), visitBySocket('polling'), visitByChat()]);
    const totals = await visiting.finally(() => {
      hasEnded = true;
    });
    await sending;
    for (const total of totals) expect(total).to.be.at.least(visits);
  });
});
