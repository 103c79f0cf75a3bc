import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json, text } from 'node:stream/consumers';
import { expect } from 'chai';
import { nilUuid } from '../../src/core/ids.ts';
import { createAdminClient, userUuid } from '../../src/sdk/sdk.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { aptInstall } from '../helpers/debian.ts';
import { freePort } from '../helpers/free-port.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { runProgram } from '../helpers/program.ts';
import { python } from '../helpers/python.ts';
import { rest } from '../helpers/rest-client.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { adminToken, createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const CHAT_NAMESPACE = '0b0a5d3e-7d0f-4a53-9a1c-2f1a6a3c9d11';
const WEBHOOK_SECRET = 'whsec_bmFuby1tZXNzYWdpbmctdGhlLXNlY3JldC1vZi10ZXN0cw==';

const user = (id: string) => createUser({ user: userUuid(CHAT_NAMESPACE, id) });

interface Push {
  user: string;
  title: string;
  body: string;
  tag: string;
}

/** Stands for FCM and APNs. */
async function startPushService() {
  const pushes: Push[] = [];
  const server = createServer(async (request, response) => {
    pushes.push((await json(request)) as Push);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater(() => server.close());
  return { pushes, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

/** Forwards webhooks to the backend, each of them twice, and knows what the backend has answered. */
async function startRelay(target: string) {
  const delivered: string[] = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    const headers = Object.fromEntries(
      Object.entries(request.headers).filter(([name]) => /^(webhook-|content-type)/.test(name)) as [string, string][],
    );
    const send = async () => (await fetch(target, { method: 'POST', headers, body })).status;
    await send();
    response.writeHead(await send()).end();
    delivered.push(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater(() => server.close());
  return { delivered, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

/** Starts the backend, and a node that sends it webhooks. */
async function start(command: string, args: string[]) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const push = await startPushService();
  const settings = { CHAT_URL: url, ADMIN_TOKEN: adminToken, WEBHOOK_SECRET, CHAT_NAMESPACE, PUSH_URL: push.url };
  const backend = runProgram(command, args, { ...settings, PORT: '0' });
  await backend.waitForOutput(/listening on http:\S+\n/);
  const shop = /listening on (\S+)/.exec(backend.output())![1]!;
  const relay = await startRelay(`${shop}/webhooks`);
  const WEBHOOKS = JSON.stringify([{ name: 'shop', url: relay.url, secret: WEBHOOK_SECRET }]);
  await startNode(postgres, { PORT: port, WEBHOOKS });
  const post = async (path: string, body: object = {}) => {
    const headers = { 'Content-Type': 'application/json' };
    const response = await fetch(shop + path, { method: 'POST', headers, body: JSON.stringify(body) });
    expect(response.status, backend.errors()).to.be.oneOf([200, 204]);
    return response.text();
  };
  return {
    ...{ url, shop, post, pushes: push.pushes, delivered: relay.delivered },
    admin: createAdminClient({ url, token: adminToken }),
  };
}

const [ana, ben, cleo, dan, eve] = [user('ana'), user('ben'), user('cleo'), user('dan'), user('eve')] as const;

const programs: Record<string, [command: string, ...args: string[]]> = {
  'shop.js': [process.execPath, '--import', './test/helpers/package-sources.ts'],
  'shop.py': [python],
};

/** What a user of the shop sees, and what the shop knows of the chat. */
async function order(example: Awaited<ReturnType<typeof start>>): Promise<void> {
  const { url, post, pushes, delivered, admin, shop } = example;
  const ordered = { id: 17, title: 'Order 17', people: ['ana', 'ben', 'cleo', 'dan', 'eve'] };
  const room = JSON.parse(await post('/orders', ordered));
  expect(JSON.parse(await post('/orders', ordered))).to.deep.equal(room);
  expect(room).to.include({ key: 'order-17', name: 'Order 17' });

  // Ana has the room on her screen, Ben is not there, Cleo has muted the room, and Dan is mentioned.
  const screen = await socketClient(url, ana);
  await screen.request('room:join', { room_id: 'key:order-17' });
  await rest(url, cleo.token).put(`/rooms/${room.id}/personal`, { muted: true });
  const path = `/rooms/${room.id}/messages`;
  const { body } = await rest(url, eve.token).post(path, { content: 'Is Dan there?', mentions: [dan.user] });
  const { seq } = await screen.next('message:new');
  await waitUntil('the webhook', () => delivered.some((request) => request.includes('Is Dan there?')), 15_000);
  await screen.request('read:mark', { room_id: room.id, seq });
  expect(seq).to.equal(body.content.seq);

  await waitUntil('Dan and Ben are notified', () => pushes.length >= 2, 15_000);
  await post('/orders/17/shipped');
  await post('/orders/17/shipped');
  // The pushes for the next message follow those for this one.
  await waitUntil('a push for the next message', () => pushes.some(({ tag }) => tag !== `${room.id}-${seq}`), 15_000);
  const text = { body: 'Is Dan there?', tag: `${room.id}-${seq}` };
  expect(pushes.filter(({ tag }) => tag === text.tag)).to.deep.equal([
    { user: dan.user, title: 'You were mentioned in Order 17', ...text },
    { user: ben.user, title: 'Order 17', ...text },
  ]);

  const { content } = (await rest(url, ana.token).get(path)).body;
  expect(
    content.map(({ emitter, content }: Push & { emitter: string; content: string }) => [emitter, content]),
  ).to.deep.equal([
    [eve.user, 'Is Dan there?'],
    [nilUuid, 'Your order is on its way'],
  ]);
  expect((await admin.rooms.read('key:order-17')).content.rules).to.have.length(5);
  const digest = async (id: string) => (await fetch(`${shop}/digests/${id}`)).text();
  expect(await digest('ben')).to.equal('2 new in Order 17, the last: Your order is on its way');
  expect(await digest('ana')).to.equal('1 new in Order 17, the last: Your order is on its way');
  expect(await digest('cleo'), 'the room is muted').to.equal('');

  await admin.rooms.delete('key:order-17');
  await waitUntil('the webhook of the deletion', () => delivered.at(-1)!.includes('room.deleted'), 15_000);
  const rooms = delivered.flatMap((request) => JSON.parse(request).data.changes).map((change) => change.room);
  expect(new Set(rooms.map(({ id, key, name }) => `${id} ${key} ${name}`))).to.deep.equal(
    new Set([`${room.id} order-17 Order 17`]),
  );
}

describe('the backends of examples/backend', function () {
  this.timeout(60_000);
  let examples: Awaited<ReturnType<typeof start>>[];

  before(async function () {
    this.timeout(300_000);
    if (!existsSync(python) && !aptInstall('The tests run an example', 'python3')) this.skip();
    examples = await Promise.all(
      Object.entries(programs).map(([file, [command, ...args]]) =>
        start(command, [...args, `examples/backend/${file}`]),
      ),
    );
  });

  const both = Object.keys(programs).join(', ');

  it(`make one room per order, post a message of the service once, and notify the users who need to know [${both}]`, async () => {
    // At the same time, because the shop waits for seconds before it notifies anybody.
    await Promise.all(examples.map(order));
  });

  it(`answer 401 to a webhook with a wrong signature [${both}]`, async () => {
    for (const { shop } of examples) {
      const headers = {
        'Content-Type': 'application/json',
        'webhook-id': 'evt_1',
        'webhook-timestamp': String(Math.floor(Date.now() / 1_000)),
        'webhook-signature': `v1,${Buffer.alloc(32).toString('base64')}`,
      };
      const body = '{"type":"changes","data":{"changes":[]}}';
      const response = await fetch(`${shop}/webhooks`, { method: 'POST', headers, body });
      expect(response.status).to.equal(401);
      expect((await fetch(`${shop}/webhooks`, { method: 'POST', body })).status).to.be.oneOf([401, 500]);
    }
  });
});
