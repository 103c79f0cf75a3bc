import { connect } from 'node:net';
import { expect } from 'chai';
import type { RunningServer } from '../../src/server.ts';
import { authenticatedChat, chatClient, chatInRoom } from '../helpers/chat-client.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { increments, type Metrics, readMetrics } from '../helpers/metrics.ts';
import { embedded, postgres, startNode } from '../helpers/node.ts';
import {
  createSharedRoom,
  itWithBothAdapters,
  receiveSeqs,
  sendNumbered,
  socketInRoom,
  startNodePair,
  waitForBus,
} from '../helpers/node-pair.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom } from '../helpers/rooms.ts';
import { expectConnectError, socketClient } from '../helpers/socket-client.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { createUser, sign, withClaims } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

describe('the metrics of a node', () => {
  let node: RunningServer;
  let earlier: Metrics;

  before(async function () {
    this.timeout(60_000);
    node = await startNode(embedded, { NODE_NAME: 'chat-7', MAX_UNAUTHENTICATED_CONNECTIONS: 77 });
  });
  beforeEach(async () => {
    const connections = /^nano_messaging_(connections\{|unauthenticated_connections$)/;
    // The node may notice only now that the previous test has closed its connections.
    await waitUntil('no connection of the previous test is left', async () => {
      earlier = await readMetrics(node.url);
      return [...earlier].every(([name, value]) => !connections.test(name) || value === 0);
    });
  });

  const grown = async (pattern: RegExp) => increments(earlier, await readMetrics(node.url), pattern);
  /** The node counts an answer after it has written the last byte, possibly after the client has received it. */
  const grownTo = async (pattern: RegExp, wanted: Record<string, number>) => {
    let found: Record<string, number> = {};
    const isThere = async () => {
      found = await grown(pattern);
      return JSON.stringify(sorted(found)) === JSON.stringify(sorted(wanted));
    };
    await waitUntil('the metrics have the expected values', isThere).catch(() => expect(found).to.deep.equal(wanted));
  };

  it('labels the node info with its version, name and database', () => {
    const info = [...earlier.keys()].find((name) => name.startsWith('nano_messaging_node_info'));
    expect(info).to.match(/^nano_messaging_node_info\{version="\d+\.\d+\.\d+",name="chat-7",database="embedded"\}$/);
    expect(earlier.get('nano_messaging_unauthenticated_connections_limit')).to.equal(77);
  });

  it('starts all refusals at 0, so that the first refusal is an increase', () => {
    for (const transport of ['socketio', 'chat', 'rest']) {
      expect(
        earlier.get(`nano_messaging_refusals_total{transport="${transport}",code="INTERNAL"}`),
        transport,
      ).to.equal(0);
    }
  });

  it('counts live requests by name, and unknown names as unknown', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(node.url, owner);
    const socket = await socketInRoom(node.url, owner, room);
    await sendNumbered(socket, room, 2);
    for (const name of ['dance', '__proto__', 'x'.repeat(500)]) await socket.request(name as 'room:join', {});
    const chat = await chatInRoom(node.url, owner, room.id);
    for (const type of ['message', 'dance', 'toString', undefined]) chat.send({ type, content: 'x' });
    for (let asked = 0; asked < 3; ) if ((await chat.next()).data === 'COMMAND?') asked += 1;
    expect(await grown(/^nano_messaging_live_requests_total/)).to.deep.equal({
      'nano_messaging_live_requests_total{transport="socketio",request="room:join"}': 1,
      'nano_messaging_live_requests_total{transport="socketio",request="message:send"}': 2,
      'nano_messaging_live_requests_total{transport="socketio",request="unknown"}': 3,
      'nano_messaging_live_requests_total{transport="chat",request="token"}': 1,
      'nano_messaging_live_requests_total{transport="chat",request="select_room"}': 1,
      'nano_messaging_live_requests_total{transport="chat",request="message"}': 1,
      'nano_messaging_live_requests_total{transport="chat",request="unknown"}': 3,
    });
    expect((await readMetrics(node.url)).get('nano_messaging_queued_requests')).to.equal(0);
  });

  const rejectTokens: Record<string, (bad: Record<'forged' | 'expired', string>) => Promise<void>> = {
    rest: async (bad) => {
      for (const token of [bad.forged, bad.expired, undefined]) {
        expect((await rest(node.url, token).get('/rooms')).status).to.equal(401);
      }
    },
    'socketio, at a connect': async (bad) => {
      for (const auth of [{ token: bad.forged }, { token: bad.expired }, {}]) await expectConnectError(node.url, auth);
    },
    'socketio, at a refresh': async (bad) => {
      const socket = await socketClient(node.url, createUser());
      const otherToken = createUser().token;
      for (const token of [bad.forged, bad.expired, otherToken]) {
        expect(await socket.request('token:refresh', { token })).to.include({ ok: false });
      }
    },
    'chat, before READY': async (bad) => {
      const chat = await chatClient(node.url);
      for (const content of [bad.forged, bad.expired]) chat.send({ type: 'token', content });
      chat.send({ type: 'select_room', room_id: 1 });
      expect(await chat.closed).to.equal(4401);
    },
    'chat, after READY': async (bad) => {
      const chat = await authenticatedChat(node.url, createUser());
      for (const content of [bad.forged, bad.expired, createUser().token]) chat.send({ type: 'token', content });
      expect(await chat.closed).to.equal(4401);
    },
  };
  for (const [where, reject] of Object.entries(rejectTokens)) {
    it(`counts every missing or rejected token once, by its code: ${where}`, async () => {
      const person = createUser();
      await reject({
        forged: sign(person.claims, { secret: 'a secret that the server does not know' }),
        expired: withClaims(person, { exp: Math.floor(Date.now() / 1_000) - 60 }).token,
      });
      const transport = where.split(',', 1)[0];
      expect(await grown(/^nano_messaging_refusals_total/)).to.deep.equal({
        [`nano_messaging_refusals_total{transport="${transport}",code="UNAUTHENTICATED"}`]: 2,
        [`nano_messaging_refusals_total{transport="${transport}",code="TOKEN_EXPIRED"}`]: 1,
      });
    });
  }

  it('counts connections with and without a token', async () => {
    const [waiting, person] = [await chatClient(node.url), createUser({ level: 100 })];
    await waiting.next();
    const room = await createRoom(node.url, person);
    await socketInRoom(node.url, person, room);
    const unauthenticated = 'nano_messaging_unauthenticated_connections';
    expect(await grown(/^nano_messaging_(connections|unauthenticated)/)).to.deep.equal({
      'nano_messaging_connections{transport="chat"}': 1,
      'nano_messaging_connections{transport="socketio"}': 1,
      'nano_messaging_connections_opened_total{transport="chat"}': 1,
      'nano_messaging_connections_opened_total{transport="socketio"}': 1,
      [unauthenticated]: 1,
    });
    waiting.close();
    await waitUntil('it is gone', async () => (await readMetrics(node.url)).get(unauthenticated) === 0);
  });

  it('counts a message once when it is stored, and once for every connection that receives it', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(node.url, owner);
    const sockets = [await socketInRoom(node.url, owner, room), await socketInRoom(node.url, owner, room)];
    const chat = await chatInRoom(node.url, owner, room.id);
    const draft = { content: 'one', client_msg_id: 'once' };
    const messages = `/rooms/${room.id}/messages`;
    for (const status of [201, 200])
      expect((await rest(node.url, owner.token).post(messages, draft)).status).to.equal(status);
    for (const socket of sockets) await socket.next('message:new');
    await chat.next();
    const counts = await grown(
      /^nano_messaging_((messages|deliveries)_|send_duration_seconds_count|commit_messages_sum)/,
    );
    expect(counts).to.deep.equal({
      nano_messaging_messages_stored_total: 1,
      nano_messaging_messages_deduplicated_total: 1,
      nano_messaging_send_duration_seconds_count: 1,
      nano_messaging_commit_messages_sum: 2,
      'nano_messaging_deliveries_total{transport="socketio"}': 2,
      'nano_messaging_deliveries_total{transport="chat"}': 1,
    });
  });

  it('counts REST requests by the template of their route, whatever the path', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(node.url, owner);
    const [asOwner, anonymous] = [rest(node.url, owner.token), rest(node.url)];
    earlier = await readMetrics(node.url);
    await asOwner.get(`/rooms/${room.id}`);
    await asOwner.get(`/rooms/${room.uuid}/?x=/a/b`);
    await asOwner.get(`/ROOMS/${room.id}/Messages?limit=0`);
    await asOwner.get('/rooms/999999');
    await asOwner.post('/rooms', '{');
    await asOwner.put(`/rooms/${room.id}/members`, { userUUID: createUser().user, permissions: 'r' });
    await asOwner.delete(`/rooms/${room.id}/members/${createUser().user}`);
    await anonymous.get(`/rooms/${room.id}`);
    await anonymous.get('/there/is/nothing');
    await anonymous.request('PROPFIND', '/rooms');
    await anonymous.request('OPTIONS', '/rooms');
    const answered = (method: string, route: string, status: number | string) =>
      `nano_messaging_http_requests_total{method="${method}",route="${route}",status="${status}"}`;
    await grownTo(/^nano_messaging_http_requests_total(?!.*metrics)/, {
      [answered('GET', '/rooms/:id', 200)]: 2,
      [answered('GET', '/rooms/:id/messages', 400)]: 1,
      [answered('GET', '/rooms/:id', 404)]: 1,
      [answered('POST', 'unknown', 400)]: 1,
      [answered('PUT', '/rooms/:id/members', 201)]: 1,
      [answered('DELETE', '/rooms/:id/members/:uuid', 404)]: 1,
      [answered('GET', 'unknown', 401)]: 1,
      [answered('GET', 'unknown', 404)]: 1,
      [answered('unknown', 'unknown', 401)]: 1,
      [answered('OPTIONS', 'unknown', 204)]: 1,
    });
    expect(
      await grown(/^nano_messaging_http_request_duration_seconds_count\{method="GET",route="\/rooms\/:id"\}$/),
    ).to.deep.equal({
      'nano_messaging_http_request_duration_seconds_count{method="GET",route="/rooms/:id"}': 3,
    });
  });

  it('counts a request whose client disconnected before the answer', async () => {
    const { port } = new URL(node.url);
    const socket = connect(Number(port), '127.0.0.1');
    closeLater(() => socket.destroy());
    const headers = `Host: x\r\nAuthorization: Bearer ${createUser().token}\r\nContent-Type: application/json\r\nContent-Length: 9`;
    socket.end(`POST /rooms HTTP/1.1\r\n${headers}\r\n\r\n{`);
    socket.resume();
    const aborted = 'nano_messaging_http_requests_total{method="POST",route="unknown",status="aborted"}';
    await grownTo(/^nano_messaging_http_requests_total(?!.*metrics)/, { [aborted]: 1 });
  });
});

