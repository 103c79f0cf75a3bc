import { request } from 'node:http';
import { databaseSession } from '../../test/helpers/database-session.ts';
import { PollingSession } from '../../test/helpers/polling-session.ts';
import { frame, opcodes, RawWebSocket } from '../../test/helpers/raw-web-socket.ts';
import { rest } from '../../test/helpers/rest-client.ts';
import type { TestUser } from '../../test/helpers/users.ts';

export interface Target {
  url: string;
  /** A user who may send in the room; undefined without `--token`. */
  person: Pick<TestUser, 'token'> | undefined;
  room_id: number;
  /** Set only if the runner has started the service itself. */
  databaseUrl: string | undefined;
  connections: number;
  until: number;
}

/** The number of bytes that the attacker could send, and of connections that are still open at the end. */
export interface Outcome {
  sentBytes: number;
  open: number;
}

export interface Attack {
  what: string;
  needs?: ('token' | 'database')[];
  settings?: Record<string, string | number>;
  run(target: Target): Promise<Outcome>;
}

const engine = '/socket.io/?EIO=4&transport=websocket';
const isTime = ({ until }: Target) => performance.now() < until;

async function openAll(url: string, path: string, count: number): Promise<RawWebSocket[]> {
  const sockets: RawWebSocket[] = [];
  // The server may refuse some connections; the attack measures how many.
  for (let n = 0; n < count; n++)
    await RawWebSocket.open(url, path).then(
      (raw) => sockets.push(raw),
      () => {},
    );
  return sockets;
}

/**
 * A client that does not read notices the end of a connection late. All sockets therefore read at the end, which shows
 * the closed connections.
 */
async function outcomeOf(sockets: RawWebSocket[]): Promise<Outcome> {
  for (const { socket } of sockets) socket.resume();
  await pause(500);
  const sentBytes = sockets.reduce((sum, { socket }) => sum + socket.bytesWritten, 0);
  return { sentBytes, open: sockets.filter(({ socket }) => !socket.destroyed).length };
}

function destroyAll(sockets: RawWebSocket[]): void {
  for (const socket of sockets) socket.destroy();
}

const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(opcodes.ping, 'x'.repeat(125))));

/** Sends pings on one connection and opens a new connection when the server closes it, as a careless client would. */
function pingFlood(path: string): Attack['run'] {
  return async (target) => {
    const all: RawWebSocket[] = [];
    while (isTime(target)) {
      const [raw] = await openAll(target.url, path, 1);
      if (!raw) continue;
      all.push(raw);
      raw.stopReading();
      while (isTime(target) && !raw.socket.destroyed) {
        raw.send(pings);
        await Promise.race([raw.drained(), pause(500)]);
        await pause(0);
      }
    }
    const outcome = await outcomeOf(all);
    destroyAll(all);
    return outcome;
  };
}

/** Opens many connections and starts something on each of them that never ends. */
function begun(path: string, bytes: Buffer): Attack['run'] {
  return async (target) => {
    const sockets = await openAll(target.url, path, target.connections);
    for (const raw of sockets) raw.send(bytes);
    await Promise.all(sockets.map((raw) => Promise.race([raw.drained(), pause(5_000)])));
    await pauseUntil(target);
    const outcome = await outcomeOf(sockets);
    destroyAll(sockets);
    return outcome;
  };
}

const fragments = Buffer.concat([
  frame(opcodes.text, 'x', { fin: false }),
  ...Array.from({ length: 16_300 }, () => frame(opcodes.continuation, 'x', { fin: false })),
]);
const large = frame(opcodes.text, 'x'.repeat(65_000), { length: 65_536 });

/** A room with many messages, and a member that reads none of them. */
async function busyRoom({ url, person, room_id }: Target, isOver: () => boolean): Promise<number> {
  const sender = rest(url, person!.token);
  let sent = 0;
  while (!isOver()) {
    const content = 'x'.repeat(8_000);
    const answers = await Promise.all(
      Array.from({ length: 16 }, () => sender.post(`/rooms/${room_id}/messages`, { content })),
    );
    sent += answers.filter(({ status }) => status === 201).length;
  }
  return sent * 8_000;
}

async function polls(target: Target): Promise<Outcome> {
  const sessions: PollingSession[] = [];
  for (let n = 0; n < Math.min(10, target.connections); n++) {
    const session = await PollingSession.connected(target.url, target.person!.token);
    await session.post(`42/rooms,1["room:join",${JSON.stringify({ room_id: target.room_id })}]`);
    sessions.push(session);
  }
  const sentBytes = await busyRoom(target, () => !isTime(target));
  const answers = await Promise.all(sessions.map((session) => session.post('3')));
  return { sentBytes, open: answers.filter(({ status }) => status === 200).length };
}

async function readsNothing(target: Target, path: string, hello: string[], ready: RegExp): Promise<Outcome> {
  const sockets = await openAll(target.url, path, Math.min(10, target.connections));
  for (const raw of sockets) {
    for (const text of hello) raw.text(text);
    await raw.waitForText(ready);
    raw.stopReading();
  }
  const sentBytes = await busyRoom(target, () => !isTime(target));
  const { open } = await outcomeOf(sockets);
  destroyAll(sockets);
  return { sentBytes, open };
}

