import WebSocket from 'ws';
import { closeLater } from './cleanup.ts';
import { rest } from './rest-client.ts';
import { createRoom, putRule } from './rooms.ts';
import { createUser, type TestUser } from './users.ts';
import { waitUntil } from './wait-until.ts';

/** The raw text of everything that a connection to `/chat` received, and the code with which it was closed. */
interface Transcript {
  readonly texts: string[];
  send(...commands: (object | string)[]): void;
  /** Waits until this many texts have arrived; the close counts as one. */
  until(count: number): Promise<void>;
}

async function connect(url: string): Promise<Transcript> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/chat`);
  closeLater(() => socket.terminate());
  const texts: string[] = [];
  socket.on('message', (data) => void texts.push(data.toString()));
  socket.on('close', (code) => void texts.push(`closed with ${code}`));
  socket.on('error', (error) => void texts.push(String(error)));
  const until = (count: number) =>
    waitUntil(`${count} texts`, () => texts.length >= count).catch((error) => {
      throw new Error(`${error.message}; arrived:\n${texts.join('\n')}`);
    });
  await until(1);
  return {
    texts,
    send(...commands) {
      for (const command of commands) socket.send(typeof command === 'string' ? command : JSON.stringify(command));
    },
    until,
  };
}

/** Users and rooms with the same identifiers in every run, on a database that no other test uses. */
const person = (digit: number, level = 0): TestUser =>
  createUser({
    user: `0000000${digit}-0000-4000-8000-000000000000`,
    entity: `0000000${digit}-0000-4000-8000-000000000001`,
    level,
  });
const ana = person(1, 100);
const ben = person(2);

async function enter(url: string, { token }: TestUser, room: { id: number }, more: object = {}): Promise<Transcript> {
  const chat = await connect(url);
  chat.send({ type: 'token', content: token }, { type: 'select_room', room_id: room.id, ...more });
  await chat.until(3);
  return chat;
}

async function roomWithBen(url: string): Promise<{ id: number }> {
  const room = await createRoom(url, ana);
  await putRule(url, ana, room, { userUUID: ben.user, permissions: 'rw' });
  return room as { id: number };
}

/** Not with the client of the tests, which would reject the answers of an old build. */
async function say(url: string, room: { id: number }, ...contents: string[]): Promise<void> {
  for (const content of contents) {
    await fetch(`${url}/rooms/${room.id}/messages`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${ana.token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ content }),
    });
  }
}

/** What clients of the legacy service do. Each session returns what its connections received. */
export const legacySessions: Record<string, (url: string) => Promise<Transcript[]>> = {
  async 'three bad tokens'(url) {
    const chat = await connect(url);
    for (let n = 0; n < 3; n++) chat.send({ type: 'token', content: 'no token' });
    await chat.until(5);
    return [chat];
  },
  async 'commands before a token, before a room, and unknown commands'(url) {
    const chat = await connect(url);
    chat.send({ type: 'select_room', room_id: 1 });
    await chat.until(2);
    chat.send({ type: 'token', content: ana.token }, { type: 'message', content: 'nowhere' }, { type: 'hello', id: 1 });
    await chat.until(5);
    return [chat];
  },
  async 'a room that does not exist, and one without access'(url) {
    const room = await createRoom(url, ana);
    const chat = await connect(url);
    chat.send(
      { type: 'token', content: ben.token },
      { type: 'select_room', room_id: 999_999 },
      { type: 'select_room', room_id: room.id, id: 'x' },
      { type: 'select_room' },
    );
    await chat.until(5);
    return [chat];
  },
  async 'a message with and without an id, and with the old field'(url) {
    const chat = await enter(url, ana, (await createRoom(url, ana)) as { id: number });
    chat.send({ type: 'message', content: 'Fueled up' }, { type: 'message', content: 'ready', id: 7 });
    chat.send({ type: 'message', msg: 'to go — ñ 🚀', id: 'old' });
    await chat.until(6);
    return [chat];
  },
  async 'a message that is sent twice'(url) {
    const chat = await enter(url, ana, (await createRoom(url, ana)) as { id: number });
    for (let n = 0; n < 2; n++) chat.send({ type: 'message', content: 'once', client_msg_id: 'm1', id: n });
    await chat.until(5);
    return [chat];
  },
  async 'refused messages'(url) {
    const chat = await enter(url, ana, (await createRoom(url, ana)) as { id: number });
    for (const content of [42, '', null, 'x'.repeat(8_193)]) chat.send({ type: 'message', content, id: 'no' });
    await chat.until(7);
    return [chat];
  },
  async 'history, with and without an id'(url) {
    const room = await roomWithBen(url);
    await say(url, room, 'one', 'two', 'three');
    const chat = await enter(url, ben, room);
    chat.send({ type: 'get_past_messages' });
    await chat.until(6);
    chat.send({ type: 'get_past_messages', limit: 2, id: 'page' });
    await chat.until(9);
    return [chat];
  },
  async 'live messages of others, and nothing of a rule that changed'(url) {
    const room = await roomWithBen(url);
    const [near, far] = [await enter(url, ana, room), await enter(url, ben, room)];
    near.send({ type: 'message', content: 'from /chat', client_msg_id: 'live' });
    await far.until(4);
    await putRule(url, ana, room, { userUUID: person(3).user, permissions: 'r' });
    await rest(url, ana.token).patch(`/rooms/${room.id}`, { name: 'renamed' });
    await say(url, room, 'from REST');
    await Promise.all([near.until(5), far.until(5)]);
    return [near, far];
  },
  async 'a reconnection with since'(url) {
    const room = await roomWithBen(url);
    const before = await enter(url, ben, room);
    const { cursor } = JSON.parse(before.texts.at(-1)!);
    before.send({ type: 'quit' });
    await before.until(4);
    await say(url, room, 'missed', 'missed, too');
    const after = await enter(url, ben, room, { since: cursor, id: 'again' });
    await after.until(5);
    return [before, after];
  },
  async 'a ban, and then text that is not JSON'(url) {
    const room = await roomWithBen(url);
    const chat = await enter(url, ben, room);
    await putRule(url, ana, room, { userUUID: ben.user, permissions: 'b' });
    await chat.until(4);
    chat.send({ type: 'message', content: 'still here?' }, { type: 'select_room', room_id: room.id }, '{');
    await chat.until(8);
    return [chat];
  },
};

/** Replaces what differs between two runs: dates, and the time in a cursor. */
export const withoutTimes = (text: string): string =>
  text
    .replace(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/g, '"DATE"')
    .replace(/"cursor":"([0-9a-z]+\.[0-9a-z]+)\.[0-9a-z]+"/g, '"cursor":"$1.TIME"');

/** Runs the sessions in this order on a node with an empty database. */
export async function runLegacySessions(url: string): Promise<Record<string, string[][]>> {
  const received: Record<string, string[][]> = {};
  for (const [title, session] of Object.entries(legacySessions)) {
    received[title] = (await session(url)).map(({ texts }) => texts.map(withoutTimes));
  }
  return received;
}
