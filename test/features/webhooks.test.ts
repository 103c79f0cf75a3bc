import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import type { WebhookPayload } from '../../src/features/webhooks/payload.ts';
import type { RunningServer } from '../../src/server.ts';
import { putKeyedRoom } from '../helpers/admin-rooms.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { embedded, type Settings, startNode } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { admin } from '../helpers/revocations.ts';
import { createMember, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { selfSigned } from '../helpers/self-signed.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import {
  answerWith,
  listChanges,
  startReceiver,
  toSetting,
  type WebhookReceiver,
  webhookSecret,
} from '../helpers/webhook-receiver.ts';
import { withWebhookTimeouts } from '../helpers/webhook-timeouts.ts';

const revsOf = (receiver: WebhookReceiver, room: { id: number }) => receiver.changesOf(room).map(({ rev }) => rev);
const contentsOf = (receiver: WebhookReceiver, room: { id: number }) =>
  receiver.changesOf(room).flatMap(({ content }) => (content === undefined ? [] : [content]));

async function readWebhook(url: string, name: string) {
  const { body } = await admin(url).get(`/admin/webhooks?name=${name}`);
  return body.content[0];
}

const command = async (url: string, name: string, body: object) => {
  const { status, body: answer } = await admin(url).post(`/admin/webhooks/${name}`, body);
  if (status !== 200) throw new Error(JSON.stringify(answer));
};

