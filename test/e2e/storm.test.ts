import { expect } from 'chai';
import { io } from 'socket.io-client';
import WebSocket from 'ws';
import type { Message } from '../../src/core/log/message.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

const roomCount = 5;
const connectionCount = 50;

interface Received {
  room_id: number;
  seq: number;
  rev: number;
  content: string;
}

/** The messages that a client has received; the acknowledgement of a message may arrive before its delivery from another node. */
class ReceivedMessages {
  readonly all: Received[] = [];
  #enough = () => {};
  #expected = Number.POSITIVE_INFINITY;

  push(message: Received): void {
    this.all.push(message);
    if (this.all.length >= this.#expected) this.#enough();
  }

  reach(count: number): Promise<void> {
    this.#expected = count;
    return new Promise((resolve) => {
      this.#enough = resolve;
      if (this.all.length >= count) resolve();
    });
  }
}

/** One of the fifty clients: it only counts, so that the clients do not need more CPU time than the server. */
interface StormClient {
  received: ReceivedMessages;
  duplicates: number;
  /** Resolves with the message when it is acknowledged; on `/chat` that is its echo. */
  send(content: string, client_msg_id: string): Promise<Pick<Message, 'seq' | 'content'>>;
}

async function socketTalker(url: string, { token }: TestUser, room_id: number): Promise<StormClient> {
  const socket = io(`${url}/rooms`, { auth: { token }, forceNew: true, transports: ['websocket'] });
  closeLater(() => socket.close());
  const received = new ReceivedMessages();
  socket.on('message:new', (message: Received) => received.push(message));
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  expect(await socket.emitWithAck('room:join', { room_id })).to.include({ ok: true });
  const client: StormClient = {
    received,
    duplicates: 0,
    async send(content, client_msg_id) {
      const ack = await socket.emitWithAck('message:send', { room_id, content, client_msg_id });
      expect(ack, JSON.stringify(ack)).to.include({ ok: true });
      if (ack.duplicate) client.duplicates += 1;
      return ack.message;
    },
  };
  return client;
}

async function chatTalker(url: string, { token }: TestUser, room_id: number): Promise<StormClient> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/chat`);
  closeLater(() => socket.terminate());
  const received = new ReceivedMessages();
  const waiting = new Map<string, (message: Message) => void>();
  const connected = new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('message', (data) => {
      const frame = JSON.parse(data.toString());
      if (frame.data === 'CONNECTED') return resolve();
      if (frame.type !== 'message') return frame.data === 'ERROR' && reject(new Error(data.toString()));
      if (frame.duplicate) client.duplicates += 1;
      else received.push({ ...frame.data, rev: frame.rev });
      waiting.get(frame.id)?.(frame.data);
    });
  });
  const client: StormClient = {
    received,
    duplicates: 0,
    send(content, client_msg_id) {
      const id = `${client_msg_id}/${Math.random()}`;
      socket.send(JSON.stringify({ type: 'message', content, client_msg_id, id }));
      return new Promise((resolve) => waiting.set(id, resolve));
    },
  };
  await new Promise((resolve) => socket.once('open', resolve));
  socket.send(JSON.stringify({ type: 'token', content: token }));
  socket.send(JSON.stringify({ type: 'select_room', room_id }));
  await connected;
  return client;
}

describeBothDatabases('Messages from 50 connections into 5 rooms at once', (node) => {
  for (const [messagesPerConnection, times, title] of [
    [200, 1, '10,000'],
    [40, 2, '2,000 twice-sent'],
  ] as const) {
    it(`acknowledges, stores and delivers ${title} messages for every subscriber once and in order`, async function () {
      this.timeout(120_000);
      const owner = createUser({ level: 100 });
      const people = Array.from({ length: connectionCount }, () => createUser({ entity: owner.entity, level: 100 }));
      const rooms: number[] = [];
      for (let n = 0; n < roomCount; n++) {
        const made = await rest(node.url(), owner.token).post('/rooms', { name: `storm ${n}` });
        expect(made.status, JSON.stringify(made.body)).to.equal(200);
        rooms.push(made.body.content.room.id);
      }
      const roomOf = (n: number) => rooms[n % roomCount]!;
      const clients = await Promise.all(
        people.map((person, n) => (n % 2 ? chatTalker : socketTalker)(node.url(), person, roomOf(n))),
      );

      const acknowledged = new Map(rooms.map((room) => [room, new Map<number, string>()]));
      await Promise.all(
        clients.map(async (client, n) => {
          const sends: Promise<unknown>[] = [];
          for (let message = 0; message < messagesPerConnection; message++) {
            const content = `${n}/${message}`;
            for (let time = 0; time < times; time++) {
              const sent = client.send(content, `storm-${n}-${message}`).then((stored) => {
                expect(stored.content).to.equal(content);
                acknowledged.get(roomOf(n))!.set(stored.seq, content);
              });
              sends.push(sent);
            }
          }
          await Promise.all(sends);
        }),
      );

      const perRoom = (connectionCount / roomCount) * messagesPerConnection;
      for (const room of rooms) {
        const stored = await wholeHistory(node.url(), owner, room);
        expect(stored.map(({ seq }) => seq)).to.deep.equal(Array.from({ length: perRoom }, (_, n) => n + 1));
        expect(new Map(stored.map(({ seq, content }) => [seq, content]))).to.deep.equal(
          new Map([...acknowledged.get(room)!].sort(([a], [b]) => a - b)),
        );
        for (const [n, client] of clients.entries()) {
          if (roomOf(n) !== room) continue;
          await client.received.reach(perRoom);
          const received = client.received.all.map(({ seq, content }) => ({ seq, content }));
          expect(received, `connection ${n}`).to.deep.equal(stored.map(({ seq, content }) => ({ seq, content })));
          const own = stored.filter(({ content }) => content.startsWith(`${n}/`)).map(({ content }) => content);
          expect(own, 'its own in the order of sending').to.deep.equal(
            Array.from({ length: messagesPerConnection }, (_, message) => `${n}/${message}`),
          );
        }
      }
      const duplicates = clients.reduce((sum, client) => sum + client.duplicates, 0);
      expect(duplicates).to.equal((times - 1) * connectionCount * messagesPerConnection);
    });
  }
});

async function wholeHistory(url: string, person: TestUser, room: number): Promise<Message[]> {
  const all: Message[] = [];
  for (;;) {
    const { body } = await rest(url, person.token).get(
      `/rooms/${room}/messages?limit=500&after=${all.at(-1)?.seq ?? 0}`,
    );
    all.push(...body.content);
    if (!body.meta.has_more) return all;
  }
}
