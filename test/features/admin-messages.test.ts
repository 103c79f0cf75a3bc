import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { nilUuid } from '../../src/core/ids.ts';
import { createAdminClient } from '../../src/sdk/admin-client.ts';
import { userUuid } from '../../src/sdk/user-uuid.ts';
import { authenticatedChat, chatInRoom } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { fences, readDocument } from '../helpers/markdown.ts';
import { describeOneWiring, describeWirings, embedded, postgres, sharded } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, readRev, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { adminToken, createUser, type TestUser } from '../helpers/users.ts';

const toList = (room: { id: number }) => `/admin/rooms/${room.id}/messages`;

async function join(url: string, user: TestUser, room: { id: number }) {
  const client = await socketClient(url, user);
  expect(await client.request('room:join', { room_id: room.id })).to.include({ ok: true });
  return client;
}

describeWirings('Messages of the backend', [embedded, sharded], ({ url, urls }) => {
  const admin = () => rest(url(), adminToken);

  it('reach members live on Socket.IO and /chat, and in history, with the nil UUID as emitter', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room, 'r');
    const [socket, chat] = [await join(urls().at(-1)!, member, room), await chatInRoom(urls()[0]!, member, room.id)];
    const { status, body } = await admin().post(toList(room), { messages: [{ content: 'Ben joined', silent: true }] });
    expect(status).to.equal(201);
    const [message] = body.content;
    expect(message).to.include({ emitter: nilUuid, content: 'Ben joined', seq: 1, silent: true });
    const { rev, cursor } = body.meta;
    expect(await socket.next('message:new')).to.deep.equal({ ...message, rev, cursor });
    expect(await chat.skipTo(({ type }) => type === 'message')).to.deep.equal({
      type: 'message',
      data: message,
      rev,
      cursor,
    });
    expect((await rest(url(), member.token).get(`/rooms/${room.id}/messages`)).body.content).to.deep.equal([message]);
  });

  it('may be of any user, whether the user may write in the room or not', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const banned = createUser();
    await putRule(url(), owner, room, { userUUID: banned.user, permissions: 'b' });
    const messages = [banned.user, randomUUID()].map((emitter) => ({ emitter, content: 'as you like it' }));
    const { status, body } = await admin().post(toList(room), { messages });
    expect(status).to.equal(201);
    expect(body.content.map((one: { emitter: string }) => one.emitter)).to.deep.equal(
      messages.map((one) => one.emitter),
    );
  });

  it('are stored once, whether their id comes in the body or as Idempotency-Key, and however often they are sent', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const send = (content: string, client_msg_id?: string, key?: string) =>
      admin().post(
        toList(room),
        { messages: [{ content, ...(client_msg_id && { client_msg_id }) }] },
        key === undefined ? {} : { 'Idempotency-Key': key },
      );
    const [first, ...others] = await Promise.all([1, 2, 3].map(() => send('hello', 'a')));
    const answers = [first!, ...others, await send('hello', undefined, 'a')];
    expect(answers.map(({ status }) => status).sort()).to.deep.equal([200, 200, 200, 201]);
    for (const { status, body } of answers) {
      expect(body.content).to.deep.equal(first!.body.content);
      expect(body.meta).to.deep.include({ rev: body.content[0].version, duplicates: status === 200 ? [1] : [] });
    }
    expectRefusal(await send('something else', 'a'), 'ID_REUSED', 'messages.0.client_msg_id');
    await rest(url(), owner.token).delete(`/rooms/${room.id}/messages/1`);
    const again = await send('something else', 'a');
    expect(again.status).to.equal(200);
    expect(again.body.content[0]).to.include({ seq: 1, content: '' });
    expect(again.body.meta.rev).to.equal(again.body.content[0].version);
  });

  it('are stored in one commit, up to 500, in their order', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const socket = await join(url(), owner, room);
    const messages = Array.from({ length: 500 }, (_, n) => ({ content: `message ${n}`, client_msg_id: `m${n}` }));
    const before = await readRev(url(), owner, room);
    const { status, body } = await admin().post(toList(room), { messages });
    expect(status).to.equal(201);
    expect(new Set(body.content.map((one: { createdAt: string }) => one.createdAt)).size).to.equal(1);
    expect(body.meta.rev).to.equal(before + 500);
    for (let n = 0; n < 500; n++) {
      expect(await socket.next('message:new')).to.include({ content: `message ${n}`, rev: before + 1 + n });
    }
    const again = await admin().post(toList(room), { messages: [...messages.slice(1), { content: 'one more' }] });
    expect(again.status).to.equal(201);
    expect(again.body.meta.duplicates).to.have.length(499);
    expect(await readRev(url(), owner, room)).to.equal(before + 501);
  });

  it('get their ids from one Idempotency-Key, if they have none', async () => {
    const { room } = await createRoomWithOwner(url());
    const messages = [{ content: 'a' }, { content: 'b', client_msg_id: 'own' }, { content: 'c' }];
    const send = () => admin().post(toList(room), { messages }, { 'Idempotency-Key': 'key' });
    const { body } = await send();
    const ids = body.content.map(({ client_msg_id }: { client_msg_id: string }) => client_msg_id);
    expect(ids).to.deep.equal(['key-0', 'own', 'key-2']);
    expect((await send()).body).to.deep.include({ content: body.content });
  });

  it('are all refused if one of them cannot be stored', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const before = await readRev(url(), owner, room);
    const send = (...messages: object[]) => admin().post(toList(room), { messages });
    expectRefusal(await send({ content: 'a' }, { content: 'b', reply_to: 7 }), 'NO_MESSAGE', 'messages.1.reply_to');
    expectRefusal(await send({ content: 'a' }, { content: 'b', thread: 7 }), 'NO_MESSAGE', 'messages.1.thread');
    const nested = await send({ content: 'a' }, { content: 'b', thread: 1 }, { content: 'c', thread: 2 });
    expectRefusal(nested, 'BAD_REQUEST', 'messages.2.thread');
    expect(await readRev(url(), owner, room)).to.equal(before);
    expect((await send({ content: 'root' }, { content: 'reply', thread: 1 })).status).to.equal(201);
    await rest(url(), adminToken).delete(`${toList(room)}/1`);
    expectRefusal(await send({ content: 'late', thread: 1 }), 'DELETED', 'messages.0.thread');
  });

  it('may be edited and deleted by the backend, whichever user sent them', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const writer = await createMember(url(), owner, room);
    const [message] = await sendMessages(url(), writer, room, 'a typo');
    const socket = await join(urls().at(-1)!, writer, room);
    const path = `${toList(room)}/1`;
    const edited = await admin().patch(path, { content: 'no typo', base: message.version });
    expect(edited.status).to.equal(200);
    expect(edited.body.content).to.include({ content: 'no typo', emitter: writer.user });
    const { rev, cursor } = edited.body.meta;
    expect(await socket.next('message:changed')).to.deep.equal({ ...edited.body.content, rev, cursor });
    expect((await admin().patch(path, { content: 'no typo' })).body.meta).to.include({ changed: false, rev });
    expectRefusal(await admin().patch(path, { content: 'else', base: message.version }), 'CONFLICT', 'base');
    const deleted = await admin().delete(path);
    expect(deleted.body.content).to.deep.equal({ deleted: [1] });
    expect(await socket.next('message:changed')).to.include({ content: '', deleted_by: nilUuid });
    expect((await admin().delete(path)).body.content).to.deep.equal({ deleted: [] });
    expectRefusal(await admin().patch(path, { content: 'again' }), 'DELETED', 'seq');
    expectRefusal(await admin().delete(`${toList(room)}/9`), 'NO_MESSAGE', 'seq');
  });

  it('may be deleted by the backend in a user2user room', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(url(), owner, { type: 'user2user', with: createUser().user });
    await sendMessages(url(), owner, room, 'regrets');
    expect((await admin().delete(`${toList(room)}/1`)).body.content).to.deep.equal({ deleted: [1] });
  });

  it('are imported into an old room with their times, and count as read by everybody', async () => {
    const [ana, ben] = [createUser(), createUser()];
    const key = `key:${randomUUID()}`;
    const rules = [ana, ben].map(({ user }) => ({ userUUID: user, permissions: 'rw' }));
    const createdAt = '2019-03-01T10:00:00.000Z';
    const created = await admin().put(`/admin/rooms/${key}`, { name: 'an old room', createdAt, rules });
    expect(created.status).to.equal(201);
    const { room } = created.body.content;
    const toMessage = (n: number) => ({
      ...{ emitter: n % 2 ? ana.user : ben.user, content: `old ${n}`, client_msg_id: `old-${n}` },
      createdAt: new Date(Date.parse(createdAt) + n * 60_000).toISOString(),
    });
    const messages = Array.from({ length: 1_200 }, (_, n) => toMessage(n));
    for (const part of [
      messages.slice(0, 500),
      messages.slice(0, 500),
      messages.slice(500, 1_000),
      messages.slice(900),
    ]) {
      const { status, body } = await admin().post(`/admin/rooms/${key}/messages`, { messages: part });
      expect(status, JSON.stringify(body).slice(0, 300)).to.be.oneOf([200, 201]);
    }
    const { body } = await rest(url(), ana.token).get(`/rooms/${room.id}/messages?limit=500&before=501`);
    expect(body.content.map(({ content, createdAt }: Json) => [content, createdAt])).to.deep.equal(
      messages.slice(0, 500).map(({ content, createdAt }) => [content, createdAt]),
    );
    const readItem = async () => {
      const inbox = await rest(url(), ben.token).get('/rooms?inbox=true');
      return { ...inbox.body.content[0], unread_rooms: inbox.body.meta.unread_rooms };
    };
    const [last] = messages.slice(-1);
    expect(await readItem()).to.deep.include({
      unread: 0,
      unread_rooms: [],
      last_seq: 1_200,
      activityAt: last!.createdAt,
    });
    const early = await admin().post(`/admin/rooms/${key}/messages`, {
      messages: [
        { ...toMessage(1_201), client_msg_id: null },
        { ...toMessage(7), client_msg_id: null },
      ],
    });
    expectRefusal(early, 'OUT_OF_ORDER', 'messages.1.createdAt');
    expect(early.body.meta.detail).to.include(toMessage(1_201).createdAt);
    const future = { content: 'x', createdAt: new Date(Date.now() + 60_000).toISOString() };
    expectRefusal(await admin().post(`/admin/rooms/${key}/messages`, { messages: [future] }), 'BAD_REQUEST');
    await rest(url(), ben.token).put(`/rooms/${room.id}/read`, { seq: 1_190, force: true });
    expect(await readItem()).to.deep.include({ unread: 5, unread_rooms: [room.id] });
    await rest(url(), ben.token).put(`/rooms/${room.id}/read`, { seq: 1_200 });
    await sendMessages(url(), ana, room, 'new');
    expect(await readItem()).to.include({ unread: 1 });
    const [sent] = (await rest(url(), ben.token).get(`/rooms/${room.id}/messages?limit=1`)).body.content;
    expect(Date.parse(sent.createdAt)).to.be.greaterThan(Date.now() - 60_000);
  });

  it('deletes a wave of spam live, and nothing else', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const spammer = await createMember(url(), owner, room);
    await sendMessages(url(), spammer, room, 'harmless');
    const wave = Array.from({ length: 150 }, (_, n) => ({
      emitter: n % 3 === 1 ? owner.user : spammer.user,
      content: 'x',
    }));
    await admin().post(toList(room), { messages: wave });
    const socket = await join(urls().at(-1)!, owner, room);
    const chat = await authenticatedChat(urls()[0]!, owner);
    chat.send({ type: 'select_room', room_id: room.id, events: true });
    expect(await chat.next()).to.include({ data: 'CONNECTED' });
    const { status, body } = await admin().delete(`${toList(room)}?emitter=${spammer.user}&after_seq=1`);
    expect(status).to.equal(200);
    expect(body.content.deleted).to.deep.equal(
      wave.flatMap(({ emitter }, n) => (emitter === spammer.user ? [n + 2] : [])),
    );
    expect(body.meta).to.include({ has_more: false, next: null });
    for (const seq of body.content.deleted) {
      expect(await socket.next('message:changed')).to.include({ seq, content: '', deleted_by: nilUuid });
      expect((await chat.skipTo(({ type }) => type === 'message_changed')).data).to.include({ seq });
    }
    const { content } = (await rest(url(), owner.token).get(`/rooms/${room.id}/messages?limit=500`)).body;
    expect(content).to.have.length(1 + wave.length - body.content.deleted.length);
    const again = await admin().delete(`${toList(room)}?emitter=${spammer.user}&after_seq=1`);
    expect(again.body.content).to.deep.equal({ deleted: [] });
  });
});

