import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { freePort } from '../helpers/free-port.ts';
import { PollingSession, splitPackets } from '../helpers/polling-session.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { runCommand, runServer } from '../helpers/process.ts';
import { startRedis } from '../helpers/redis.ts';
import { rest } from '../helpers/rest-client.ts';
import { revoke } from '../helpers/revocations.ts';
import { createMember, createRoomWithOwner } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { adminToken, createUser, type TestUser, testSecret } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

type Server = Awaited<ReturnType<typeof startWorkers>>;

/** Unless a test demands it, no reconciliation runs, because it could hide a lost message. */
async function startWorkers(env: Record<string, string | number> = {}) {
  const DATABASE_URL = await freshDatabase();
  const settings = { WORKERS: 2, JWT_SECRET: testSecret, ADMIN_TOKEN: adminToken, SWEEP_SECONDS: 3_600 };
  const server = await runServer({ ...settings, DATABASE_URL, PORT: await freePort(), ...env });
  return { ...server, workers: () => listWorkers(server.readOutput()) };
}

/** The worker of each line, in the order of the starts. */
function listWorkers(output: string): { slot: number; pid: number }[] {
  const lines = output.matchAll(/"worker":(\d+),"workerPid":(\d+),"msg":"worker serves"/g);
  return [...lines].map(([, slot, pid]) => ({ slot: Number(slot), pid: Number(pid) }));
}

/** The id of the worker that has the session; it equals the slot until a worker has been started again. */
const workerOf = ({ raw }: SocketClient) => Number(raw.io.engine.id!.split('-')[0]);

/** Twice as many as a test needs, because the connections that `socketOn` has closed may still be counted. */
const maxPerUser = 8;

/** Connects again and again, until the connection is on this worker. */
async function socketOn(url: string, person: TestUser, worker: number, options = {}): Promise<SocketClient> {
  for (;;) {
    const socket = await socketClient(url, person, options);
    if (workerOf(socket) === worker) return socket;
    socket.close();
  }
}

async function joined(socket: SocketClient, room: { id: number }, options = {}): Promise<SocketClient> {
  expect(await socket.request('room:join', { room_id: room.id, ...options })).to.include({ ok: true });
  return socket;
}

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

const opened = 'nano_messaging_connections_opened_total{transport="socketio"}';

const readMetrics = async (url: string): Promise<string> => String((await rest(url).get('/metrics')).body);

