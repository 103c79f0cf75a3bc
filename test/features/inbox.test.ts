import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases, describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser, withClaims } from '../helpers/users.ts';

async function openInboxAt(url: string, person: TestUser, payload: object = {}) {
  const socket = await socketClient(url, person);
  const page = await socket.request('inbox:open', payload);
  if (!page.ok) throw new Error(`The inbox was not opened: ${JSON.stringify(page)}`);
  return { socket, page };
}

/** The next item of this room that fulfils the condition. */
async function nextItem(socket: SocketClient, room: { id: number }, until: (item: Json) => boolean = () => true) {
  for (;;) {
    const { items } = await socket.next('inbox:changed');
    const item = items.find(({ id }: Json) => id === room.id);
    if (item && until(item)) return item;
  }
}

describeBothDatabases('The inbox', ({ url, urls }) => {
  const openInbox = (person: TestUser, payload: object = {}, at = url()) => openInboxAt(at, person, payload);
  const ids = (rooms: Json[]): number[] => rooms.map(({ id }) => id);

  it('lists the rooms with their last message, in the order of their activity', async () => {
    const owner = createUser({ level: 100 });
    const [a, b] = [await createRoom(url(), owner), await createRoom(url(), owner)];
    const [sent] = await sendMessages(url(), owner, a, 'x'.repeat(300));
    const { page } = await openInbox(owner);
    expect(ids(page.rooms)).to.deep.equal([a.id, b.id]);
    expect(page.next).to.equal(null);
    expect(page.rooms[0]).to.deep.include({ ...a, last_seq: 1, room_id: a.id, permissions: 'rwa', muted: false });
    expect(page.rooms[0]).to.include({ activityAt: sent!.createdAt, unread: 0, unread_mentions: 0, hidden: false });
    expect(page.rooms[0].last_message).to.deep.equal({
      ...{ seq: 1, emitter: owner.user, content: 'x'.repeat(256) },
      ...{ createdAt: sent!.createdAt, updatedAt: sent!.updatedAt },
    });
    expect(page.rooms[1]).to.deep.include({ last_message: null, activityAt: b.createdAt });
  });

  it('gives REST clients the same items with GET /rooms?inbox=true', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, 'hello');
    const { page } = await openInbox(guest);
    const { body } = await rest(url(), guest.token).get('/rooms?inbox=true');
    expect(body.content).to.deep.equal(page.rooms);
    expect(body.meta).to.deep.include({ next: null, unread_rooms: [room.id] });
    expect(page.unread_rooms).to.deep.equal([room.id]);
    expect(page.rooms[0].unread).to.equal(1);
  });

  it('leaves out what an inbox shows for a room that the caller can enter but not read', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room, 'w');
    const { body } = await rest(url(), guest.token).get('/rooms?inbox=true');
    expect(ids(body.content)).to.deep.equal([room.id]);
    expect(body.content[0]).to.not.have.any.keys('activityAt', 'unread', 'last_message');
    expect((await openInbox(guest)).page.rooms).to.deep.equal([]);
  });

  it('pages through the rooms', async () => {
    const owner = createUser({ level: 100 });
    const made: number[] = [];
    for (let n = 0; n < 5; n++) made.unshift((await createRoom(url(), owner)).id);
    const { socket, page } = await openInbox(owner, { limit: 2 });
    expect(ids(page.rooms)).to.deep.equal(made.slice(0, 2));
    const second = await socket.request('inbox:page', { after: page.next, limit: 2 });
    expect(ids(second.rooms)).to.deep.equal(made.slice(2, 4));
    const third = await socket.request('inbox:page', { after: second.next, limit: 2 });
    expect(ids(third.rooms)).to.deep.equal(made.slice(4));
    expect(third.next).to.equal(null);
    const { body } = await rest(url(), owner.token).get(`/rooms?inbox=true&limit=2&after=${page.next}`);
    expect(ids(body.content)).to.deep.equal(made.slice(2, 4));
    expect(body.meta.next).to.equal(second.next);
  });

  it('tells about a message in a room that is neither joined nor fetched', async () => {
    const owner = createUser({ level: 100 });
    const [a, b] = [await createRoom(url(), owner), await createRoom(url(), owner)];
    const guest = createUser();
    for (const room of [a, b]) await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'r' });
    const { socket, page } = await openInbox(guest, { limit: 1 });
    expect(ids(page.rooms)).to.deep.equal([b.id]);
    await sendMessages(url(), owner, a, 'one');
    const item = await nextItem(socket, a, ({ last_seq }) => last_seq === 1);
    expect(item).to.include({ last_seq: 1, unread: 1 });
    expect(item.last_message).to.include({ content: 'one', emitter: owner.user });
  });

  it('tells users about a room that appears by their own rule, by a rule of their organisation, and by a level', async () => {
    const owner = createUser({ level: 100 });
    const guest = createUser();
    const { socket, page } = await openInbox(guest);
    expect(page.rooms).to.deep.equal([]);
    const [own, shared] = [await createRoom(url(), owner), await createRoom(url(), owner)];
    await putRule(url(), owner, own, { userUUID: guest.user, permissions: 'r' });
    expect(await nextItem(socket, own)).to.include({ permissions: 'r', kind: 'user' });
    await putRule(url(), owner, shared, { entityUUID: guest.entity, permissions: 'rw', level: 1 });
    await putRule(url(), owner, shared, { entityUUID: guest.entity, permissions: 'rw', level: 0 });
    expect(await nextItem(socket, shared)).to.include({ permissions: 'rw', kind: 'entity', level: 0 });
    await sendMessages(url(), owner, shared, 'hello');
    expect(await nextItem(socket, shared, ({ last_seq }) => last_seq === 1)).to.include({ last_seq: 1 });
  });

  it('tells owner administrators about a room of their organisation that no rule opens to them', async () => {
    const director = createUser({ level: 200 });
    const { socket } = await openInbox(director);
    const owner = createUser({ level: 100, entity: director.entity });
    const room = await createRoom(url(), owner, { level_admin: 200 });
    expect(await nextItem(socket, room)).to.include({ permissions: 'rwa' });
    await rest(url(), owner.token).delete(`/rooms/${room.id}/members/${owner.entity}`);
    await sendMessages(url(), owner, room, 'hello');
    expect(await nextItem(socket, room, ({ last_seq }) => last_seq === 1)).to.include({ permissions: 'rwa' });
    await rest(url(), owner.token).patch(`/rooms/${room.id}`, { name: 'renamed' });
    expect(await nextItem(socket, room, ({ name }) => name === 'renamed')).to.include({ name: 'renamed' });
  });

  it('removes a room after a ban, a declined invitation, the end of a rule, and its deletion', async () => {
    const owner = createUser({ level: 100 });
    const guest = createUser();
    const rooms = [];
    for (let n = 0; n < 4; n++) {
      const room = await createRoom(url(), owner);
      await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'rw' });
      rooms.push(room);
    }
    const [banned, declined, left, deleted] = rooms as [Json, Json, Json, Json];
    const { socket } = await openInbox(guest);
    await putRule(url(), owner, banned, { userUUID: guest.user, permissions: 'b' });
    expect(await socket.next('inbox:removed')).to.deep.equal({ room_id: banned.id, code: 'BANNED' });
    await rest(url(), guest.token).put(`/rooms/${declined.id}/invitation`, { accepted: false });
    expect(await socket.next('inbox:removed')).to.deep.equal({ room_id: declined.id, code: 'DECLINED' });
    await rest(url(), owner.token).delete(`/rooms/${left.id}/members/${guest.user}`);
    expect(await socket.next('inbox:removed')).to.deep.equal({ room_id: left.id, code: 'RULE_REMOVED' });
    await rest(url(), owner.token).delete(`/rooms/${deleted.id}`);
    expect(await socket.next('inbox:removed')).to.deep.equal({ room_id: deleted.id, code: 'ROOM_DELETED' });
    await putRule(url(), owner, banned, { userUUID: guest.user, permissions: 'r' });
    expect(await nextItem(socket, banned, ({ permissions }) => permissions === 'r')).to.include({ kind: 'user' });
    await sendMessages(url(), owner, banned, 'again');
    expect(await nextItem(socket, banned, ({ last_seq }) => last_seq === 1)).to.include({ last_seq: 1 });
  });

  it('tells nothing that was committed after a ban, neither about the room nor about the ban of a room never told', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const fence = await createRoom(url(), owner);
    const [guest, stranger] = [await createMember(url(), owner, room), createUser()];
    await putRule(url(), owner, fence, { userUUID: guest.user, permissions: 'r' });
    await putRule(url(), owner, fence, { userUUID: stranger.user, permissions: 'r' });
    const [{ socket }, other] = [await openInbox(guest), await openInbox(stranger)];
    const heard: Json[] = [];
    for (const { raw } of [socket, other.socket])
      raw.onAny((name: string, payload: Json) => heard.push({ name, payload }));
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'b' });
    await putRule(url(), owner, room, { userUUID: stranger.user, permissions: 'b' });
    await sendMessages(url(), owner, room, 'a secret');
    await socket.next('inbox:removed');
    await sendMessages(url(), owner, fence, 'the fence');
    for (const one of [socket, other.socket]) await nextItem(one, fence, ({ last_seq }) => last_seq === 1);
    expect(JSON.stringify(heard)).to.not.include('a secret');
    const removals = heard.filter(({ name }) => name === 'inbox:removed');
    expect(removals).to.deep.equal([{ name: 'inbox:removed', payload: { room_id: room.id, code: 'BANNED' } }]);
  });

  it('shows edits and deletions of the last message', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const sender = await socketClient(url(), owner);
    for (const content of ['one', 'two']) await sender.request('message:send', { room_id: room.id, content });
    const { socket, page } = await openInbox(guest);
    expect(page.rooms[0]).to.include({ unread: 2 });
    await sender.request('message:edit', { room_id: room.id, seq: 2, content: 'edited' });
    const edited = await nextItem(socket, room, ({ last_message }) => last_message.content === 'edited');
    expect(edited).to.include({ unread: 2, activityAt: page.rooms[0].activityAt });
    expect(edited.last_message.editedAt).to.be.a('string');
    await sender.request('message:delete', { room_id: room.id, seqs: [2] });
    const deleted = await nextItem(socket, room, ({ last_message }) => last_message.seq === 1);
    expect(deleted).to.include({ unread: 1, last_seq: 2, activityAt: page.rooms[0].activityAt });
  });

  it('neither counts nor shows silent messages and replies, and does not move the room by them', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const sender = await socketClient(url(), owner);
    const send = async (message: object) => {
      const ack = await sender.request('message:send', { room_id: room.id, ...message });
      expect(ack).to.include({ ok: true });
    };
    await send({ content: 'the root' });
    const { socket, page } = await openInbox(guest);
    await send({ content: 'psst', silent: true });
    await send({ content: 'a reply', thread: 1 });
    const item = await nextItem(socket, room, ({ last_seq }) => last_seq === 3);
    expect(item).to.include({ unread: 1, activityAt: page.rooms[0].activityAt });
    expect(item.last_message).to.include({ seq: 1, content: 'the root' });
  });

  it('counts mentions of the user, of the organisation and of everybody, also in threads, each message once', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const sender = await socketClient(url(), owner);
    for (const mention of [
      { mentions: [guest.user] },
      { mentions: [guest.entity, guest.user] },
      { mention_room: true, thread: 1 },
      { mentions: [randomUUID()] },
    ]) {
      const ack = await sender.request('message:send', { room_id: room.id, content: 'hey', ...mention });
      expect(ack).to.include({ ok: true });
    }
    const { page } = await openInbox(guest);
    expect(page.rooms[0]).to.include({ unread: 3, unread_mentions: 3 });
    const own = await openInbox(owner);
    expect(own.page.rooms[0]).to.include({ unread: 0, unread_mentions: 0 });
  });

  it('tells every inbox of a user what the user has read, muted and hidden', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, 'one', 'two', 'three');
    const [{ socket, page }, other] = await Promise.all([openInbox(guest), openInbox(guest)]);
    expect(page.rooms[0]).to.include({ unread: 3, muted: false, hidden: false });
    const marker = await socketClient(url(), guest);
    const mark = await marker.request('read:mark', { room_id: room.id, seq: 2 });
    for (const one of [socket, other.socket]) {
      const item = await nextItem(one, room, ({ version }) => version === mark.version);
      expect(item).to.include({ read_seq: 2, unread: 1 });
    }
    await marker.request('room:personal', { room_id: room.id, muted: true, hidden: true });
    const hidden = await nextItem(socket, room, (item) => item.hidden);
    expect(hidden).to.include({ muted: true, hidden: true, unread: 1 });
    expect((await socket.request('inbox:page', {})).rooms).to.deep.equal([]);
    expect(ids((await socket.request('inbox:page', { hidden: true })).rooms)).to.deep.equal([room.id]);
    expect((await openInbox(guest)).page.unread_rooms).to.deep.equal([]);
    await sendMessages(url(), owner, room, 'four');
    const shown = await nextItem(socket, room, (item) => !item.hidden);
    expect(shown).to.include({ muted: true, unread: 2 });
    expect((await openInbox(guest)).page.unread_rooms).to.deep.equal([]);
  });

  it('counts the same for many inboxes of one room as for one', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { max_entity_rules: 50 });
    const guests = await Promise.all(Array.from({ length: 12 }, () => createMember(url(), owner, room)));
    const at = url();
    const inboxes = await Promise.all(guests.map((guest) => openInbox(guest, {}, at)));
    for (const guest of guests.slice(0, 5)) await sendMessages(url(), guest, room, 'from a guest');
    const sender = await socketClient(url(), owner);
    const mentions = { mentions: [guests[7]!.user], mention_room: true };
    await sender.request('message:send', { room_id: room.id, content: 'hey', ...mentions });
    await sender.request('message:send', { room_id: room.id, content: 'you', mentions: [guests[8]!.user] });
    for (const [n, { socket }] of inboxes.entries()) {
      const item = await nextItem(socket, room, ({ last_seq }) => last_seq === 7);
      expect(item).to.include({ unread: n < 5 ? 6 : 7, unread_mentions: n === 8 ? 2 : 1 });
    }
    const { body } = await rest(url(), guests[8]!.token).get('/rooms?inbox=true');
    expect(body.content[0]).to.include({ unread: 7, unread_mentions: 2 });
  });

  it('does not move a room by a rule or another name', async () => {
    const owner = createUser({ level: 100 });
    const [a, b] = [await createRoom(url(), owner), await createRoom(url(), owner)];
    await putRule(url(), owner, a, { userUUID: randomUUID(), permissions: 'r' });
    await rest(url(), owner.token).patch(`/rooms/${a.id}`, { name: 'renamed' });
    const { page } = await openInbox(owner);
    expect(ids(page.rooms)).to.deep.equal([b.id, a.id]);
    expect(page.rooms[1].activityAt).to.equal(a.createdAt);
    const { body } = await rest(url(), owner.token).get('/rooms');
    expect(ids(body.content)).to.deep.equal([b.id, a.id]);
  });

  it('lists a room not before the own rule was made', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const later = await createRoom(url(), owner);
    const guest = createUser();
    for (const one of [later, room]) await putRule(url(), owner, one, { userUUID: guest.user, permissions: 'r' });
    const { page } = await openInbox(guest);
    expect(ids(page.rooms)).to.deep.equal([room.id, later.id]);
    const { body } = await rest(url(), guest.token).get('/rooms');
    expect(ids(body.content)).to.deep.equal([room.id, later.id]);
  });

  it('asks to open again if a fresh token has another level or organisation, and only then', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const { socket } = await openInbox(guest);
    await socket.request('token:refresh', { token: withClaims(guest, { iat: 1 }).token });
    await sendMessages(url(), owner, room, 'still open');
    expect(await nextItem(socket, room, ({ last_seq }) => last_seq === 1)).to.include({ last_seq: 1 });
    await socket.request('token:refresh', { token: withClaims(guest, { levelOnEntity: 7 }).token });
    expect(await socket.next('inbox:reset')).to.deep.equal({});
    const closed = await socket.request('inbox:page', {});
    expect(closed.error).to.include({ code: 'BAD_REQUEST' });
    expect((await socket.request('inbox:open', {})).rooms).to.have.length(1);
  });

  it('tells nothing after inbox:close', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const [guest, fence] = [await createMember(url(), owner, room), await createMember(url(), owner, room)];
    const at = url();
    const [{ socket }, other] = [await openInbox(guest, {}, at), await openInbox(fence, {}, at)];
    expect(await socket.request('inbox:close', {})).to.deep.equal({ ok: true });
    await sendMessages(url(), owner, room, 'nobody listens');
    await nextItem(other.socket, room, ({ last_seq }) => last_seq === 1);
    expect(JSON.stringify(socket.unread)).to.not.include('nobody listens');
    expect(await socket.request('inbox:close', {})).to.deep.equal({ ok: true });
  });

  it('tells all inboxes of a user, on whichever node they are open', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const all = await Promise.all([...urls(), ...urls()].map((at) => openInbox(guest, {}, at)));
    await sendMessages(url(), owner, room, 'to all');
    for (const { socket } of all)
      expect(await nextItem(socket, room, ({ last_seq }) => last_seq === 1)).to.include({ last_seq: 1 });
  });

  for (const [request, payload, field] of [
    ['inbox:open', { limit: 201 }, 'limit'],
    ['inbox:open', { limit: 'x' }, 'limit'],
    ['inbox:page', { after: 'no cursor' }, 'after'],
    ['inbox:page', { hidden: 'perhaps' }, 'hidden'],
  ] as const) {
    it(`rejects ${request} with ${JSON.stringify(payload)}, and the connection survives`, async () => {
      const { socket } = await openInbox(createUser());
      const { error } = await socket.request(request, payload);
      expect(error).to.include({ code: 'BAD_REQUEST', field });
      expect(await socket.request('inbox:page', {})).to.deep.equal({ ok: true, rooms: [], next: null });
    });
  }

  for (const [query, field] of [
    ['inbox=true&limit=201', 'limit'],
    ['inbox=true&offset=1', 'offset'],
    ['inbox=true&accepted=true', 'accepted'],
    ['inbox=true&after=x', 'after'],
    ['after=1.1', 'after'],
    ['hidden=true', 'hidden'],
    ['inbox=perhaps', 'inbox'],
  ]) {
    it(`rejects GET /rooms?${query}`, async () => {
      const { status, body } = await rest(url(), createUser().token).get(`/rooms?${query}`);
      expect(status).to.equal(400);
      expect(body.meta.detail).to.match(new RegExp(`^${field}: `));
    });
  }
});

