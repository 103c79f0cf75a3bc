import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { json } from 'node:stream/consumers';
import { expect } from 'chai';
import { documentedCloses, documentedLive, seenLive } from '../helpers/asyncapi-checks.ts';
import { authenticatedChat, type ChatClient, chatClient, chatInRoom } from '../helpers/chat-client.ts';
import { databaseSession, lockRoom } from '../helpers/database-session.ts';
import { freePort } from '../helpers/free-port.ts';
import type { Json } from '../helpers/json.ts';
import { type Alter, describeOneWiring, embedded, postgres, sharedNodes, startNode } from '../helpers/node.ts';
import { documentedOnRest, seenOnRest, undocumented } from '../helpers/openapi-checks.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { type RestClient, rest } from '../helpers/rest-client.ts';
import { admin, nowSeconds, revoke } from '../helpers/revocations.ts';
import { createMember, createRoom, createRoomWithOwner, putRule } from '../helpers/rooms.ts';
import { expectConnectError, type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { adminToken, createUser, type TestUser, withClaims } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Occur only if the server has a defect or the database is down. Other test files check these answers. */
const failures = /\b(INTERNAL|UNAVAILABLE)$/;

/** Occurs only if a change of rights overtakes a command that is being handled. */
const races =
  /^chat\.refusal\.((message|edit|delete|react) (NOT_FOUND|BANNED)|(get_past_messages|read_messages|mark_read) (NOT_FOUND|FORBIDDEN|BANNED))$/;
/** Occurs outside `events` of a join only if a node has missed changes on the bus. */
const repairs = 'rooms.changeSkipped';
/** Occurs only if a client leaves more than a mebibyte unread. */
const unread = 'close 4408';

const nobodysRoom = '0ffffff0-0000-4000-8000-0000000000ff';
const large = 'x'.repeat(70_000);
/** Too large for the backend, whose requests may be larger. */
const hugeBytes = 8_400_000;

const roomPayloads = {
  'room:join': {},
  'room:leave': {},
  'message:send': { content: 'x' },
  'message:history': {},
  'message:edit': { seq: 1, content: 'y' },
  'message:delete': { seqs: [1] },
  'reaction:add': { seq: 1, emoji: '👍' },
  'reaction:remove': { seq: 1, emoji: '👍' },
  'message:read': { seqs: [1] },
  'read:mark': { seq: 1 },
  'room:personal': { muted: true },
  'typing:set': { typing: true },
  'inbox:open': {},
  'inbox:page': {},
  'inbox:close': {},
} as const;

/** The requests that need access to the room. */
const accessRequests = (Object.keys(roomPayloads) as (keyof typeof roomPayloads)[]).filter(
  (name) => !/^(room:leave|typing|inbox)/.test(name),
);

/** The REST calls that name a room. `me` is the caller. */
const roomCalls: Record<string, (client: RestClient, room: Json, me: TestUser, body?: unknown) => Promise<Json>> = {
  readRoom: (client, room) => client.get(`/rooms/${room}`),
  changeRoom: (client, room, _me, body = { name: 'another' }) => client.patch(`/rooms/${room}`, body),
  deleteRoom: (client, room, _me, body) => client.request('DELETE', `/rooms/${room}`, { body }),
  listMembers: (client, room) => client.get(`/rooms/${room}/members`),
  putMember: (client, room, _me, body = { userUUID: nobodysRoom, permissions: 'r' }) =>
    client.put(`/rooms/${room}/members`, body),
  removeMember: (client, room, _me, body) =>
    client.request('DELETE', `/rooms/${room}/members/${nobodysRoom}`, { body }),
  answerInvitation: (client, room, me, body = { accepted: true, use_parent_entity: me.level > 0 }) =>
    client.put(`/rooms/${room}/invitation`, body),
  readMessages: (client, room) => client.get(`/rooms/${room}/messages`),
  sendMessage: (client, room, _me, body = { content: 'x' }) => client.post(`/rooms/${room}/messages`, body),
  editMessage: (client, room, _me, body = { content: 'y' }) => client.patch(`/rooms/${room}/messages/1`, body),
  deleteMessage: (client, room, _me, body) => client.request('DELETE', `/rooms/${room}/messages/1`, { body }),
  addReaction: (client, room, _me, body) => client.put(`/rooms/${room}/messages/1/reactions/%F0%9F%91%8D`, body),
  removeReaction: (client, room, _me, body) =>
    client.request('DELETE', `/rooms/${room}/messages/1/reactions/%F0%9F%91%8D`, { body }),
  markRead: (client, room, _me, body = { seq: 1 }) => client.put(`/rooms/${room}/read`, body),
  changePersonal: (client, room, _me, body = { muted: true }) => client.put(`/rooms/${room}/personal`, body),
  readPresence: (client, room) => client.get(`/rooms/${room}/presence`),
  listReactions: (client, room) => client.get(`/rooms/${room}/messages/1/reactions`),
};

const userCalls: typeof roomCalls = {
  createRoom: (client, _room, _me, body = { name: 'a room' }) => client.post('/rooms', body),
  listRooms: (client) => client.get('/rooms?limit=0'),
  ...roomCalls,
};

const adminCalls: Record<string, (client: RestClient, body?: unknown) => Promise<Json>> = {
  createRevocation: (client, body = {}) => client.post('/admin/revocations', body),
  listRevocations: (client) => client.get('/admin/revocations?limit=0'),
  liftRevocation: (client, body) => client.request('DELETE', '/admin/revocations/no', { body }),
  adminPutRoom: (client, body = {}) => client.put('/admin/rooms/key:unknown', body),
  adminListRooms: (client) => client.get('/admin/rooms?limit=0'),
  adminReadRoom: (client) => client.get('/admin/rooms/no'),
  adminChangeRoom: (client, body = {}) => client.patch('/admin/rooms/no', body),
  adminDeleteRoom: (client, body) => client.request('DELETE', '/admin/rooms/no', { body }),
  adminPutMembers: (client, body = {}) => client.put('/admin/rooms/no/members', body),
  adminSendMessages: (client, body = {}) => client.post('/admin/rooms/999999/messages', body),
  adminEditMessage: (client, body = {}) => client.patch('/admin/rooms/999999/messages/1', body),
  adminDeleteMessage: (client, body) => client.request('DELETE', '/admin/rooms/999999/messages/0', { body }),
  adminDeleteMessagesOfEmitter: (client, body) => client.request('DELETE', '/admin/rooms/999999/messages', { body }),
  adminFindRecipients: (client, body = { after: '-' }) =>
    client.post('/admin/rooms/999999/messages/1/recipients', body),
  adminListRoomsOfUser: (client) => client.get(`/admin/users/${nobodysRoom}/rooms?limit=0`),
  listWebhooks: (client) => client.get('/admin/webhooks?name=-'),
  commandWebhook: (client, body = {}) => client.post('/admin/webhooks/none', body),
  deleteWebhook: (client, body) => client.request('DELETE', '/admin/webhooks/-', { body }),
};

/** Lists, resumes and deletes a name that is not configured. */
async function usesWebhooks(url: string): Promise<void> {
  const client = admin(url);
  await client.post('/admin/webhooks/unknown', { resume: true });
  await client.delete('/admin/webhooks/unknown');
  const server = (await sharedNodes(embedded))[0]!;
  const consumer = await server.on('changes', { name: 'former' }, () => {});
  await consumer.close();
  await client.get('/admin/webhooks');
  await client.post('/admin/webhooks/former', { resume: true });
  await client.delete('/admin/webhooks/former');
}

/** Creates, changes and deletes rooms as the backend, with the refusals on the way. */
async function usesRoomsAsBackend(base: string): Promise<void> {
  const client = admin(base);
  const [ana, ben, carl] = [createUser().user, createUser().user, createUser().user];
  const room = '/admin/rooms/key:documented';
  for (const name of ['one', 'two']) await client.put(room, { name });
  await client.get('/admin/rooms?key_prefix=documented');
  await client.get(room);
  await client.patch(room, { name: 'three' });
  const rules = Array.from({ length: 401 }, () => ({ userUUID: createUser().user, permissions: 'r' }));
  await client.put(`${room}/members`, { rules: [{ userUUID: ana, permissions: 'r', accepted: true }] });
  await client.put(`${room}/members`, { rules });
  const pair = { type: 'user2user', user_owner: ana, with: ben, name: 'a pair' };
  await client.put(room, pair);
  await client.put('/admin/rooms/key:documented-pair', pair);
  await client.put('/admin/rooms/key:documented-pair/members', { rules: [{ userUUID: carl, permissions: 'r' }] });
  const { owner, room: single } = await createRoomWithOwner(base, { type: 'user2user' });
  await createRoom(base, owner, { type: 'user2user', with: carl });
  await client.put(`/admin/rooms/${single.id}/members`, { rules: [{ userUUID: carl, permissions: 'r' }] });
  await client.delete(room);
  for (const call of [client.get, client.delete]) await call(room);
  await client.patch(room, { name: 'x' });
  await client.put(`${room}/members`, { rules: [] });
}

/** Sends, edits and deletes messages as the backend, and asks whom to notify, with the refusals on the way. */
async function usesMessagesAsBackend(base: string): Promise<void> {
  const client = admin(base);
  const { room } = await createRoomWithOwner(base);
  const list = (id: number) => `/admin/rooms/${id}/messages`;
  const send = (message: object, id = room.id) => client.post(list(id), { messages: [message] });
  for (const content of ['one', 'one', 'another']) await send({ content, client_msg_id: 'an-id' });
  await send({ content: 'a reply', thread: 99 });
  await send({ content: 'old', createdAt: '2020-01-01' });
  await send({ content: 'x' }, 999_999);
  await client.post(list(room.id), { messages: [] });
  await client.post(`${list(room.id)}/1/recipients`, {});
  await client.post(`${list(room.id)}/99/recipients`, {});
  await client.post(`${list(999_999)}/1/recipients`, {});
  await client.get(`/admin/users/${nobodysRoom}/rooms?inbox=true`);
  for (const [id, seq] of [
    [room.id, 1],
    [room.id, 99],
    [999_999, 1],
  ] as const) {
    await client.patch(`${list(id)}/${seq}`, { content: 'edited' });
    await client.patch(`${list(id)}/${seq}`, { content: 'edited again', base: 99 });
    await client.delete(`${list(id)}/${seq}`);
    await client.delete(`${list(id)}?emitter=${nobodysRoom}&after_seq=0`);
  }
  await client.patch(`${list(room.id)}/1`, { content: 'edited' });
  await send({ content: 'a reply', thread: 1 });
}

/** Reaches the limit of the server, which the backend has, too. */
async function tooManyRules(client: RestClient): Promise<void> {
  const rules = [1, 2, 3].map(() => ({ userUUID: createUser().user, permissions: 'r' }));
  await client.put('/admin/rooms/key:full', { name: 'full', rules });
  await client.put('/admin/rooms/key:full', { name: 'full' });
  await client.put('/admin/rooms/key:full/members', { rules });
}

/** Edits message 1, reacts to it and deletes it, with the refusals on the way. */
async function usesMessages(client: RestClient, room: Json): Promise<void> {
  const messages = `/rooms/${room.id}/messages`;
  const reactions = (seq: number) => `${messages}/${seq}/reactions`;
  await client.patch(`${messages}/1`, { content: 'edited' });
  await client.patch(`${messages}/1`, { content: 'edited again' }, { 'If-Match': '"1"' });
  await client.patch(`${messages}/99`, { content: 'edited' });
  await client.patch(`${messages}/1`, { content: 'x'.repeat(9_000) });
  for (let n = 0; n <= 20; n++) await client.put(`${reactions(1)}/emoji${n}`);
  await client.get(reactions(1));
  await client.request('DELETE', `${reactions(1)}/emoji1`);
  await client.post(messages, { content: 'a reply', thread: 99 });
  for (const seq of [1, 99]) await client.request('DELETE', `${messages}/${seq}`);
  await client.post(messages, { content: 'a reply', thread: 1 });
  await client.patch(`${messages}/1`, { content: 'edited' });
  for (const seq of [1, 99]) {
    await client.put(`${reactions(seq)}/emoji`);
    await client.request('DELETE', `${reactions(seq)}/emoji`);
    await client.get(reactions(seq));
  }
}

/** Edits a new message, reacts to it and deletes it, with the refusals on the way. */
async function usesMessagesOnChat(chat: ChatClient): Promise<void> {
  const { data } = await answered(chat, { type: 'message', content: 'one', id: 'use' }, 'message');
  const { seq } = data;
  let id = 100;
  const attempt = (command: object, ...answer: [data: string, reason?: string]) =>
    answered(chat, { ...command, id: id++ }, ...answer);
  await attempt({ type: 'edit', seq, content: 'two' }, 'OK');
  await attempt({ type: 'edit', seq, content: 'three', base: 1 }, 'ERROR', 'CONFLICT');
  await attempt({ type: 'edit', seq, content: 'x'.repeat(9_000) }, 'ERROR', 'TOO_LARGE');
  for (const type of ['edit', 'delete', 'react']) await attempt({ type }, 'ERROR', 'BAD_REQUEST');
  for (let n = 0; n < 20; n++) await attempt({ type: 'react', seq, emoji: `emoji${n}` }, 'OK');
  await attempt({ type: 'react', seq, emoji: 'another' }, 'ERROR', 'TOO_MANY_REACTIONS');
  await attempt({ type: 'delete', seqs: [seq] }, 'OK');
  await attempt({ type: 'delete', seqs: [99] }, 'ERROR', 'NO_MESSAGE');
  for (const [wrong, code] of [
    [99, 'NO_MESSAGE'],
    [seq, 'DELETED'],
  ] as const) {
    await attempt({ type: 'edit', seq: wrong, content: 'four' }, 'ERROR', code);
    await attempt({ type: 'react', seq: wrong, emoji: 'x' }, 'ERROR', code);
    await attempt({ type: 'message', content: 'a reply', thread: wrong }, 'ERROR', code);
  }
}

/** A body that is too large in a request without a body; `fetch` would not send it. */
async function tooLarge(base: string, token: string, path: string, bytes = large.length): Promise<void> {
  const headers = {
    ...{ Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    ...{ 'Content-Length': String(bytes), Connection: 'close' },
  };
  const asked = httpRequest(base + path, { headers }).end(large);
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const problem = undocumented({
    ...{ method: 'GET', path, body: undefined, header: () => null, status: response.statusCode! },
    ...{ answer: await json(response), answerHeader: (name) => String(response.headers[name.toLowerCase()]) },
  });
  expect(problem).to.equal(undefined);
}

/** Nothing that has been used up is given back during a test, however long it takes. */
const slowly = (limits: { sendRate?: number; requestRate?: number }): Alter => {
  return (config) => ({ ...config, limits: { ...config.limits, ...limits } });
};

/** Starts a node whose limits are low, so that a test reaches them soon. */
async function smallNode() {
  const port = await freePort();
  const DATABASE_URL = await freshDatabase();
  const settings = {
    ...{
      MAX_ROOMS_PER_CONNECTION: 1,
      MAX_CONNECTIONS_PER_USER: 1,
      SEND_BURST: 1,
      MAX_ROOMS_PER_CREATOR: 2,
    },
    ...{
      METRICS_PORT: port,
      METRICS_TOKEN: 'a token for the metrics',
      ADMIN_TOKEN: undefined,
      AUTH_TIMEOUT_SECONDS: 3,
      DRAIN_TIMEOUT_SECONDS: 2,
    },
  };
  const node = await startNode(postgres, { DATABASE_URL, ...settings }, slowly({ sendRate: 0.01 }));
  return { node, url: node.url, DATABASE_URL, metricsUrl: `http://127.0.0.1:${port}` };
}

/** Fills the queue of a connection: a join waits for the room's lock, and the requests after it wait for the join. */
async function overwhelm(base: string, owner: TestUser, room: Json, database: string): Promise<void> {
  const guest = await createMember(base, owner, room);
  const socket = await socketClient(base, guest);
  const other = await databaseSession(database);
  await lockRoom(other, room);
  const room_id = room.id;
  const waiting = [socket.request('room:join', { room_id })];
  for (let n = 1; n < 1_000; n++) waiting.push(socket.request('room:leave', { room_id }));
  for (const [name, payload] of Object.entries({ ...roomPayloads, 'token:refresh': { token: guest.token } })) {
    await refused(socket, name, { ...payload, room_id }, 'RATE_LIMITED');
  }
  expect(await socket.request('connection:check', {}), 'it waits for nothing').to.deep.equal({ ok: true });
  await other.query('commit');
  await Promise.all(waiting);
}

/** Edits a new message, reacts to it and deletes it, with the refusals on the way. */
async function usesMessagesLive(socket: SocketClient, room_id: number): Promise<void> {
  const { message, cursor } = await socket.request('message:send', { room_id, content: 'one' });
  const { seq } = message;
  await socket.request('message:edit', { room_id, seq, content: 'two' });
  await socket.next('message:changed');
  await refused(socket, 'message:edit', { room_id, seq, content: 'three', base: 1 }, 'CONFLICT');
  await refused(socket, 'message:edit', { room_id, seq, content: 'x'.repeat(9_000) }, 'TOO_LARGE');
  for (let n = 0; n < 20; n++) await socket.request('reaction:add', { room_id, seq, emoji: `emoji${n}` });
  await socket.next('reaction:changed');
  await refused(socket, 'reaction:add', { room_id, seq, emoji: 'another' }, 'TOO_MANY_REACTIONS');
  await socket.request('reaction:remove', { room_id, seq, emoji: 'emoji0' });
  await socket.request('message:delete', { room_id, seqs: [seq] });
  const replay = await socket.request('room:join', { room_id, since: cursor });
  expect(replay.events.map(({ name }: Json) => name)).to.include.members(['message:changed', 'change:skipped']);
  const refusals = { 99: 'NO_MESSAGE', [seq]: 'DELETED' };
  for (const [wrong, code] of Object.entries(refusals)) {
    const payload = { room_id, seq: Number(wrong) };
    await refused(socket, 'message:edit', { ...payload, content: 'four' }, code);
    await refused(socket, 'reaction:add', { ...payload, emoji: 'x' }, code);
    await refused(socket, 'reaction:remove', { ...payload, emoji: 'x' }, code);
    await refused(socket, 'message:send', { room_id, content: 'a reply', thread: Number(wrong) }, code);
  }
  await refused(socket, 'message:delete', { room_id, seqs: [99] }, 'NO_MESSAGE');
}

/** Edits and reactions count as messages. The caller has just sent as many as it may. */
async function limitedEdits(chat: ChatClient, client: RestClient, room: Json): Promise<void> {
  let next = 100;
  const limited = async (command: { type: string; [field: string]: unknown }) => {
    await waitUntil(`${command.type} is limited`, async () => {
      const id = next++;
      chat.send({ ...command, id });
      return (await chat.skipTo((frame) => frame.id === id)).reason === 'RATE_LIMITED';
    });
  };
  await limited({ type: 'edit', seq: 1, content: 'x' });
  await limited({ type: 'react', seq: 1, emoji: 'x' });
  await limited({ type: 'delete', seqs: [1] });
  for (const call of ['editMessage', 'addReaction', 'removeReaction'] as const) {
    await waitUntil(`${call} is limited`, async () => {
      const { body } = await roomCalls[call]!(client, room.id, undefined as never);
      return body.meta.reason === 'RATE_LIMITED';
    });
  }
}

async function refused(socket: SocketClient, name: string, payload: object, code: string): Promise<void> {
  const ack = await socket.request(name as 'room:join', payload);
  expect(ack.error?.code, name).to.equal(code);
}

async function answered(chat: ChatClient, command: object, data: string, reason?: string): Promise<Json> {
  chat.send(command);
  const frame = await chat.skipTo((one) => one.data === data || one.type === data);
  expect(frame.reason).to.equal(reason);
  return frame;
}

describeOneWiring('the documented protocol', ({ url }) => {
  before(() => {
    seenOnRest.clear();
    seenLive.clear();
  });

  it('answers every REST route as documented', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const client = rest(url(), owner.token);
    const guest = createUser();
    await client.get('/rooms');
    await client.get(`/rooms/${room.uuid}`);
    await client.patch(`/rooms/${room.id}`, { name: 'Launch' });
    await client.get(`/rooms/${room.id}/members`);
    for (const permissions of ['r', 'rw']) {
      await client.put(`/rooms/${room.id}/members`, { userUUID: guest.user, permissions });
    }
    await rest(url(), guest.token).put(`/rooms/${room.id}/invitation`, { accepted: 'true' });
    for (const content of ['once', 'once', 'other']) {
      await client.post(`/rooms/${room.id}/messages`, { content }, { 'Idempotency-Key': 'm1' });
    }
    await client.get(`/rooms/${room.id}/messages?around=1&dateFrom=2026-01-01&limit=10`);
    await roomCalls.markRead!(client, room.id, owner);
    await roomCalls.changePersonal!(client, room.id, owner);
    await roomCalls.readPresence!(client, room.id, owner);
    await usesMessages(client, room);
    await client.delete(`/rooms/${room.id}/members/${guest.user}`);
    await client.delete(`/rooms/${room.id}/members/${owner.user}`);
    await rest(url(), guest.token).delete(`/rooms/${room.id}/members/${owner.user}`);
    await client.delete(`/rooms/${(await createRoom(url(), owner)).id}`);
    await admin(url()).post('/admin/revocations', { jti: 'one' });
    await admin(url()).post('/admin/revocations', { jti: 'one' });
    const { body } = await admin(url()).get('/admin/revocations');
    await admin(url()).delete(`/admin/revocations/${body.content[0].id}`);
    for (const path of [
      '/healthz',
      '/readyz',
      '/metrics',
      '/openapi.json',
      '/admin/openapi.json',
      '/asyncapi.json',
      '/docs',
      '/client.js',
      '/client.mjs',
    ]) {
      expect((await rest(url()).get(path)).status, path).to.equal(200);
    }
  });

  it('answers unauthorized REST requests with the documented refusals', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const revoked = createUser({ jti: crypto.randomUUID() });
    await revoke(url(), { jti: revoked.claims.jti });
    const expired = withClaims(owner, { exp: nowSeconds() - 60 });
    const [reader, banned] = await Promise.all([
      createMember(url(), owner, room, 'r'),
      createMember(url(), owner, room, 'b'),
    ]);
    await rest(url(), reader.token).put(`/rooms/${room.id}/invitation`, { accepted: false });
    const clerk = createUser({ level: 1 });
    await putRule(url(), owner, room, { entityUUID: clerk.entity, permissions: 'r', level: 50 });
    for (const call of Object.values(userCalls)) {
      for (const token of [undefined, expired.token, revoked.token]) await call(rest(url(), token), room.id, owner);
    }
    for (const [name, call] of Object.entries(userCalls)) {
      const client = rest(url(), owner.token);
      const takesBody = !/^(read|list)/.test(name);
      await call(client, 'none', owner, name === 'createRoom' ? {} : undefined);
      if (takesBody) await call(client, room.id, owner, { large });
      else await tooLarge(url(), owner.token, name === 'listRooms' ? '/rooms' : pathOf(name, room.id));
    }
    for (const [name, call] of Object.entries(roomCalls)) {
      const noOne = name === 'answerInvitation' ? clerk : reader;
      await call(rest(url(), owner.token), nobodysRoom, owner);
      await call(rest(url(), noOne.token), room.id, noOne);
      await call(rest(url(), banned.token), room.id, banned);
    }
    await rest(url(), reader.token).post('/rooms', { name: 'not allowed' });
  });

  const pathOf = (name: string, room: number) =>
    ({
      readRoom: `/rooms/${room}`,
      listMembers: `/rooms/${room}/members`,
      listReactions: `/rooms/${room}/messages/1/reactions`,
      readPresence: `/rooms/${room}/presence`,
    })[name] ?? `/rooms/${room}/messages`;

  it('answers conflicting changes of rooms, pairs and revocations with the documented refusals', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { max_entity_rules: 2 });
    const client = rest(url(), owner.token);
    await client.put(`/rooms/${room.id}/members`, { userUUID: nobodysRoom, permissions: 'r' });
    await rest(url(), owner.token).put(`/rooms/${room.id}/members`, { userUUID: owner.user, permissions: 'r' });
    await client.put(`/rooms/${room.id}/invitation`, { accepted: false });
    const other = createUser();
    const pair = await createRoom(url(), owner, { type: 'user2user', with: other.user });
    await client.put(`/rooms/${pair.id}/members`, { userUUID: nobodysRoom, permissions: 'r' });
    const second = await createRoom(url(), owner, { type: 'user2user' });
    await client.put(`/rooms/${second.id}/members`, { userUUID: other.user, permissions: 'r' });
    for (const call of Object.values(adminCalls)) {
      await call(rest(url()));
      await call(admin(url()));
    }
    for (const [name, call] of Object.entries(adminCalls)) {
      if (!/list|read/i.test(name)) await call(admin(url()), { large: 'x'.repeat(hugeBytes) });
    }
    const ofUser = `/admin/users/${nobodysRoom}/rooms`;
    for (const path of ['/admin/revocations', '/admin/webhooks', '/admin/rooms', '/admin/rooms/1', ofUser]) {
      await tooLarge(url(), adminToken, path, hugeBytes);
    }
    await usesRoomsAsBackend(url());
    await usesMessagesAsBackend(url());
    await admin(url()).delete('/admin/revocations/999999');
    await usesWebhooks(url());
  });

  it('sends the documented acknowledgements and events over Socket.IO', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const room_id = room.id;
    const guest = createUser({ exp: nowSeconds() + 50 });
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'rw' });
    const socket = await socketClient(url(), guest);
    await socket.next('token:expiring');
    await socket.request('room:join', { room_id });
    await socket.request('message:send', { room_id, content: 'once', client_msg_id: 'm1' });
    await socket.request('message:history', { room_id, limit: 1 });
    await socket.request('room:leave', { room_id });
    await socket.request('room:join', { room_id });
    const client = rest(url(), owner.token);
    await client.post(`/rooms/${room_id}/messages`, { content: 'hear' });
    await client.patch(`/rooms/${room_id}`, { name: 'hear' });
    for (const name of ['message:new', 'room:changed']) await socket.next(name);
    await refused(socket, 'message:send', { room_id, content: 'other', client_msg_id: 'm1' }, 'ID_REUSED');
    await refused(socket, 'message:send', { room_id, content: 'x'.repeat(9_000) }, 'TOO_LARGE');
    for (const [name, payload] of Object.entries({ ...roomPayloads, 'token:refresh': {} })) {
      const wrong = name === 'inbox:close' ? [] : { ...payload, room_id: [], limit: 0 };
      await refused(socket, name, wrong, 'BAD_REQUEST');
    }
    await refused(socket, 'connection:check', [], 'BAD_REQUEST');
    await socket.request('typing:set', { room_id, typing: true });
    await socket.next('typing:changed');
    for (const name of accessRequests) {
      await refused(socket, name, { ...roomPayloads[name], room_id: nobodysRoom }, 'NOT_FOUND');
    }
    await usesMessagesLive(socket, room_id);
    await socket.request('message:read', { room_id, seqs: [1, 99] });
    await socket.request('read:mark', { room_id, seq: 1, force: true });
    await socket.next('read:changed');
    await socket.request('room:personal', { room_id, muted: true });
    await socket.request('room:join', { room_id, presence: true, reads: true });
    await (await socketClient(url(), owner)).request('room:join', { room_id });
    await socket.next('presence:changed');
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'r' });
    await refused(socket, 'typing:set', { room_id, typing: true }, 'FORBIDDEN');
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'b' });
    await socket.next('room:removed');
    const declined = await createMember(url(), owner, room, 'rw');
    await rest(url(), declined.token).put(`/rooms/${room_id}/invitation`, { accepted: false });
    const outside = await socketClient(url(), declined);
    for (const name of accessRequests) {
      const payload = { ...roomPayloads[name], room_id, seq: 2 };
      await refused(socket, name, payload, 'BANNED');
      await refused(outside, name, payload, 'FORBIDDEN');
    }
  });

  it('sends the documented refusals of a token over Socket.IO', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const revoked = withClaims(owner, { jti: crypto.randomUUID() });
    await revoke(url(), { jti: revoked.claims.jti });
    const { token } = owner;
    const socket = await socketClient(url(), owner);
    const joined = await createMember(url(), owner, room, 'r');
    const other = await socketClient(url(), joined);
    await other.request('room:join', { room_id: room.id });
    await putRule(url(), owner, room, { userUUID: createUser().user, permissions: 'r' });
    await other.next('member:changed');
    const tokens = {
      UNAUTHENTICATED: 'none',
      TOKEN_EXPIRED: withClaims(owner, { exp: 1 }).token,
      TOKEN_REVOKED: revoked.token,
    };
    for (const [code, bad] of Object.entries(tokens)) {
      await refused(socket, 'token:refresh', { token: bad }, code);
      expect((await socket.request('token:refresh', { token })).ok).to.equal(true);
    }
    await expectConnectError(url(), { token: 'none' });
  });

  it('sends the documented frames over /chat', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const reader = await createMember(url(), owner, room, 'r');
    const chat = await chatClient(url());
    await chat.next();
    for (const id of [1, 2]) await answered(chat, { type: 'token', content: 'none', id }, 'TOKEN?', 'UNAUTHENTICATED');
    await answered(chat, { type: 'token', content: owner.token, id: 3 }, 'READY');
    await answered(chat, { type: 'message', content: 'x', id: 4 }, 'SELECTROOM?');
    await answered(chat, { type: 'select_room', room_id: 'none', id: 5 }, 'ERROR', 'BAD_REQUEST');
    await answered(chat, { type: 'select_room', room_id: nobodysRoom, id: 6 }, 'NOTAUTHORIZED', 'NOT_FOUND');
    const { cursor } = await answered(chat, { type: 'select_room', room_id: room.id, id: 7 }, 'CONNECTED');
    const observer = await authenticatedChat(url(), owner);
    await answered(observer, { type: 'select_room', room_id: room.id, events: true, id: 1 }, 'CONNECTED');
    await answered(chat, { type: 'message', msg: 'once', client_msg_id: 'm1', id: 8 }, 'message');
    await answered(chat, { type: 'message', content: 'other', client_msg_id: 'm1', id: 9 }, 'ERROR', 'ID_REUSED');
    await answered(chat, { type: 'message', content: 'x'.repeat(9_000), id: 10 }, 'ERROR', 'TOO_LARGE');
    await answered(chat, { type: 'message', id: 11 }, 'ERROR', 'BAD_REQUEST');
    await answered(chat, { type: 'get_past_messages', limit: 0, id: 12 }, 'ERROR', 'BAD_REQUEST');
    await answered(chat, { type: 'get_past_messages', id: 13 }, 'HISTORY');
    await answered(chat, { type: 'jump', id: 14 }, 'COMMAND?');
    await usesMessagesOnChat(chat);
    await answered(chat, { type: 'typing', typing: true, id: 15 }, 'OK');
    await answered(chat, { type: 'mark_read', seq: 1, id: 16 }, 'OK');
    await answered(chat, { type: 'read_messages', seqs: [1], id: 17 }, 'OK');
    for (const type of ['typing', 'mark_read', 'read_messages']) {
      await answered(chat, { type, id: type }, 'ERROR', 'BAD_REQUEST');
    }
    await putRule(url(), owner, room, { userUUID: createUser().user, permissions: 'r' });
    await rest(url(), owner.token).patch(`/rooms/${room.id}`, { name: 'renamed' });
    const awaited = new Set(
      ['message', 'reaction', 'read', 'typing', 'member', 'room'].map((noun) => `${noun}_changed`),
    );
    while (awaited.size > 0) awaited.delete((await observer.next()).type);
    const returning = await authenticatedChat(url(), owner);
    returning.send({ type: 'select_room', room_id: room.id, events: true, since: cursor });
    await returning.skipTo(({ type }) => type === 'change_skipped');
    chat.send({ type: 'quit' });
    expect(await chat.closed).to.equal(1000);

    const listener = await chatInRoom(url(), reader, room.id);
    for (const command of [
      { type: 'message', content: 'x' },
      { type: 'edit', seq: 1, content: 'x' },
      { type: 'delete', seqs: [1] },
      { type: 'react', seq: 1, emoji: 'x' },
      { type: 'typing', typing: true },
    ]) {
      await answered(listener, { ...command, id: command.type }, 'NOTAUTHORIZED', 'FORBIDDEN');
    }
    await putRule(url(), owner, room, { userUUID: reader.user, permissions: 'b' });
    await listener.skipTo(({ reason }) => reason === 'BANNED');
    await answered(listener, { type: 'select_room', room_id: room.id, id: 2 }, 'NOTAUTHORIZED', 'BANNED');
    const declined = await createMember(url(), owner, room);
    await rest(url(), declined.token).put(`/rooms/${room.id}/invitation`, { accepted: false });
    const outside = await authenticatedChat(url(), declined);
    await answered(outside, { type: 'select_room', room_id: room.id, id: 1 }, 'NOTAUTHORIZED', 'FORBIDDEN');
  });

  it('closes /chat with every documented code', async () => {
    const guest = createUser({ jti: crypto.randomUUID() });
    const [nonsense, revoked] = await Promise.all([
      authenticatedChat(url(), createUser()),
      authenticatedChat(url(), guest),
    ]);
    nonsense.sendRaw('no JSON');
    expect(await nonsense.closed).to.equal(4400);
    await revoke(url(), { jti: guest.claims.jti });
    expect(await revoked.closed).to.equal(4403);
    const chat = await chatClient(url());
    for (const id of [1, 2, 3]) chat.send({ type: 'select_room', room_id: 1, id });
    expect(await chat.closed).to.equal(4401);
    const early = await chatClient(url());
    early.sendRaw(large);
    expect(await early.closed).to.equal(1009);
    const bytes = await authenticatedChat(url(), createUser());
    bytes.sendRaw(Buffer.of(0xff));
    expect(await bytes.closed).to.equal(1007);
    const pinging = await authenticatedChat(url(), createUser());
    for (let n = 0; n < 100; n++) pinging.socket.pong();
    expect(await pinging.closed).to.equal(1008);
    const broken = await authenticatedChat(url(), createUser());
    // A frame with a reserved bit.
    (broken.socket as unknown as { _socket: Socket })._socket.write(Buffer.of(0xf1, 0x80, 0, 0, 0, 0));
    expect(await broken.closed).to.equal(1002);
  });

  it('sends the documented refusals at the limits and while it drains', async () => {
    const { node, url: small, metricsUrl, DATABASE_URL } = await smallNode();
    const { owner, room } = await createRoomWithOwner(small);
    const client = rest(small, owner.token);
    await rest(metricsUrl).get('/metrics');
    await rest(small).get('/metrics');
    for (const call of Object.values(adminCalls)) await call(admin(small));
    const silent = await chatClient(small);
    for (const _ of [1, 2]) await client.post(`/rooms/${room.id}/messages`, { content: 'x' });
    const socket = await socketClient(small, owner);
    await socket.request('room:join', { room_id: room.id });
    await refused(socket, 'room:join', { room_id: (await createRoom(small, owner)).id }, 'TOO_MANY_ROOMS');
    expect((await client.post('/rooms', { name: 'one too many' })).body.meta.reason).to.equal('TOO_MANY_ROOMS');
    const second = await chatClient(small);
    await answered(second, { type: 'token', content: owner.token, id: 1 }, 'ERROR', 'TOO_MANY_CONNECTIONS');
    expect(await second.closed).to.equal(4429);
    const guest = await chatInRoom(small, await createMember(small, owner, room), room.id);
    for (const id of [1, 2]) guest.send({ type: 'message', content: 'x', id });
    await guest.skipTo(({ reason }) => reason === 'RATE_LIMITED');
    await limitedEdits(guest, client, room);
    expect(await silent.closed).to.equal(4409);
    await overwhelm(small, owner, room, DATABASE_URL);
    const draining = node.drain();
    await rest(small).get('/readyz');
    await socket.next('server:draining');
    expect(await guest.closed).to.equal(1001);
    await draining;
  });

  it('sends the documented refusals to a user with too many requests', async () => {
    const settings = { REQUEST_BURST: 27, READ_RATE: 1 };
    const { url: slow } = await startNode(postgres, settings, slowly({ requestRate: 0.01 }));
    const { owner, room } = await createRoomWithOwner(slow);
    // A rejected request costs more than the user has left, so the user owes the difference.
    for (const _ of [1, 2])
      expect((await userCalls.listRooms!(rest(slow, owner.token), 0, owner)).status).to.equal(400);
    for (const [name, call] of Object.entries(userCalls)) {
      // Messages have a separate limit.
      if (name !== 'sendMessage') await call(rest(slow, owner.token), room.id, owner);
    }
    const chat = await chatClient(slow);
    await answered(chat, { type: 'token', content: owner.token, id: 1 }, 'ERROR', 'RATE_LIMITED');
    const other = createUser({ level: 100 });
    const inside = await chatInRoom(slow, other, (await createRoom(slow, other)).id);
    await answered(inside, { type: 'select_room', room_id: room.id, id: 1 }, 'ERROR', 'RATE_LIMITED');
    await answered(inside, { type: 'get_past_messages', id: 2 }, 'ERROR', 'RATE_LIMITED');
    await answered(inside, { type: 'typing', typing: true, id: 3 }, 'ERROR', 'RATE_LIMITED');
    await answered(inside, { type: 'read_messages', seqs: [1], id: 4 }, 'ERROR', 'RATE_LIMITED');
    const reader = createUser({ level: 100 });
    const { id } = await createRoom(slow, reader);
    const reading = await chatInRoom(slow, reader, id);
    for (let n = 0; n < 40; n++) reading.send({ type: 'mark_read', seq: 0, id: `mark ${n}` });
    await reading.skipTo(({ reason }) => reason === 'RATE_LIMITED');
    for (const name of ['markRead', 'changePersonal'] as const) {
      await waitUntil(`${name} is limited`, async () => {
        const { body } = await roomCalls[name]!(rest(slow, reader.token), id, reader);
        return body.meta.reason === 'RATE_LIMITED';
      });
    }
  });

  it('sends the documented refusals of an edit that comes too late, and of too many rules', async () => {
    const { url: strict } = await startNode(postgres, { EDIT_SECONDS: 1, MAX_RULES_PER_ROOM: 2 });
    const { owner, room } = await createRoomWithOwner(strict);
    const client = rest(strict, owner.token);
    await client.post(`/rooms/${room.id}/messages`, { content: 'once' });
    let edits = 0;
    await waitUntil('the message can no longer be edited', async () => {
      const { body } = await client.patch(`/rooms/${room.id}/messages/1`, { content: `edit ${edits++}` });
      return body.meta.reason === 'EDIT_CLOSED';
    });
    await tooManyRules(admin(strict));
    const socket = await socketClient(strict, owner);
    await refused(socket, 'message:edit', { room_id: room.id, seq: 1, content: 'late' }, 'EDIT_CLOSED');
    const chat = await chatInRoom(strict, owner, room.id);
    await answered(chat, { type: 'edit', seq: 1, content: 'late', id: 1 }, 'ERROR', 'EDIT_CLOSED');
  });

  it('sends the documented events of an inbox', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const socket = await socketClient(url(), guest);
    await socket.request('inbox:open', {});
    await socket.request('inbox:page', { limit: 1 });
    await rest(url(), owner.token).post(`/rooms/${room.id}/messages`, { content: 'once' });
    await socket.next('inbox:changed');
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'b' });
    await socket.next('inbox:removed');
    const { token } = withClaims(guest, { levelOnEntity: guest.level + 1 });
    await socket.request('token:refresh', { token });
    await socket.next('inbox:reset');
    await socket.request('inbox:close', {});
  });

  it('has no answer, event or close code that did not occur in the tests of this file', () => {
    const met = new Set([...seenOnRest, ...seenLive]);
    const documented = [...documentedOnRest, ...documentedLive, ...documentedCloses];
    const missing = documented.filter((one) => !met.has(one) && !failures.test(one) && !races.test(one));
    expect(missing).to.have.members([unread, repairs]);
  });
});
