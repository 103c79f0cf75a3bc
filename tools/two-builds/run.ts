import { setTimeout as delay } from 'node:timers/promises';
import { io, type Socket } from 'socket.io-client';
import WebSocket from 'ws';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { freshDatabase } from '../../test/helpers/postgres.ts';
import { runServer } from '../../test/helpers/process.ts';
import { startRedis } from '../../test/helpers/redis.ts';
import { restCalls } from '../../test/helpers/rest-calls.ts';
import { createUser, type TestUser, testSecret } from '../../test/helpers/users.ts';
import { InvalidArgument, parseWholeNumber, readCommandLine } from '../command-line.ts';

const usage = `npm exec -- node tools/two-builds/run.ts --checkout FOLDER [options]: runs a node of another checkout and a node of this one on
the same database and Redis, as during a rolling upgrade. In half of the rooms, messages are edited, deleted and reacted to, which the
other build may not know. In all of them a user is banned. Reports whether the banned user received anything that was committed later.

  --checkout FOLDER   the other checkout, with its node_modules
  --rooms N           (20)
  --help

Exit codes: 0 nothing leaked; 1 something leaked or a ban was not applied; 2 invalid arguments`;

const options = { checkout: { type: 'string' }, rooms: { type: 'string', default: '20' } } as const;
const { checkout, roomCount } = readCommandLine(usage, options, (values) => {
  if (!values.checkout) throw new InvalidArgument('--checkout is required');
  return { checkout: values.checkout, roomCount: parseWholeNumber('rooms', values.rooms, 2) };
});

const sweepSeconds = 1;
const timeoutMs = 10_000;
const banTimes: number[] = [];
const failures: string[] = [];

const fail = (problem: string) => void failures.push(problem);
const client = (url: string, { token }: TestUser) => restCalls(url, token);

/** A user in one room over both live transports. Joins again with its cursor after each disconnect. */
class Member {
  /** Everything that was received, as one text. */
  received = '';
  reconnects = 0;
  isRemoved = false;
  readonly #socket: Socket;
  #chat: WebSocket | undefined;
  #isClosed = false;
  #cursor: string | undefined;
  #chatCursor: string | undefined;

  constructor(url: string, person: TestUser, room_id: number) {
    this.#socket = io(`${url}/rooms`, { auth: { token: person.token }, forceNew: true, transports: ['websocket'] });
    this.#socket.onAny((name: string, payload: { cursor?: string }) => {
      this.received += JSON.stringify([name, payload]);
      this.#cursor = payload.cursor ?? this.#cursor;
      if (name === 'room:removed') this.isRemoved = true;
    });
    this.#socket.on('connect', async () => {
      const joined = await this.#socket.emitWithAck('room:join', { room_id, since: this.#cursor });
      this.received += JSON.stringify(joined);
      this.#cursor = joined.cursor ?? this.#cursor;
      this.#openChat(url, person, room_id);
    });
    this.#socket.on('disconnect', (reason) => {
      if (reason !== 'io client disconnect') this.reconnects += 1;
    });
  }

  #openChat(url: string, { token }: TestUser, room_id: number): void {
    this.#chat?.close();
    this.#chat = new WebSocket(`${url.replace('http', 'ws')}/chat`);
    this.#chat.on('error', () => {});
    this.#chat.on('open', () => {
      this.#send({ type: 'token', content: token });
      this.#send({ type: 'select_room', room_id, since: this.#chatCursor });
    });
    this.#chat.on('message', (data) => {
      const frame = JSON.parse(data.toString());
      if (frame.type === 'message') this.#chatCursor = frame.cursor;
      this.received += data.toString();
    });
  }

  #send(command: object): void {
    if (!this.#isClosed && this.#chat?.readyState === WebSocket.OPEN) this.#chat.send(JSON.stringify(command));
  }

  async receive(text: string): Promise<void> {
    await waitFor(() => this.received.split(text).length > 2, `both transports to deliver ${text}`);
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.disconnect();
    this.#chat?.close();
  }
}

async function waitFor(isDone: () => boolean, what: string): Promise<void> {
  const startedAt = performance.now();
  while (!isDone()) {
    if (performance.now() - startedAt > timeoutMs) return fail(`waited ${timeoutMs} ms for ${what}`);
    await delay(5);
  }
}

interface Builds {
  older: string;
  newer: string;
}

interface Outcome {
  leaked: string[];
  reconnects: number;
}

