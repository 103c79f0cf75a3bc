import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import type { RunningServer } from '../../src/server.ts';
import { putKeyedRoom } from '../helpers/admin-rooms.ts';
import {
  type Balancer,
  type BalancerKind,
  findBalancer,
  startBalancer,
  validateConfiguration,
} from '../helpers/balancer.ts';
import { chatInRoom } from '../helpers/chat-client.ts';
import { databaseSession, lockRoom } from '../helpers/database-session.ts';
import { postgres, type Settings, startNode } from '../helpers/node.ts';
import { PollingSession } from '../helpers/polling-session.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { sharedRedis } from '../helpers/redis.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { adminToken, createUser, type TestUser } from '../helpers/users.ts';

interface Service {
  url: string;
  balancer: Balancer;
  nodes: [RunningServer, RunningServer];
  DATABASE_URL: string;
}

/** Two nodes behind a balancer. */
async function service(kind: BalancerKind, more: Settings = {}): Promise<Service> {
  const DATABASE_URL = await freshDatabase();
  const settings = { DATABASE_URL, REDIS_URL: await sharedRedis(), ADMIN_TOKEN: adminToken, ...more };
  const first = await startNode(postgres, { ...settings, NODE_NAME: 'chat-1' });
  const second = await startNode(postgres, { ...settings, NODE_NAME: 'chat-2' });
  const balancer = await startBalancer(kind, [first.port, second.port]);
  return { url: balancer.url, balancer, nodes: [first, second], DATABASE_URL };
}

const overPolling = { transports: ['polling'] };
const overWebSocket = { transports: ['websocket'] };

const nodeOf = ({ raw }: SocketClient) => raw.io.engine.id!.split('.')[0]!;

async function many<T>(count: number, make: (n: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, n) => make(n)));
}

/** A long-polling client on that node. */
async function pollingOn(url: string, person: TestUser, name: string): Promise<SocketClient> {
  for (;;) {
    const client = await socketClient(url, person, overPolling);
    if (nodeOf(client) === name) return client;
    client.close();
  }
}