/** Sends a body in chunks of one byte that never ends. */
async function dripped(target: Target): Promise<Outcome> {
  const sessions = await Promise.all(
    Array.from({ length: Math.min(200, target.connections) }, () => PollingSession.open(target.url)),
  );
  const chunks = Buffer.from('1\r\nx\r\n'.repeat(60_000));
  let open = 0;
  let sentBytes = 0;
  const requests = sessions.map((session) => {
    const headers = { 'Transfer-Encoding': 'chunked', 'Content-Type': 'text/plain' };
    const asked = request(session.address, { method: 'POST', headers, agent: false });
    open += 1;
    asked.once('close', () => {
      open -= 1;
    });
    asked.on('error', () => {});
    asked.on('response', (response) => response.resume());
    asked.on('socket', (socket) => {
      asked.flushHeaders();
      socket.write(chunks, () => {
        sentBytes += chunks.length;
      });
    });
    return asked;
  });
  await pauseUntil(target);
  const outcome = { sentBytes, open };
  for (const asked of requests) asked.destroy();
  return outcome;
}

async function probes(target: Target): Promise<Outcome> {
  const all: RawWebSocket[] = [];
  const probe = Buffer.concat(Array.from({ length: 5_000 }, () => frame(opcodes.text, '2probe')));
  const session = await PollingSession.open(target.url);
  while (isTime(target)) {
    const [raw] = await openAll(target.url, `${engine}&sid=${session.sid}`, 1);
    if (!raw) break;
    all.push(raw);
    raw.stopReading();
    while (isTime(target) && !raw.socket.destroyed) {
      raw.send(probe);
      await Promise.race([raw.drained(), pause(500)]);
      await pause(0);
    }
  }
  const outcome = await outcomeOf(all);
  destroyAll(all);
  return outcome;
}

/** Sends requests that wait, because the database does not answer. */
async function waiting(target: Target, path: string, hello: string[], ready: RegExp, asked: string) {
  const sockets = await openAll(target.url, path, Math.min(20, target.connections));
  for (const raw of sockets) {
    for (const text of hello) raw.text(text);
    await raw.waitForText(ready);
  }
  const session = await databaseSession(target.databaseUrl!);
  await session.query('begin');
  await session.query('lock table rooms in access exclusive mode');
  for (const raw of sockets) for (let n = 0; n < 1_000; n++) raw.text(asked);
  await pauseUntil(target);
  const outcome = await outcomeOf(sockets);
  destroyAll(sockets);
  await session.query('rollback');
  return outcome;
}

/** Opens connections that send nothing and do not answer the close frame. */
function ignoring(path: string): Attack['run'] {
  return async (target) => {
    const sockets = await openAll(target.url, path, 300);
    await pauseUntil(target);
    const outcome = await outcomeOf(sockets);
    destroyAll(sockets);
    return outcome;
  };
}

const chatHello = ({ person, room_id }: Target) => [
  JSON.stringify({ type: 'token', content: person!.token }),
  JSON.stringify({ type: 'select_room', room_id }),
];
const engineHello = ({ person }: Target) => [`40/rooms,${JSON.stringify({ token: person!.token })}`];
const engineJoin = ({ room_id }: Target) => `42/rooms,1["room:join",${JSON.stringify({ room_id })}]`;
const padding = 'p'.repeat(60_000);

export const attacks: Record<string, Attack> = {
  'pings-socketio': { what: 'one connection without a token sends pings and does not read', run: pingFlood(engine) },
  'pings-chat': { what: 'the same on /chat', run: pingFlood('/chat') },
  probes: { what: 'probes for an upgrade, whose answers nobody reads', run: probes },
  'fragments-socketio': { what: 'many connections with 16,300 fragments of a byte', run: begun(engine, fragments) },
  'fragments-chat': { what: 'the same on /chat', run: begun('/chat', fragments) },
  'begun-socketio': { what: 'many connections with a frame of 64 KiB that is never ended', run: begun(engine, large) },
  'begun-chat': { what: 'the same on /chat', run: begun('/chat', large) },
  'dripped-body': { what: 'bodies of long polling in chunks of a byte', run: dripped },
  'polls-never': { what: 'long polling that never polls, in a busy room', needs: ['token'], run: polls },
  'reads-nothing-socketio': {
    what: 'members of a busy room that do not read',
    needs: ['token'],
    run: (target) => readsNothing(target, engine, [...engineHello(target), engineJoin(target)], /^43\/rooms,1/),
  },
  'reads-nothing-chat': {
    what: 'the same on /chat',
    needs: ['token'],
    run: (target) => readsNothing(target, '/chat', chatHello(target), /CONNECTED/),
  },
  'waiting-socketio': {
    what: 'requests of 60 KB while the database hangs',
    needs: ['token', 'database'],
    run: (target) => {
      const draft = `["room:join",${JSON.stringify({ room_id: target.room_id, padding })}]`;
      return waiting(target, engine, engineHello(target), /^40\/rooms/, `42/rooms,2${draft}`);
    },
  },
  'waiting-chat': {
    what: 'the same on /chat',
    needs: ['token', 'database'],
    run: (target) => {
      const asked = JSON.stringify({ type: 'select_room', room_id: target.room_id, padding });
      return waiting(target, '/chat', chatHello(target).slice(0, 1), /READY/, asked);
    },
  },
  'ignoring-chat': {
    what: '300 connections that answer no close frame, where 20 may be without a token',
    settings: { MAX_UNAUTHENTICATED_CONNECTIONS: 20 },
    run: ignoring('/chat'),
  },
  'ignoring-socketio': {
    what: 'the same on Socket.IO',
    settings: { MAX_UNAUTHENTICATED_CONNECTIONS: 20 },
    run: ignoring(engine),
  },
};

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const pauseUntil = ({ until }: Target) => pause(Math.max(0, until - performance.now()));