describe('Two workers on one port', function () {
  this.timeout(60_000);
  let server: Server;
  before(async () => {
    server = await startWorkers({ MAX_CONNECTIONS_PER_USER: maxPerUser });
  });

  it('deliver the messages of one worker to the members on both, on Socket.IO and /chat', async () => {
    const { url } = server;
    const { owner, room } = await createRoomWithOwner(url);
    const near = await joined(await socketOn(url, owner, 1), room);
    const far = await joined(await socketOn(url, owner, 2), room);
    // The workers get new connections in turn, so one of these is on the worker that does not send.
    const chats = [await chatInRoom(url, owner, room.id), await chatInRoom(url, owner, room.id)];
    for (const sender of [near, far]) {
      await sender.request('message:send', { room_id: room.id, content: `from ${workerOf(sender)}` });
      for (const socket of [near, far]) {
        expect((await socket.next('message:new')).content).to.equal(`from ${workerOf(sender)}`);
      }
      for (const chat of chats)
        await chat.skipTo((frame) => JSON.stringify(frame).includes(`from ${workerOf(sender)}`));
    }
  });

  it('let a client begin with long polling and change to WebSocket, wherever its connections arrive', async () => {
    const { url } = server;
    const people = Array.from({ length: 8 }, () => createUser());
    const sockets = await Promise.all(people.map((person) => socketClient(url, person)));
    await waitUntil('all have changed to WebSocket', () =>
      sockets.every(({ raw }) => raw.io.engine.transport.name === 'websocket'),
    );
    expect(new Set(sockets.map(workerOf)).size).to.equal(2);
    for (const socket of sockets) expect((await socket.request('room:join', { room_id: 1e9 })).ok).to.equal(false);
  });

  it('answer long polling on new connections, each of which may arrive at the other worker', async () => {
    const { url } = server;
    const { owner, room } = await createRoomWithOwner(url);
    const session = await PollingSession.connected(url, owner.token);
    const content = 'x'.repeat(8_000);
    await session.post(`42/rooms,0${JSON.stringify(['room:join', { room_id: room.id }])}`);
    await session.poll();
    for (let n = 1; n <= 4; n++) {
      const sent = await session.post(
        `42/rooms,${n}${JSON.stringify(['message:send', { room_id: room.id, content }])}`,
      );
      expect(sent.status).to.equal(200);
      const packets: string[] = [];
      while (packets.length < 2) packets.push(...splitPackets(await session.poll()));
      expect(packets.map((packet) => packet.slice(0, 11))).to.have.members(['42/rooms,["', `43/rooms,${n}[`]);
    }
    const unknown = await fetch(`${url}/socket.io/?EIO=4&transport=polling&sid=9-${'x'.repeat(20)}`);
    expect(await unknown.json()).to.deep.include({ message: 'Session ID unknown' });
  });

  it('keep HTTP connections open between requests', async () => {
    const answers = [await fetch(`${server.url}/healthz`), await fetch(`${server.url}/healthz`)];
    for (const { headers } of answers) expect(headers.get('connection')).to.equal('keep-alive');
  });

  it('count the connections of a user together', async () => {
    const person = createUser();
    for (let n = 0; n < maxPerUser; n++) await socketClient(server.url, person);
    const refused = await socketClient(server.url, person).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refused).to.have.nested.property('data.code', 'TOO_MANY_CONNECTIONS');
  });

  it('know who is present on the other worker', async () => {
    const { url } = server;
    const { owner, room } = await createRoomWithOwner(url);
    const person = await createMember(url, owner, room);
    const near = await joined(await socketOn(url, owner, 1), room, { presence: true });
    await joined(await socketOn(url, person, 2), room);
    const both = [owner.user, person.user].sort();
    for (;;) {
      const { users } = await near.next('presence:changed');
      if (JSON.stringify(users) === JSON.stringify(both)) break;
    }
  });

  it('end the connections of a revoked user on both workers at once', async () => {
    const person = createUser();
    const sockets = [await socketOn(server.url, person, 1), await socketOn(server.url, person, 2)];
    await revoke(server.url, { userUUID: person.user, issued_before: Math.floor(Date.now() / 1_000) + 1 });
    for (const { closed } of sockets) expect(await closed).to.equal('io server disconnect');
  });

  it('answer /metrics with the sums of both', async () => {
    const { url } = server;
    // The connections of earlier tests may still be ending, so the test counts those that are opened.
    const before = await readCounter(url, opened);
    const sockets: SocketClient[] = [];
    while (new Set(sockets.map(workerOf)).size < 2) sockets.push(await socketClient(url, createUser()));
    await waitUntil(
      'the connections to both are counted',
      async () => (await readCounter(url, opened)) === before + sockets.length,
    );
    const text = await readMetrics(url);
    expect(text).to.match(/^nano_messaging_workers 2$/m);
    expect(text).to.match(/^nano_messaging_node_info\{.*\} 1$/m);
    expect(text).to.match(/^nano_messaging_event_loop_busy_seconds_total\{worker="2"\} /m);
    expect(text).to.match(/^nano_messaging_bus_up 1$/m);
  });

  it('start a killed worker again, count its connections no longer, and serve in the meantime', async () => {
    const { url } = server;
    const { owner, room } = await createRoomWithOwner(url);
    const near = await joined(await socketOn(url, owner, 1), room);
    const far = await socketOn(url, owner, 2);
    const openedBefore = await readCounter(url, opened);
    process.kill(server.workers().find(({ slot }) => slot === 2)!.pid, 'SIGKILL');
    // A killed process ends its connections with a FIN or, if it has not read everything, with a RST.
    expect(await far.closed).to.be.oneOf(['transport close', 'transport error']);
    expect(await near.request('message:send', { room_id: room.id, content: 'alone' })).to.include({ ok: true });
    expect((await near.next('message:new')).content).to.equal('alone');
    await waitUntil('the worker serves again', () => server.workers().length === 3, 20_000);
    // The user has one connection now; the lease of the other one would not have expired yet.
    for (let n = 1; n < maxPerUser; n++) await socketClient(url, owner);
    expect(server.workers().map(({ slot }) => slot)).to.deep.equal([1, 2, 2]);
    await waitUntil(
      'the metrics count the start',
      async () => (await readCounter(url, 'nano_messaging_workers')) === 2,
      20_000,
    );
    expect(await readCounter(url, 'nano_messaging_worker_restarts_total')).to.equal(1);
    // Prometheus would take a smaller sum for a restart of the node.
    await waitUntil('the sum has grown', async () => (await readCounter(url, opened)) > openedBefore);
    server.kill('SIGTERM');
    expect((await server.exited).code).to.equal(0);
  });
});