/** Sends the path unchanged; `fetch` would normalise it. */
async function rawGet(url: string, path: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n`);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer;
}

async function expectAllOn(name: string, url: string, person: TestUser, room: { id: number }): Promise<void> {
  const sockets = await many(10, (n) => socketClient(url, person, n % 2 ? overPolling : overWebSocket));
  expect(new Set(sockets.map(nodeOf))).to.deep.equal(new Set([name]));
  for (const chat of await many(5, () => chatInRoom(url, person, room.id))) chat.close();
}

describe('a node behind a balancer', () => {
  it('keeps an idle connection open longer than a balancer does', async () => {
    const { url } = await startNode(postgres);
    const { headers } = await fetch(`${url}/healthz`);
    // 60 s is the default of nginx and of most cloud balancers.
    expect(Number(/timeout=(\d+)/.exec(headers.get('Keep-Alive')!)?.[1])).to.be.above(60);
  });
});

for (const kind of ['nginx', 'haproxy'] as const) {
  describe(`deploy/: two nodes behind ${kind}`, function () {
    this.timeout(60_000);

    before(function () {
      this.timeout(300_000);
      findBalancer(kind);
    });

    it('accepts the configuration of the balancer without a warning', async () => {
      expect(await validateConfiguration(kind)).to.not.match(/warn|emerg|alert/i);
    });

    it('serves REST, long polling, WebSockets, upgrades and /chat, and delivers messages between them', async () => {
      const { url } = await service(kind);
      const { owner, room } = await createRoomWithOwner(url);
      const ben = await createMember(url, owner, room);
      const chat = await chatInRoom(url, ben, room.id);
      const clients = [
        await socketClient(url, owner, overPolling),
        await socketClient(url, owner, overWebSocket),
        await socketClient(url, owner),
      ];
      const { engine } = clients[2]!.raw.io;
      if (engine.transport.name === 'polling') await once(engine as never, 'upgrade');
      for (const client of clients) await client.request('room:join', { room_id: room.id });
      await sendMessages(url, ben, room, 'over REST');
      chat.send({ type: 'message', content: 'over /chat' });
      for (const [n, client] of clients.entries()) {
        await client.request('message:send', { room_id: room.id, content: `over Socket.IO ${n}` });
      }
      const expected = ['over REST', 'over /chat', ...clients.map((_, n) => `over Socket.IO ${n}`)];
      for (const client of clients) {
        const received = [];
        for (const _ of expected) received.push((await client.next('message:new')).content);
        expect(received).to.have.members(expected);
      }
      for (const _ of expected) await chat.skipTo(({ type }) => type === 'message');
    });

    it('spreads clients of long polling over the nodes, and keeps each on its node', async () => {
      const { url } = await service(kind);
      const { owner, room } = await createRoomWithOwner(url);
      const clients = await many(20, () => socketClient(url, owner, overPolling));
      const onFirst = clients.filter((client) => nodeOf(client) === 'chat-1').length;
      expect(onFirst).to.be.within(7, 13);
      await Promise.all(
        clients.map(async ({ request, raw }) => {
          for (let n = 0; n < 15; n++)
            expect(await request('message:history', { room_id: room.id })).to.include({ ok: true });
          expect(raw.connected).to.equal(true);
        }),
      );
    });

    it('forwards a session with an unknown node name to any node', async () => {
      const { url } = await service(kind);
      for (const sid of ['chat-9.AAAAAAAAAAAAAAAAAAAA', 'AAAAAAAAAAAAAAAAAAAA', 'chat-1', '..', 'chat']) {
        const response = await fetch(`${url}/socket.io/?EIO=4&transport=polling&sid=${sid}`);
        expect([response.status, await response.json()], sid).to.deep.equal([
          400,
          { code: 1, message: 'Session ID unknown' },
        ]);
      }
    });

    describe('public access', () => {
      let url: string;
      let nodes: RunningServer[];
      before(async () => {
        ({ url, nodes } = await service(kind));
      });

      it('passes on the key of a room, plain or percent-encoded', async () => {
        const ana = createUser();
        const room = await putKeyedRoom(nodes[0]!.url, { rules: [{ userUUID: ana.user, permissions: 'rw' }] }, '...');
        for (const ref of ['key:...', 'key%3A...']) {
          const { body } = await rest(url, ana.token).get(`/rooms/${ref}`);
          expect(body.content.room.id, ref).to.equal(room.id);
        }
      });

      for (const path of [
        '/',
        '/metrics',
        '/metrics/',
        '/METRICS',
        '/readyz',
        '/admin',
        '/admin/revocations',
        '/admin/rooms/key:order-42',
        '/admin/openapi.json',
        '/openapi.json',
        '/asyncapi.json',
        '/docs',
        '/roomsx',
        '/chat/x',
        '/socket.io',
      ]) {
        it(`hides ${path} from the public`, async () => {
          expect(await rawGet(url, path)).to.match(/^HTTP\/1\.1 404 /);
        });
      }

      for (const path of [
        '//metrics',
        '/%6detrics',
        '/rooms/../metrics',
        '/rooms/%2e%2e/metrics',
        '/socket.io/../metrics',
        '/metrics/../rooms',
      ]) {
        it(`does not forward the crafted path ${path}`, async () => {
          expect(await rawGet(url, path))
            .to.match(/^HTTP\/1\.1 40[0-4] /)
            .and.not.include('nano_messaging_connections');
        });
      }

      it('serves /healthz to the public', async () => {
        expect(await rest(url).get('/healthz')).to.include({ status: 200, body: 'ok\n' });
      });

      it('serves the client library to the public', async () => {
        for (const path of ['/client.js', '/client.mjs']) {
          expect((await rest(url).get(path)).status, path).to.equal(200);
        }
        expect((await rest(url).get('/client.json')).status).to.equal(404);
      });

      it('leaves the rejection of a body that is too large to the node', async () => {
        const { owner, room } = await createRoomWithOwner(url);
        const { status, body } = await rest(url, owner.token).post(`/rooms/${room.id}/messages`, {
          content: 'x'.repeat(100_000),
        });
        expect(status).to.equal(413);
        expect(body.meta.reason).to.equal('TOO_LARGE');
      });

      it('forwards the large polling bodies of older clients, and leaves the rejection of larger ones to the node', async () => {
        const { owner, room } = await createRoomWithOwner(url);
        const session = await PollingSession.connected(url, owner.token);
        const draft = JSON.stringify({ room_id: room.id, content: 'x'.repeat(8_000) });
        const packets = Array.from({ length: 100 }, (_, n) => `42/rooms,${n}["message:send",${draft}]`);
        expect((await session.post(packets.join('\x1e'))).status).to.equal(200);
        const refused = await session.post('x'.repeat(16 * 65_536 + 1));
        expect(refused.status).to.equal(413);
        expect(JSON.parse(refused.body)).to.have.all.keys('code', 'message');
      });
    });

    it('sends new clients to the other node as soon as one drains, which keeps serving its clients', async () => {
      // The drain waits for the held message for a part of this time.
      const { url, nodes, DATABASE_URL } = await service(kind, { DRAIN_TIMEOUT_SECONDS: 40 });
      const { owner, room } = await createRoomWithOwner(url);
      const old = await pollingOn(url, owner, 'chat-1');
      const other = await databaseSession(DATABASE_URL);
      await lockRoom(other, room);
      const sent = old.request('message:send', { room_id: room.id, content: 'accepted before the end' });
      await old.request('message:history', { room_id: room.id });
      const drained = nodes[0].drain();
      await expectAllOn('chat-2', url, owner, room);
      // Long enough for the health check of a balancer to notice it.
      const until = Date.now() + 2_500;
      while (Date.now() < until)
        expect(await old.request('message:history', { room_id: room.id })).to.include({ ok: true });
      expect(nodeOf(old)).to.equal('chat-1');
      await expectAllOn('chat-2', url, owner, room);
      await other.query('commit');
      expect(await sent).to.include({ ok: true });
      expect(await drained).to.equal(true);
    });

    it('bypasses a dead node: no client is rejected, and each acknowledged message is stored once', async () => {
      const { url, nodes } = await service(kind);
      const { owner, room } = await createRoomWithOwner(url);
      await sendMessages(url, owner, room, 'before');
      await nodes[0].close();
      const client = rest(url, owner.token);
      const answers = await many(20, async (n) => {
        const read = await client.get(`/rooms/${room.id}`);
        const sent = await client.post(`/rooms/${room.id}/messages`, { content: `after ${n}` });
        return [read.status, sent.status];
      });
      expect(answers).to.deep.equal(answers.map(() => [200, 201]));
      await expectAllOn('chat-2', url, owner, room);
      const history = await client.get(`/rooms/${room.id}/messages?limit=500`);
      const expected = history.body.content.map(({ content }: { content: string }) => content);
      expect(expected).to.have.members(['before', ...answers.map((_, n) => `after ${n}`)]);
    });
  });
}