describe('Webhooks [embedded (PGlite)]', () => {
  let receiver: WebhookReceiver;
  let edits: WebhookReceiver;
  let node: RunningServer;

  before(async function () {
    this.timeout(60_000);
    receiver = await startReceiver();
    edits = await startReceiver();
    const settings = {
      WEBHOOKS: toSetting(
        { name: 'app', url: receiver.url },
        { name: 'edits', url: edits.url, events: ['message:changed'] },
      ),
    };
    node = await startNode(embedded, settings, (config) => {
      const { webhooks, ...others } = withWebhookTimeouts({ parkAfterMs: 600 })(config);
      return { ...others, webhooks: webhooks.map((webhook) => ({ ...webhook, timeoutMs: 700 })) };
    });
  });

  afterEach(() => {
    receiver.answer = answerWith(204);
  });

  /** After two more requests, all requests from before this call have ended. */
  const requestsAgain = async (count: number) => {
    const before = receiver.requests.length;
    await waitUntil('the requests are repeated', () => receiver.requests.length >= before + count);
  };

  /** The node stores an answer after the receiver has sent it. */
  async function expectState(expected: object): Promise<void> {
    let state: object = {};
    const hasExpected = async () => {
      state = await readWebhook(node.url, 'app');
      return isDeepStrictEqual({ ...state, ...expected }, state);
    };
    await waitUntil('the state of the endpoint', hasExpected).catch(() => expect(state).to.deep.include(expected));
  }

  it('deliver the creation of a room with its first rules, then each of its changes in order, then its deletion', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    const member = await createMember(node.url, owner, room);
    await sendMessages(node.url, member, room, 'one', 'two');
    await rest(node.url, owner.token).patch(`/rooms/${room.id}`, { name: 'renamed' });
    await waitUntil('all changes', () => receiver.changesOf(room).length === 5);
    await rest(node.url, owner.token).delete(`/rooms/${room.id}`);
    await waitUntil('the deletion', () => receiver.changesOf(room).length === 6);
    expect(receiver.changesOf(room).map(({ name, rev }) => [name, rev])).to.deep.equal([
      ['room.created', 0],
      ['member:changed', 1],
      ['message:new', 2],
      ['message:new', 3],
      ['room:changed', 4],
      ['room.deleted', 5],
    ]);
    const { payload } = receiver.accepted.find(({ id }) => id === `app:${room.id}.room.created`)!;
    const [{ room: named, payload: created }] = payload.data.changes as [
      Extract<WebhookPayload, { type: 'room.created' }>['data']['changes'][number],
    ];
    expect(named).to.deep.equal({ id: room.id, uuid: room.uuid, key: null, type: 'group', name: 'a room' });
    expect(created.room).to.deep.equal(room);
    expect(created.rules.map(({ entity_UUID, permissions }) => [entity_UUID, permissions])).to.deep.include([
      owner.user,
      'rwa',
    ]);
  });

  it('name the key of the room in its creation, its changes and its deletion', async () => {
    const room = await putKeyedRoom(node.url);
    await admin(node.url).patch(`/admin/rooms/${room.id}`, { name: 'renamed' });
    await waitUntil('the change', () => receiver.changesOf(room).length === 2);
    await admin(node.url).delete(`/admin/rooms/${room.id}`);
    await waitUntil('the deletion', () => receiver.changesOf(room).length === 3);
    type WebhookChange = { name: string; room: { id: number; key: string | null } };
    const named = receiver.accepted
      .flatMap(({ payload }): readonly WebhookChange[] => payload.data.changes)
      .filter((change) => change.room.id === room.id)
      .map((change) => [change.name, change.room.key]);
    expect(named).to.deep.equal(['room.created', 'room:changed', 'room.deleted'].map((name) => [name, room.key]));
  });

  for (const [title, status, headers] of [
    ['500', 500, {}],
    ['429 with Retry-After', 429, { 'retry-after': '0' }],
  ] as const) {
    it(`repeat changes until the endpoint answers something else than ${title}`, async () => {
      receiver.answer = answerWith(status, headers);
      const { owner, room } = await createRoomWithOwner(node.url);
      await sendMessages(node.url, owner, room, 'one', 'two');
      await requestsAgain(2);
      expect(receiver.changesOf(room)).to.deep.equal([]);
      receiver.answer = answerWith(204);
      await waitUntil('all changes', () => revsOf(receiver, room).length === 3);
      expect(revsOf(receiver, room)).to.deep.equal([0, 1, 2]);
    });
  }

  it('do not follow a redirect', async () => {
    const other = await startReceiver();
    const { owner, room } = await createRoomWithOwner(node.url);
    receiver.answer = answerWith(307, { location: other.url });
    await sendMessages(node.url, owner, room, 'one');
    await requestsAgain(2);
    receiver.answer = answerWith(204);
    await waitUntil('all changes', () => revsOf(receiver, room).length === 2);
    expect(other.requests).to.deep.equal([]);
  });

  it('give up a request that is never answered, and repeat it', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    receiver.answer = () => {};
    await sendMessages(node.url, owner, room, 'one');
    await requestsAgain(2);
    await expectState({ last_error: 'no answer within 0.7 s' });
    receiver.answer = answerWith(204);
    await waitUntil('all changes', () => revsOf(receiver, room).length === 2);
    await expectState({ failing_since: null, last_error: null });
  });

  it('stop after 410 until they are resumed', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    await waitUntil('the creation', () => revsOf(receiver, room).length === 1);
    receiver.answer = answerWith(410);
    await sendMessages(node.url, owner, room, 'one');
    await waitUntil('it is suspended', async () => (await readWebhook(node.url, 'app')).suspended_at !== null);
    receiver.answer = answerWith(204);
    const before = receiver.requests.length;
    await sendMessages(node.url, owner, room, 'two');
    await waitUntil(
      'the other endpoint has both',
      async () => (await readWebhook(node.url, 'edits')).rooms_behind === 0,
    );
    expect(receiver.requests.length).to.equal(before);
    await command(node.url, 'app', { resume: true });
    await waitUntil('all changes', () => revsOf(receiver, room).length === 3);
    await expectState({ suspended_at: null, failing_since: null, last_error: null });
  });

  it('repeat a refused request room by room, park the refused room, and deliver the others', async () => {
    const [refused, other] = [await createRoomWithOwner(node.url), await createRoomWithOwner(node.url)];
    await waitUntil(
      'the creations',
      () => revsOf(receiver, refused.room).length + revsOf(receiver, other.room).length === 2,
    );
    receiver.answer = (response, { payload }) =>
      answerWith(listChanges(payload).some(({ room }) => room === refused.room.id) ? 422 : 204)(response, undefined!);
    await Promise.all([refused, other].map(({ owner, room }) => sendMessages(node.url, owner, room, 'one', 'two')));
    await waitUntil('the other room', () => revsOf(receiver, other.room).length === 3);
    await waitUntil('the room is parked', async () => (await readWebhook(node.url, 'app')).rooms_parked === 1);
    // The list goes by the time. The node parks the room at its next refusal.
    await waitUntil('the node has parked it', async () =>
      String((await rest(node.url).get('/metrics')).body).includes('webhook_rooms_parked{webhook="app"} 1'),
    );
    const { refused: rooms, rooms_refused } = await readWebhook(node.url, 'app');
    expect(rooms_refused).to.equal(1);
    expect(rooms[0]).to.deep.include({
      ...{ room_id: refused.room.id, retry_at: null, error: 'the answer 422: the answer of the test' },
    });
    receiver.answer = answerWith(204);
    await sendMessages(node.url, other.owner, other.room, 'three');
    await waitUntil('the other room', () => revsOf(receiver, other.room).length === 4);
    expect(revsOf(receiver, refused.room)).to.deep.equal([0]);
    await command(node.url, 'app', { resume: true });
    await waitUntil('the refused room', () => revsOf(receiver, refused.room).length === 3);
    await expectState({ refused: [] });
  });

  it('deliver messages in their present state after an outage of the endpoint, and never a deleted text', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    await waitUntil('the creation', () => revsOf(receiver, room).length === 1);
    receiver.answer = answerWith(503);
    const client = rest(node.url, owner.token);
    const [first, second] = await sendMessages(node.url, owner, room, 'first', 'to be deleted');
    await client.patch(`/rooms/${room.id}/messages/${first!.seq}`, { content: 'first, edited' });
    await client.delete(`/rooms/${room.id}/messages/${second!.seq}`);
    await client.put(`/rooms/${room.id}/messages/${first!.seq}/reactions/emoji`);
    await requestsAgain(2);
    receiver.answer = answerWith(204);
    const from = receiver.requests.length;
    await waitUntil('all changes', () => revsOf(receiver, room).length >= 6);
    const changes = receiver.requests.slice(from).flatMap(({ payload }) => listChanges(payload));
    expect(revsOf(receiver, room)).to.deep.equal([0, 1, 2, 3, 4, 5]);
    expect(contentsOf(receiver, room).at(0)).to.equal('first, edited');
    expect(changes.filter(({ content }) => content === 'to be deleted')).to.deep.equal([]);
  });

  it('deliver only the events that the endpoint wants, but an edit also if it is contained in a new message', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    edits.answer = answerWith(503);
    const [message] = await sendMessages(node.url, owner, room, 'first', 'second');
    await rest(node.url, owner.token).patch(`/rooms/${room.id}/messages/${message!.seq}`, { content: 'edited' });
    await waitUntil('an attempt', () =>
      edits.requests.some(({ payload }) => payload.data.changes[0]!.room.id === room.id),
    );
    edits.answer = answerWith(204);
    await waitUntil('the edit', () => contentsOf(edits, room).includes('edited'));
    await waitUntil('the position', async () => (await readWebhook(node.url, 'edits')).rooms_behind === 0);
    expect(contentsOf(edits, room)).not.to.include('second');
    expect(edits.changesOf(room).map(({ name }) => name)).not.to.include('room.created');
  });

  it('carry at most 100 changes and 256 KiB', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    receiver.answer = answerWith(503);
    const large = Array.from({ length: 40 }, (_, n) => `${n}`.padEnd(8_000, 'x'));
    const small = Array.from({ length: 130 }, (_, n) => `${n}`);
    for (const contents of [large, small])
      await Promise.all(contents.map((content) => sendMessages(node.url, owner, room, content)));
    const from = receiver.requests.length;
    receiver.answer = answerWith(204);
    await waitUntil('all changes', () => revsOf(receiver, room).length === 171);
    expect(revsOf(receiver, room)).to.deep.equal(Array.from({ length: 171 }, (_, n) => n));
    const sizes = receiver.requests
      .slice(from)
      .map(({ payload, bytes }) => ({ bytes, changes: payload.data.changes.length }));
    expect(Math.max(...sizes.map(({ bytes }) => bytes))).to.be.within(200_000, 262_144);
    expect(Math.max(...sizes.map(({ changes }) => changes))).to.be.within(50, 100);
  });

  it('deliver a room again from a rev, with the same cursors', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    await sendMessages(node.url, owner, room, 'one', 'two', 'three');
    await waitUntil('all changes', () => revsOf(receiver, room).length === 4);
    const before = receiver.arrivalsOf(room);
    await waitUntil('the position', async () => (await readWebhook(node.url, 'app')).rooms_behind === 0);
    await command(node.url, 'app', { redeliver: { room: room.uuid, from_rev: 2 } });
    await waitUntil('all changes again', () => receiver.arrivalsOf(room).length >= before.length + 2);
    const again = receiver.arrivalsOf(room).slice(before.length);
    expect(again.map(({ rev }) => rev)).to.deep.equal([2, 3]);
    expect(again.map(({ cursor }) => cursor)).to.deep.equal(
      receiver
        .changesOf(room)
        .slice(2)
        .map(({ cursor }) => cursor),
    );
    const { status, body } = await admin(node.url).post('/admin/webhooks/app', {
      redeliver: { room: room.id, from_rev: 9 },
    });
    expect([status, body.meta.detail]).to.deep.equal([
      400,
      'redeliver.from_rev: must be at most 3, the last rev of the room that was delivered',
    ]);
    const missing = await admin(node.url).post('/admin/webhooks/app', { redeliver: { room: 999_999, from_rev: 1 } });
    expect(missing.body.meta).to.include({ code: 404, reason: 'NOT_FOUND' });
  });

  it('skip what is older than a date', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    await waitUntil('the creation', () => revsOf(receiver, room).length === 1);
    receiver.answer = answerWith(503);
    const [, last] = await sendMessages(node.url, owner, room, 'one', 'two');
    await waitUntil('an attempt', () =>
      receiver.requests.some(({ payload }) => listChanges(payload).some(({ content }) => content === 'two')),
    );
    await waitUntil('the clock', () => new Date().toISOString() > last!.createdAt);
    const [newer] = await sendMessages(node.url, owner, room, 'three');
    // A date is midnight in UTC, so this one skips nothing.
    await command(node.url, 'app', { skip_before: newer!.createdAt.slice(0, 10) });
    await command(node.url, 'app', { skip_before: newer!.createdAt });
    await requestsAgain(2);
    receiver.answer = answerWith(204);
    await waitUntil('the newer message', () => contentsOf(receiver, room).includes('three'));
    expect(contentsOf(receiver, room)).to.deep.equal(['three']);
  });

  it('show their state in the metrics of the node that dispatches', async () => {
    const { owner, room } = await createRoomWithOwner(node.url);
    await waitUntil('the creation', () => revsOf(receiver, room).length === 1);
    receiver.answer = answerWith(503);
    const startedAt = performance.now();
    await sendMessages(node.url, owner, room, 'one');
    // The first of them has failed when the second one is sent.
    await requestsAgain(2);
    const read = async (name: string) => {
      const text = String((await rest(node.url).get('/metrics')).body);
      return Number(new RegExp(`^nano_messaging_webhook_${name} (\\S+)$`, 'm').exec(text)?.[1]);
    };
    await waitUntil('only this room is behind', async () => (await read('rooms_behind{webhook="app"}')) === 1);
    const oldest = await read('oldest_undelivered_seconds{webhook="app"}');
    // It counts from the look at the journal before the message.
    expect(oldest).to.be.within(0.001, (performance.now() - startedAt) / 1_000 + 1);
    expect(await read('requests_total{webhook="app",result="failed"}')).to.be.above(0);
    receiver.answer = answerWith(204);
    await waitUntil('all changes', async () => (await read('rooms_behind{webhook="app"}')) === 0);
    expect(await read('oldest_undelivered_seconds{webhook="app"}')).to.equal(0);
  });
});