describeOneWiring('The inbox on one node', ({ startNode }) => {
  it('tells about each room at most once a second, and about the last change always', async () => {
    const { url } = await startNode();
    const { owner, room } = await createRoomWithOwner(url);
    const guest = await createMember(url, owner, room);
    const { socket } = await openInboxAt(url, guest);
    const heard: Json[] = [];
    let events = 0;
    socket.raw.on('inbox:changed', ({ items }: Json) => {
      heard.push(...items);
      events += 1;
    });
    const startedAt = performance.now();
    for (let n = 1; n <= 30; n++) await sendMessages(url, owner, room, `${n}`);
    await nextItem(socket, room, ({ last_seq }) => last_seq === 30);
    expect(heard.map(({ last_seq }) => last_seq)).to.deep.equal(
      heard.map(({ last_seq }) => last_seq).sort((a, b) => a - b),
    );
    expect(events).to.be.at.most(2 + Math.floor((performance.now() - startedAt) / 1_000));
  });

  it('shares READ_RATE with marks', async function () {
    this.timeout(60_000);
    const node = await startNode({ READ_RATE: 1 });
    const { owner, room } = await createRoomWithOwner(node.url);
    const startedAt = performance.now();
    const { socket } = await openInboxAt(node.url, owner);
    const requests = Array.from({ length: 10 }, () => [
      socket.request('read:mark', { room_id: room.id, seq: 0 }),
      socket.request('inbox:page', {}),
    ]);
    const acks = await Promise.all(requests.flat());
    // The limit is one request per second with a burst of two. Opening the inbox used the first request of the burst.
    expect(acks.filter(({ ok }) => ok).length).to.be.at.most(1 + Math.floor((performance.now() - startedAt) / 1_000));
    for (const { ok, error } of acks) if (!ok) expect(error).to.include({ code: 'RATE_LIMITED' });
  });
});