/** One room: its guest is on the older build. Without `revises`, only messages and rules are written. */
async function runRoom({ older, newer }: Builds, n: number, revises: boolean): Promise<Outcome> {
  const owner = createUser({ level: 100 });
  const guest = createUser();
  const api = client(newer, owner);
  const id: number = (await api.post('/rooms', { name: `room ${n}` })).body.content.room.id;
  const path = `/rooms/${id}/messages`;
  await api.put(`/rooms/${id}/members`, { userUUID: guest.user, permissions: 'rw' });
  const member = new Member(older, guest, id);
  const text = (what: string) => `${what}-${n}-${owner.user.slice(0, 8)}`;
  await waitFor(() => member.received.includes('CONNECTED'), 'the guest to join');
  await api.post(path, { content: text('plain') });
  await api.post(path, { content: text('erased') });
  await member.receive(text('erased'));
  if (revises) {
    await api.patch(`${path}/1`, { content: text('edited') });
    await api.put(`${path}/1/reactions/${encodeURIComponent('👍')}`);
    await api.delete(`${path}/2`);
  }
  const startedAt = performance.now();
  const banning = n % 4 < 2 ? api : client(older, owner);
  const { status } = await banning.put(`/rooms/${id}/members`, { userUUID: guest.user, permissions: 'b' });
  if (status >= 300) fail(`the ban was answered ${status}`);
  const secrets = ['newer', 'older', 'revision'].map((build) => text(`secret-${build}`));
  const sends = [
    await api.post(path, { content: secrets[0] }),
    await client(older, owner).post(path, { content: secrets[1] }),
    await api.patch(`${path}/1`, { content: secrets[2] }),
  ];
  for (const sent of sends) if (sent.status >= 300) fail(`a message of the owner was answered ${sent.status}`);
  for (const url of [older, newer]) {
    const refused = await client(url, guest).post(path, { content: 'from a banned user' });
    const denied = await client(url, guest).get(path);
    if (refused.status !== 403 || denied.status !== 403) fail(`a banned user was answered ${refused.status}`);
  }
  if (!revises) {
    await waitFor(() => member.isRemoved, 'the guest to be removed');
    banTimes.push(performance.now() - startedAt);
  }
  await delay(3 * sweepSeconds * 1_000);
  const page = JSON.stringify((await client(older, owner).get(path)).body);
  if (revises && (page.includes(text('erased')) || page.includes(text('plain')))) fail('an erased text was in a page');
  if (!page.includes(secrets[0]!)) fail('the owner did not find a message in history');
  member.close();
  return { leaked: secrets.filter((secret) => member.received.includes(secret)), reconnects: member.reconnects };
}

async function main(): Promise<boolean> {
  const redis = await startRedis();
  const env = {
    ...{ DATABASE_URL: await freshDatabase(), REDIS_URL: redis.url, SWEEP_SECONDS: sweepSeconds },
    ...{ JWT_SECRET: testSecret, SEND_RATE: 0, REQUEST_RATE: 0, RULE_RATE: 0, MAX_CONNECTIONS_PER_USER: 0 },
  };
  // The older build creates its tables, serves, and stays up while the newer one migrates.
  const olderNode = await runServer(env, checkout);
  const newerNode = await runServer(env);
  const builds = { older: olderNode.url, newer: newerNode.url };
  const runs = Array.from({ length: roomCount }, (_, n) => ({ n, revises: n % 2 === 0 }));
  const outcomes: (Outcome & { revises: boolean })[] = [];
  for (let from = 0; from < runs.length; from += 5) {
    const step = runs.slice(from, from + 5).map(async ({ n, revises }) => ({
      ...(await runRoom(builds, n, revises)),
      revises,
    }));
    outcomes.push(...(await Promise.all(step)));
  }
  for (const [name, { child }] of Object.entries({ olderNode, newerNode })) {
    if (child.exitCode !== null || child.signalCode !== null) fail(`${name} ended`);
  }
  for (const revises of [false, true]) {
    const own = outcomes.filter((outcome) => outcome.revises === revises);
    const leaked = own.flatMap((outcome) => outcome.leaked);
    const reconnects = own.reduce((sum, outcome) => sum + outcome.reconnects, 0);
    console.log(
      `${own.length} rooms ${revises ? 'with' : 'without'} edits, reactions and deletions: ${own.length} bans, ${leaked.length} of ${3 * own.length} texts leaked, ${reconnects} reconnects`,
    );
  }
  const [slowest = 0] = banTimes.sort((a, b) => b - a);
  console.log(`slowest removal on the other build, in rooms without edits: ${slowest.toFixed(0)} ms after the request`);
  for (const failure of new Set(failures)) console.log(`failed: ${failure}`);
  return failures.length === 0 && outcomes.every(({ leaked }) => leaked.length === 0);
}

const isPassed = await main().finally(onRunEnd);
process.exit(isPassed ? 0 : 1);