describe('A fault of one of two workers', function () {
  this.timeout(60_000);

  it('a frozen worker gets no new connections, and catches up after it has continued; the workers end with their primary', async () => {
    const server = await startWorkers();
    const { url } = server;
    const { owner, room } = await createRoomWithOwner(url);
    const near = await joined(await socketOn(url, owner, 1), room);
    const far = await joined(await socketOn(url, owner, 2), room);
    const { pid } = server.workers().find(({ slot }) => slot === 2)!;
    process.kill(pid, 'SIGSTOP');
    closeLater(() => void (isAlive(pid) && process.kill(pid, 'SIGCONT')));
    for (let n = 0; n < 20; n++) await near.request('message:send', { room_id: room.id, content: `${n}` });
    // The frozen worker takes at most one of the connections.
    let answers = 0;
    const waiting = new AbortController();
    for (let n = 0; n < 4; n++) {
      const answered = () => {
        answers += 1;
      };
      fetch(`${url}/healthz`, { signal: waiting.signal, headers: { connection: 'close' } }).then(answered, () => {});
    }
    await waitUntil('the other worker answers', () => answers >= 3, 20_000);
    waiting.abort();
    process.kill(pid, 'SIGCONT');
    for (let n = 0; n < 20; n++) expect((await far.next('message:new')).content).to.equal(`${n}`);
    // The workers end with their primary.
    server.kill('SIGKILL');
    await server.exited;
    await waitUntil('the workers have ended', () => server.workers().every(({ pid }) => !isAlive(pid)), 20_000);
  });

  it('a worker that the database refuses while it starts is started again, and the first one goes on serving', async () => {
    const address = new URL(await freshDatabase());
    const line = await tcpProxy(address.hostname, Number(address.port));
    address.port = String(line.port);
    const settings = { WORKERS: 2, JWT_SECRET: testSecret, PORT: 0, HOST: '127.0.0.1' };
    const command = runCommand('bin/start.ts', { ...settings, DATABASE_URL: address.href });
    const hasOutput = (pattern: RegExp) => () => pattern.test(command.readOutput());
    let cutOnce = () => {
      if (listWorkers(command.readOutput()).length === 0) return;
      line.cut();
      cutOnce = () => {};
    };
    command.outputListeners.add(() => cutOnce());
    await waitUntil('the second one has ended', hasOutput(/"worker":2,.*"msg":"worker ended; starting it again"/));
    line.restore();
    await waitUntil('both serve', () => listWorkers(command.readOutput()).length === 2);
    expect(listWorkers(command.readOutput()).map(({ slot }) => slot)).to.deep.equal([1, 2]);
    await waitUntil('the node is ready', hasOutput(/"msg":"listening on/));
    expect(command.child.exitCode).to.equal(null);
  });

  it('a first worker that cannot start ends the process with its error', async () => {
    const DATABASE_URL = 'postgres://postgres@127.0.0.1:1/none';
    const { code, output } = await runCommand('bin/start.ts', {
      WORKERS: 2,
      JWT_SECRET: testSecret,
      DATABASE_URL,
      PORT: 0,
    }).exited;
    expect(code).to.equal(1);
    expect(output.match(/could not start: .*ECONNREFUSED/g)).to.have.length(1);
  });
});

describe('Two machines with two workers each', function () {
  this.timeout(60_000);

  it('deliver a message of each worker to the members on all of them, once and in order', async () => {
    const { url: REDIS_URL } = await startRedis();
    const shared = { DATABASE_URL: await freshDatabase(), REDIS_URL };
    const machines = await Promise.all([startWorkers(shared), startWorkers(shared)]);
    const { owner, room } = await createRoomWithOwner(machines[0]!.url);
    const sockets: SocketClient[] = [];
    const chats: Awaited<ReturnType<typeof chatInRoom>>[] = [];
    for (const { url } of machines) {
      for (const worker of [1, 2]) sockets.push(await joined(await socketOn(url, owner, worker), room));
      // The workers get new connections in turn.
      for (let n = 0; n < 2; n++) chats.push(await chatInRoom(url, owner, room.id));
    }
    // Nothing is sent until everybody has the message before, so no gap shows a node that it has missed something.
    for (let n = 1; n <= 3 * sockets.length; n++) {
      const content = `${n}`;
      await sockets[n % sockets.length]!.request('message:send', { room_id: room.id, content });
      for (const socket of sockets) expect(await socket.next('message:new')).to.include({ content, seq: n });
      for (const chat of chats) expect(await chat.next()).to.nested.include({ 'data.content': content });
    }
  });
});

async function readCounter(url: string, name: string): Promise<number> {
  const line = (await readMetrics(url)).split('\n').find((text) => text.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1));
}