const sorted = (figures: Record<string, number>) => Object.entries(figures).sort(([a], [b]) => (a < b ? -1 : 1));

describe('the metrics of the database', function () {
  this.timeout(60_000);

  it('shows that the database is down, without any request, and that it is up again', async () => {
    const database = new URL(await freshDatabase());
    const proxy = await tcpProxy(database.hostname, Number(database.port || 5432));
    database.host = `127.0.0.1:${proxy.port}`;
    const { url } = await startNode(postgres, { DATABASE_URL: database.href, DATABASE_POOL_SIZE: 3, SWEEP_SECONDS: 1 });
    const isUp = async () => (await readMetrics(url)).get('nano_messaging_database_up');
    let sound = await readMetrics(url);
    const idle = () => sound.get('nano_messaging_database_connections{state="idle"}');
    await waitUntil('no statement of the start is running', async () => {
      sound = await readMetrics(url);
      return idle()! > 0;
    });
    expect(sound.get('nano_messaging_database_up')).to.equal(1);
    expect(sound.get('nano_messaging_database_failures_total')).to.equal(0);
    expect(sound.get('nano_messaging_database_connections_limit')).to.equal(3);
    expect(idle()).to.be.within(1, 3);
    expect(Math.abs(sound.get('nano_messaging_database_clock_offset_seconds')!)).to.be.below(0.5);
    proxy.cut();
    await waitUntil('it is noticed', async () => (await isUp()) === 0, 20_000);
    expect((await readMetrics(url)).get('nano_messaging_database_failures_total')).to.be.above(0);
    proxy.restore();
    await waitUntil('it is back', async () => (await isUp()) === 1, 20_000);
  });
});