describeOneWiring('docs/guides/import-your-history.md', ({ url }) => {
  it('has a program that imports a room, also if it is started again', async () => {
    const text = fences(readDocument('docs/guides/import-your-history.md')).find(
      ({ language }) => language === 'js',
    )!.text;
    const code = text.replace(/^import .*$/m, '');
    const create = new Function('createAdminClient', 'userUuid', 'process', `${code}\nreturn { importRoom, toUuid };`);
    const env = { CHAT_URL: url(), ADMIN_TOKEN: adminToken };
    const { importRoom, toUuid } = create(createAdminClient, userUuid, { env });
    const sentAt = (n: number) => new Date(Date.UTC(2019, 2, 1, 10, 0, n)).toISOString();
    const messages = Array.from({ length: 501 }, (_, id) => ({
      id,
      author: id % 2,
      text: `${id}`,
      sentAt: sentAt(id),
    }));
    const old = { id: 7, name: 'an old room', createdAt: sentAt(0), members: [0, 1], messages };
    for (let run = 0; run < 2; run++) await importRoom(old);
    const reader = rest(url(), createUser({ user: toUuid(0) }).token);
    const { content } = (await reader.get('/rooms/key:old-7/messages?limit=500')).body;
    expect(content.at(-1)).to.include({ seq: 501, content: '500', emitter: toUuid(0), createdAt: sentAt(500) });
    expect((await reader.get('/rooms?inbox=true')).body.content[0]).to.include({ unread: 0, last_seq: 501 });
  });
});