describe('Consumers and names [embedded (PGlite)]', () => {
  it('keep their positions over a restart, another URL and another secret; a new name begins with what happens then', async function () {
    this.timeout(60_000);
    const directory = await migratedDirectory();
    const start = (settings: Settings) =>
      startNode(embedded, { DATA_DIR: directory, ...settings }, withWebhookTimeouts());
    const former = await startReceiver();
    const first = await start({
      WEBHOOKS: toSetting({ name: 'app', url: former.url }, { name: 'gone', url: former.url }),
    });
    const { owner, room } = await createRoomWithOwner(first.url);
    const consumed: number[] = [];
    let isWorking = true;
    const listener = ({ data }: WebhookPayload) => {
      if (!isWorking) throw new Error('the index is down');
      for (const { payload } of data.changes) consumed.push(payload.rev);
    };
    await first.on('changes', { name: 'search' }, listener);
    await sendMessages(first.url, owner, room, 'one');
    await waitUntil('the consumer has the message', () => consumed.length === 1);
    expect(consumed, 'the room existed before the consumer').to.deep.equal([1]);
    await waitUntil('all names have it', async () =>
      (await admin(first.url).get('/admin/webhooks')).body.content.every(
        ({ rooms_behind }: { rooms_behind: number }) => rooms_behind === 0,
      ),
    );
    isWorking = false;
    former.answer = answerWith(500);
    await sendMessages(first.url, owner, room, 'two');
    await first.close();

    const next = await startReceiver();
    const newcomer = await startReceiver();
    const otherSecret = `whsec_${Buffer.from('another secret of these tests').toString('base64')}`;
    next.secret = otherSecret;
    const second = await start({
      WEBHOOKS: toSetting(
        { name: 'app', url: next.url, secret: `${webhookSecret} ${otherSecret}` },
        { name: 'new', url: newcomer.url },
      ),
    });
    isWorking = true;
    await second.on('changes', { name: 'search' }, listener);
    await sendMessages(second.url, owner, room, 'three');
    await waitUntil('the consumer goes on', () => consumed.length === 3);
    await waitUntil('the endpoint goes on', () => revsOf(next, room).length === 2);
    await waitUntil('the new name begins', () => revsOf(newcomer, room).length === 1);
    expect(consumed).to.deep.equal([1, 2, 3]);
    expect(revsOf(next, room)).to.deep.equal([2, 3]);
    expect(revsOf(newcomer, room)).to.deep.equal([3]);

    const { configured, rooms_behind } = await readWebhook(second.url, 'gone');
    expect([configured, rooms_behind]).to.deep.equal([false, 1]);
    expect((await admin(second.url).delete('/admin/webhooks/app')).status).to.equal(400);
    expect((await admin(second.url).delete('/admin/webhooks/gone')).status).to.equal(200);
    expect(await readWebhook(second.url, 'gone')).to.equal(undefined);
    const error = await second.on('changes', { name: 'app' }, listener).catch((thrown) => thrown);
    expect(error.message).to.equal('name: app is already the name of a webhook or a consumer of this server');
  });

  it('repeat what a consumer rejects, park a room that it refuses with a status, and end with close', async () => {
    const node = await startNode(embedded, {}, withWebhookTimeouts());
    const seen: string[] = [];
    let failures = 2;
    const consumer = await node.on('changes', { name: 'index', events: ['message:new'] }, async ({ data }) => {
      for (const change of data.changes) {
        if (change.name !== 'message:new') continue;
        if (change.payload.content === 'poison') throw Object.assign(new Error('no such\0customer'), { status: 422 });
        if (failures-- > 0) throw new Error('the database is down');
        seen.push(change.payload.content);
      }
    });
    const [bad, good] = [await createRoomWithOwner(node.url), await createRoomWithOwner(node.url)];
    await sendMessages(node.url, good.owner, good.room, 'one');
    await waitUntil('the message', () => seen.includes('one'));
    await sendMessages(node.url, bad.owner, bad.room, 'poison');
    await waitUntil('the room is refused', async () => (await readWebhook(node.url, 'index')).rooms_refused === 1);
    expect((await readWebhook(node.url, 'index')).refused[0].error).to.equal('the answer 422: no such\uFFFDcustomer');
    await sendMessages(node.url, good.owner, good.room, 'two');
    await waitUntil('the other room goes on', () => seen.includes('two'));
    await waitUntil('its position', async () => (await readWebhook(node.url, 'index')).rooms_behind === 1);
    await consumer.close();
    await sendMessages(node.url, good.owner, good.room, 'three');
    const other = await node.on('changes', { name: 'index', events: ['message:new'] }, ({ data }) => {
      for (const change of data.changes)
        if (change.name === 'message:new') seen.push(`again ${change.payload.content}`);
    });
    await waitUntil('the next consumer of the name goes on', () => seen.includes('again three'));
    expect(seen.filter((content) => !content.endsWith('poison'))).to.deep.equal(['one', 'two', 'again three']);
    await other.close();
  });

  it('wait for an endpoint whose certificate is not valid, and name the reason', async () => {
    const secure = await startReceiver({ tls: selfSigned() });
    const node = await startNode(embedded, { WEBHOOKS: toSetting({ url: secure.url }) }, withWebhookTimeouts());
    const { owner, room } = await createRoomWithOwner(node.url);
    await sendMessages(node.url, owner, room, 'one');
    await waitUntil('it fails', async () => (await readWebhook(node.url, 'app-0')).failing_since !== null);
    const { last_error, rooms_behind } = await readWebhook(node.url, 'app-0');
    expect(last_error).to.match(/self-signed certificate/);
    expect(rooms_behind).to.equal(1);
    expect(secure.requests).to.deep.equal([]);
  });
});