/** The clocks of a node and of the database are compared to within a second. */
const secondsSince = (moment: number) => 1 + (performance.now() - moment) / 1_000;

describe('the metrics between two nodes', function () {
  this.timeout(60_000);

  itWithBothAdapters(
    'shows the delay of a change of another node, both from the bus and from the log',
    async (adapter) => {
      const { redis, here, there } = await startNodePair({ REDIS_ADAPTER: adapter });
      const { room, near, far } = await createSharedRoom(here, there);
      const delivered = async (node: RunningServer) => {
        const figures = await readMetrics(node.url);
        const read = (part: string, origin: string) =>
          figures.get(`nano_messaging_delivery_latency_seconds_${part}{origin="${origin}"}`)!;
        const [remote, log] = [read('count', 'remote'), read('count', 'log')];
        expect(log).to.equal(figures.get('nano_messaging_feed_repaired_total'));
        return { remote, log, remoteSum: read('sum', 'remote'), logSum: read('sum', 'log') };
      };
      // A message that is sent while the node subscribes to the channel of the room is read from the log.
      let received = await delivered(there);
      let sent = 0;
      const begunAt = performance.now();
      await waitUntil(
        'a message arrives on the bus',
        async () => {
          await sendNumbered(near, room, 1);
          await receiveSeqs(far, 1);
          sent += 1;
          received = await delivered(there);
          expect(received.remote + received.log).to.equal(sent);
          return received.remote > 0;
        },
        20_000,
      );
      expect(received.remoteSum).to.be.within(0, received.remote * secondsSince(begunAt));
      await redis.kill();
      await waitForBus('down', here, there);
      const wentDownAt = performance.now();
      await sendNumbered(near, room, 2);
      await redis.start();
      await receiveSeqs(far, 2);
      const read = await delivered(there);
      expect(read).to.include({ remote: received.remote, log: received.log + 2 });
      expect(read.logSum - received.logSum).to.be.within(0.01, 2 * secondsSince(wentDownAt));
      // The delay compares the clocks of two nodes, so a node does not measure it for its own changes.
      expect(await delivered(here)).to.include({ remote: 0 });
      const isPublishing = async () => (await readMetrics(here.url)).get('nano_messaging_publishing_messages') !== 0;
      await waitUntil('all messages are published', async () => !(await isPublishing()), 20_000);
    },
  );
});