describeOneWiring('The limits of the messages of the backend', ({ url, startNode }) => {
  const admin = () => rest(url(), adminToken);

  it('does not limit the rate of the backend, nor how late it may edit', async () => {
    const node = await startNode({ SEND_RATE: 1, SEND_BURST: 1, EDIT_SECONDS: 1 });
    const { owner, room } = await createRoomWithOwner(node.url);
    const backend = rest(node.url, adminToken);
    const send = (content: string) => backend.post(toList(room), { messages: [{ emitter: owner.user, content }] });
    const [first] = (await send('first')).body.content;
    for (const content of ['second', 'third', 'fourth']) expect((await send(content)).status).to.equal(201);
    while (Date.now() <= Date.parse(first.createdAt) + 1_500) await new Promise((resolve) => setTimeout(resolve, 50));
    const path = `/rooms/${room.id}/messages/1`;
    expectRefusal(await rest(node.url, owner.token).patch(path, { content: 'late' }), 'EDIT_CLOSED');
    expect((await backend.patch(`/admin${path}`, { content: 'late' })).status).to.equal(200);
  });

  const invalid: [title: string, body: object, field: string, code?: 'TOO_LARGE'][] = [
    ['no messages', { messages: [] }, 'messages'],
    ['501 messages', { messages: Array.from({ length: 501 }, () => ({ content: 'x' })) }, 'messages'],
    ['an empty message', { messages: [{ content: 'a' }, { content: '' }] }, 'messages.1.content'],
    ['a mistyped key', { messages: [{ content: 'a', created_at: '2020-01-01T00:00:00Z' }] }, 'messages.0.created_at'],
    ['an emitter that is no UUID', { messages: [{ content: 'a', emitter: 'bot' }] }, 'messages.0.emitter'],
    ['a date that does not exist', { messages: [{ content: 'a', createdAt: '2020-02-30' }] }, 'messages.0.createdAt'],
    [
      'a date for some messages only',
      { messages: [{ content: 'a' }, { content: 'b', createdAt: '2020-01-01T00:00:00Z' }] },
      'messages.1.createdAt',
    ],
    [
      'the same id twice',
      { messages: [1, 2].map(() => ({ content: 'a', client_msg_id: 'a' })) },
      'messages.1.client_msg_id',
    ],
    [
      'a long key for two messages',
      { messages: [{ content: 'a' }, { content: 'b' }], client_msg_id: 'a'.repeat(63) },
      'client_msg_id',
    ],
    [
      'a long text',
      { messages: [{ content: 'a' }, { content: 'x'.repeat(8_193) }] },
      'messages.1.content',
      'TOO_LARGE',
    ],
  ];
  for (const [title, body, field, code = 'BAD_REQUEST'] of invalid) {
    it(`refuses ${title}`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      const before = await readRev(url(), owner, room);
      expectRefusal(await admin().post(toList(room), body), code, field);
      expect(await readRev(url(), owner, room)).to.equal(before);
    });
  }

  it('needs both the emitter and the seq of a wave of spam', async () => {
    const { room } = await createRoomWithOwner(url());
    expectRefusal(await admin().delete(`${toList(room)}?after_seq=0`), 'BAD_REQUEST', 'emitter');
    expectRefusal(await admin().delete(`${toList(room)}?emitter=${nilUuid}`), 'BAD_REQUEST', 'after_seq');
  });

  it('reports a room that does not exist', async () => {
    for (const id of [999_999, randomUUID()]) {
      const path = `/admin/rooms/${id}/messages`;
      expectRefusal(await admin().post(path, { messages: [{ content: 'a' }] }), 'NOT_FOUND');
      expectRefusal(await admin().patch(`${path}/1`, { content: 'a' }), 'NOT_FOUND');
      expectRefusal(await admin().delete(`${path}/1`), 'NOT_FOUND');
      expectRefusal(await admin().delete(`${path}?emitter=${nilUuid}&after_seq=0`), 'NOT_FOUND');
    }
  });
});

describeWirings('A long wave of spam', [postgres], ({ url }) => {
  it('deletes up to 1,000 messages of an emitter with one call, and says where to go on', async () => {
    const { room } = await createRoomWithOwner(url());
    const emitter = randomUUID();
    const messages = Array.from({ length: 500 }, () => ({ emitter, content: 'x' }));
    for (let n = 0; n < 3; n++)
      expect((await rest(url(), adminToken).post(toList(room), { messages })).status).to.equal(201);
    const admin = () => rest(url(), adminToken);
    const remove = (after: number) => admin().delete(`${toList(room)}?emitter=${emitter}&after_seq=${after}`);
    const { content, meta } = (await remove(0)).body;
    expect(content.deleted).to.have.length(1_000);
    expect(meta).to.deep.include({ has_more: true, next: { after_seq: 1_000 } });
    const others = (await remove(meta.next.after_seq)).body;
    expect(others.content.deleted).to.have.length(500);
    expect(others.meta).to.include({ has_more: false, next: null });
  });
});
