import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { authenticatedChat, chatInRoom } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { readMetrics } from '../helpers/metrics.ts';
import { describeBothDatabases, describeOneWiring } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser, withClaims } from '../helpers/users.ts';

async function joinSocket(url: string, person: TestUser, room_id: number): Promise<SocketClient> {
  const socket = await socketClient(url, person);
  expect(await socket.request('room:join', { room_id })).to.include({ ok: true });
  return socket;
}

async function mark(url: string, person: TestUser, room: { id: number }, seq: number, more: object = {}) {
  const { status, body } = await rest(url, person.token).put(`/rooms/${room.id}/read`, { seq, ...more });
  expect(status, JSON.stringify(body)).to.equal(200);
  return body.content as Json;
}

/** Two users and their room, which has receipts. */
async function createPair(url: string): Promise<{ ana: TestUser; ben: TestUser; room: Json }> {
  const [ana, ben] = [createUser({ level: 100 }), createUser()];
  return { ana, ben, room: await createRoom(url, ana, { type: 'user2user', with: ben.user }) };
}

/** Sends a message, and waits until the socket has received it; returns the events before it with this name. */
async function listBeforeFence(url: string, sender: TestUser, room: { id: number }, socket: SocketClient) {
  const [{ seq }] = (await sendMessages(url, sender, room, 'fence')) as [Json];
  const payloads: Json[] = [];
  for (;;) {
    const { name, payload } = await socket.nextOfAny();
    if (name === 'message:new' && payload.seq === seq) return payloads;
    if (name === 'read:changed') payloads.push(payload);
  }
}

describeBothDatabases('read state', ({ url, urls }) => {
  it('moves the position forward only, over REST and Socket.IO', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, 'one', 'two', 'three', 'four');
    const fresh = { read_seq: 2, version: 1, unread: 2, unread_mentions: 0 };
    expect(await mark(url(), member, room, 2)).to.deep.equal(fresh);
    expect(await mark(url(), member, room, 1)).to.deep.equal(fresh);
    const socket = await socketClient(url(), member);
    const request = (payload: object) => socket.request('read:mark', { room_id: room.id, ...payload });
    expect(await request({ seq: 3 })).to.deep.equal({ ok: true, ...fresh, read_seq: 3, version: 2, unread: 1 });
    expect(await request({ seq: 1_000 })).to.include({ read_seq: 4, version: 3, unread: 0 });
    expect(await request({ seq: 0, force: true })).to.include({ read_seq: 0, version: 4, unread: 4 });
    expect(await mark(url(), member, room, 1, { force: true })).to.include({ read_seq: 1, version: 5, unread: 3 });
  });

  it('counts mentions, and neither own, silent and deleted messages nor replies', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    const send = async (person: TestUser, message: object) => {
      const { status } = await rest(url(), person.token).post(`/rooms/${room.id}/messages`, message);
      expect(status).to.equal(201);
    };
    await send(owner, { content: 'root' });
    await send(owner, { content: 'reply', thread: 1, mentions: [member.user] });
    await send(owner, { content: 'silent', silent: true });
    await send(member, { content: 'own' });
    await send(owner, { content: 'to all', mention_room: true });
    await send(owner, { content: 'deleted' });
    expect((await rest(url(), owner.token).delete(`/rooms/${room.id}/messages/6`)).status).to.equal(200);
    expect(await mark(url(), member, room, 0)).to.include({ unread: 2, unread_mentions: 2 });
    expect(await mark(url(), member, room, 3)).to.include({ read_seq: 4, unread: 1, unread_mentions: 1 });
    expect(await mark(url(), member, room, 5)).to.include({ read_seq: 6, unread: 0, unread_mentions: 0 });
  });

  it('writes no position for a message that the user sends', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, 'one');
    await sendMessages(url(), member, room, 'two');
    expect(await mark(url(), member, room, 0)).to.include({ read_seq: 0, version: 0, unread: 1 });
  });

  it('counts from the moment of the own rule', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'one', 'two');
    const member = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, 'three');
    expect(await mark(url(), member, room, 0)).to.include({ read_seq: 2, version: 0, unread: 1 });
  });

  it('counts from the first request of the user if access comes from their organisation', async () => {
    const entity = randomUUID();
    const owner = createUser({ level: 100, entity });
    const room = await createRoom(url(), owner);
    await sendMessages(url(), owner, room, 'one', 'two');
    const colleague = createUser({ level: 100, entity });
    expect(await mark(url(), colleague, room, 0)).to.include({ read_seq: 2, unread: 0 });
    // The row is written behind the request.
    let state: Json;
    do {
      await sendMessages(url(), owner, room, 'later');
      state = await mark(url(), colleague, room, 0);
    } while (state.unread === 0);
    expect(state.read_seq).to.be.at.least(2);
  });

  it('keeps the position of a user who leaves and returns', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, 'one', 'two', 'three');
    await mark(url(), member, room, 1);
    await rest(url(), member.token).delete(`/rooms/${room.id}/members/${member.user}`);
    await putRule(url(), owner, room, { userUUID: member.user, permissions: 'r' });
    expect(await mark(url(), member, room, 0)).to.include({ read_seq: 1, version: 1, unread: 2 });
  });

  it('takes mark_read on /chat and answers OK with the read state', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, 'one', 'two');
    const chat = await chatInRoom(url(), member, room.id);
    chat.send({ type: 'mark_read', seq: 1, id: 7 });
    const state = { read_seq: 1, version: 1, unread: 1, unread_mentions: 0 };
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'OK', ...state, id: 7 });
    chat.send({ type: 'mark_read', seq: 'all', id: 8 });
    expect(await chat.next()).to.deep.include({ data: 'ERROR', reason: 'BAD_REQUEST', id: 8 });
    chat.send({ type: 'mark_read', seq: 2, id: 9 });
    expect(await chat.next()).to.include({ data: 'OK', read_seq: 2 });
  });

  it('mutes and hides a room, and shows it again after a message of somebody else', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    const put = async (settings: object) =>
      (await rest(url(), member.token).put(`/rooms/${room.id}/personal`, settings)).body.content;
    await sendMessages(url(), owner, room, 'one');
    expect(await put({ muted: true })).to.deep.equal({ muted: true, hidden: false, version: 1 });
    const socket = await socketClient(url(), member);
    const request = (settings: object) => socket.request('room:personal', { room_id: room.id, ...settings });
    expect(await request({ hidden: true })).to.deep.equal({ ok: true, muted: true, hidden: true, version: 2 });
    await sendMessages(url(), member, room, 'own');
    expect(await put({ muted: true })).to.deep.equal({ muted: true, hidden: true, version: 2 });
    await sendMessages(url(), owner, room, 'two');
    expect(await put({ muted: false })).to.deep.equal({ muted: false, hidden: false, version: 3 });
  });

  it('rejects invalid input and names the field, and the connection goes on', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const room_id: number = room.id;
    const socket = await socketClient(url(), owner);
    const wrong: [request: 'read:mark' | 'room:personal', payload: unknown, field: string | undefined][] = [
      ['read:mark', { room_id }, 'seq'],
      ['read:mark', { room_id, seq: -1 }, 'seq'],
      ['read:mark', { room_id, seq: 1.5 }, 'seq'],
      ['read:mark', { room_id, seq: '1' }, 'seq'],
      ['read:mark', { room_id, seq: 1, force: 'yes' }, 'force'],
      ['read:mark', { seq: 1 }, 'room_id'],
      ['read:mark', 'all', undefined],
      ['room:personal', { room_id }, undefined],
      ['room:personal', { room_id, muted: 1 }, 'muted'],
      ['room:personal', { room_id, hidden: null }, 'hidden'],
    ];
    for (const [name, payload, field] of wrong) {
      const { error } = await socket.request(name, payload);
      expect(error, JSON.stringify(payload)).to.include({ code: 'BAD_REQUEST' });
      expect(error.field).to.equal(field);
    }
    expectRefusal(await rest(url(), owner.token).put(`/rooms/${room_id}/read`, { seq: -1 }), 'BAD_REQUEST', 'seq');
    expectRefusal(await rest(url(), owner.token).put(`/rooms/${room_id}/personal`, {}), 'BAD_REQUEST');
    expect(await socket.request('read:mark', { room_id, seq: 0 })).to.include({ ok: true });
  });

  it('refuses users who may not read the room', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const banned = await createMember(url(), owner, room);
    await putRule(url(), owner, room, { userUUID: banned.user, permissions: 'b' });
    const writer = await createMember(url(), owner, room, 'w');
    const cases = [
      [banned, 'BANNED'],
      [writer, 'FORBIDDEN'],
      [createUser(), 'NOT_FOUND'],
    ] as const;
    for (const [person, code] of cases) {
      expectRefusal(await rest(url(), person.token).put(`/rooms/${room.id}/read`, { seq: 1 }), code);
      expectRefusal(await rest(url(), person.token).put(`/rooms/${room.uuid}/personal`, { muted: true }), code);
    }
    expectRefusal(await rest(url(), owner.token).put('/rooms/999999999/read', { seq: 1 }), 'NOT_FOUND');
    expectRefusal(await rest(url(), owner.token).put(`/rooms/${randomUUID()}/read`, { seq: 1 }), 'NOT_FOUND');
  });

  const requests = {
    marks: (at: string, { token }: TestUser, room: number) =>
      rest(at, token).put(`/rooms/${room}/read`, { seq: 1, force: true }),
    history: (at: string, { token }: TestUser, room: number) => rest(at, token).get(`/rooms/${room}/messages`),
  };
  for (const [name, request] of Object.entries(requests)) {
    it(`refuses ${name} right after a ban, also on a node that has cached the rules`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      const member = await createMember(url(), owner, room);
      const [here, there] = [urls()[0]!, urls().at(-1)!];
      expect((await request(there, member, room.id)).status).to.equal(200);
      await putRule(here, owner, room, { userUUID: member.user, permissions: 'b' });
      expectRefusal(await request(there, member, room.id), 'BANNED');
      await putRule(here, owner, room, { userUUID: member.user, permissions: 'r' });
      expect((await request(there, member, room.id)).status).to.equal(200);
    });
  }

  it('raises the version by one for each change, whichever node stores it', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const members = [await createMember(url(), owner, room), await createMember(url(), owner, room)];
    await sendMessages(url(), owner, room, ...Array.from({ length: 20 }, (_, n) => `message ${n}`));
    const answers = await Promise.all(
      members.flatMap((member) => Array.from({ length: 20 }, (_, n) => mark(url(), member, room, n + 1))),
    );
    for (const [n, member] of members.entries()) {
      const own = answers.slice(n * 20, n * 20 + 20);
      const seqByVersion = new Map(own.map(({ version, read_seq }) => [version, read_seq]));
      for (const { version, read_seq } of own) expect(seqByVersion.get(version)).to.equal(read_seq);
      const last = await mark(url(), member, room, 0);
      expect(last).to.include({ read_seq: 20, unread: 0 });
      expect(Math.max(...seqByVersion.keys())).to.equal(last.version);
    }
  });

  it('tells the other user of a pair how far one has read', async () => {
    const { ana, ben, room } = await createPair(url());
    const [socket, own] = [await joinSocket(url(), ana, room.id), await joinSocket(url(), ben, room.id)];
    await sendMessages(url(), ana, room, 'one', 'two');
    await mark(url(), ben, room, 1);
    const reads = [{ user: ben.user, read_seq: 1, version: 1 }];
    for (const one of [socket, own]) {
      expect(await one.next('read:changed')).to.deep.equal({ room_id: room.id, reads });
    }
  });

  it('moves back only for the own connections of a user', async () => {
    const { ana, ben, room } = await createPair(url());
    const [socket, own] = [await joinSocket(url(), ana, room.id), await joinSocket(url(), ben, room.id)];
    await sendMessages(url(), ana, room, 'one', 'two');
    await mark(url(), ben, room, 2);
    const other = { room_id: room.id, reads: [{ user: ben.user, read_seq: 2, version: 1 }] };
    for (const one of [socket, own]) expect(await one.next('read:changed')).to.deep.equal(other);
    await mark(url(), ben, room, 0, { force: true });
    const back = { room_id: room.id, reads: [{ user: ben.user, read_seq: 0, version: 2 }] };
    expect(await own.next('read:changed')).to.deep.equal(back);
    await sendMessages(url(), ana, room, 'three');
    await mark(url(), ben, room, 3);
    expect((await socket.next('read:changed')).reads).to.deep.equal([{ user: ben.user, read_seq: 3, version: 3 }]);
  });

  it('tells only the own connections if the token has the scope receipts:hidden', async () => {
    const { ana, ben, room } = await createPair(url());
    const hidden = withClaims(ben, { scope: 'rooms:create receipts:hidden' });
    const [socket, own] = [await joinSocket(url(), ana, room.id), await joinSocket(url(), ben, room.id)];
    await sendMessages(url(), ana, room, 'one', 'two');
    await mark(url(), hidden, room, 1);
    expect((await own.next('read:changed')).reads).to.deep.equal([{ user: ben.user, read_seq: 1, version: 1 }]);
    await mark(url(), ana, room, 2);
    expect((await socket.next('read:changed')).reads.map(({ user }: Json) => user)).to.deep.equal([ana.user]);
  });

  it('tells only the own connections in a room without receipts', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    const [socket, own] = [await joinSocket(url(), owner, room.id), await joinSocket(url(), member, room.id)];
    await sendMessages(url(), owner, room, 'one');
    await mark(url(), member, room, 1);
    expect((await own.next('read:changed')).reads).to.deep.equal([{ user: member.user, read_seq: 1, version: 1 }]);
    expect(await listBeforeFence(url(), owner, room, socket)).to.deep.equal([]);
  });

  it('sends read_changed to a client of /chat that has asked for events, also about its own marks', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const pair = await createPair(url());
    await sendMessages(url(), owner, room, 'one');
    await sendMessages(url(), pair.ana, pair.room, 'one');
    const select = async (person: TestUser, room_id: number) => {
      const chat = await authenticatedChat(url(), person);
      chat.send({ type: 'select_room', room_id, events: true });
      expect(await chat.next()).to.include({ data: 'CONNECTED' });
      return chat;
    };
    const [own, other] = [await select(owner, room.id), await select(pair.ana, pair.room.id)];
    await mark(url(), owner, room, 0, { force: true });
    await mark(url(), owner, room, 1, { force: true });
    await mark(url(), pair.ben, pair.room, 1);
    let frame: Json;
    do {
      frame = await own.next();
      expect(frame).to.include({ type: 'read_changed' });
    } while (frame.data.reads[0].read_seq !== 1);
    expect(frame.data.reads[0]).to.include({ user: owner.user });
    const reads = [{ user: pair.ben.user, read_seq: 1, version: 1 }];
    expect(await other.next()).to.deep.equal({ type: 'read_changed', data: { room_id: pair.room.id, reads } });
  });

  it('sends receipts of a room at most twice a second, with the newest position of each user', async () => {
    const { ana, ben, room } = await createPair(url());
    const socket = await joinSocket(url(), ana, room.id);
    await sendMessages(url(), ana, room, ...Array.from({ length: 12 }, (_, n) => `message ${n}`));
    const startedAt = performance.now();
    for (let seq = 1; seq <= 12; seq++) await mark(url(), ben, room, seq);
    let events = 0;
    let last: Json;
    do {
      last = await socket.next('read:changed');
      expect(last.reads).to.have.length(1);
      events += 1;
    } while (last.reads[0].read_seq < 12);
    expect(last.reads[0]).to.deep.equal({ user: ben.user, read_seq: 12, version: 12 });
    expect(events).to.be.at.most(2 + Math.floor((performance.now() - startedAt) / 500));
  });

  it('returns the present positions with room:join and reads: true', async () => {
    const { ana, ben, room } = await createPair(url());
    await sendMessages(url(), ana, room, 'one', 'two', 'three');
    const socket = await socketClient(url(), ana);
    const join = async () => (await socket.request('room:join', { room_id: room.id, reads: true })).reads;
    expect(await join()).to.deep.equal([{ user: ana.user, read_seq: 0, version: 0 }]);
    await mark(url(), ben, room, 2);
    await mark(url(), ben, room, 1, { force: true });
    await mark(url(), ana, room, 3);
    // Others see how far Ben has read, and Ben sees where they are now.
    const anas = { user: ana.user, read_seq: 3, version: 1 };
    expect(await join()).to.have.deep.members([anas, { user: ben.user, read_seq: 2, version: 2 }]);
    const other = await socketClient(url(), ben);
    const { reads } = await other.request('room:join', { room_id: room.id, reads: true });
    expect(reads).to.have.deep.members([anas, { user: ben.user, read_seq: 1, version: 2 }]);
    expect(await other.request('room:join', { room_id: room.id })).not.to.have.property('reads');
  });

  it('names only users who may read now', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { receipts: true });
    const [reader, banned] = [await createMember(url(), owner, room), await createMember(url(), owner, room)];
    const hidden = withClaims(await createMember(url(), owner, room), { scope: 'receipts:hidden' });
    await sendMessages(url(), owner, room, 'one');
    for (const person of [reader, banned, hidden]) await mark(url(), person, room, 1);
    const socket = await socketClient(url(), owner);
    const join = async () => (await socket.request('room:join', { room_id: room.id, reads: true })).reads as Json[];
    const others = async () => (await join()).map(({ user }) => user).filter((user) => user !== owner.user);
    expect(await others()).to.have.members([reader.user, banned.user]);
    await putRule(url(), owner, room, { userUUID: banned.user, permissions: 'b' });
    await socket.next('member:changed');
    expect(await others()).to.deep.equal([reader.user]);
  });

  it('returns only the own position in a room without receipts', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, 'one');
    await mark(url(), member, room, 1);
    const socket = await socketClient(url(), owner);
    const { reads } = await socket.request('room:join', { room_id: room.id, reads: true });
    expect(reads).to.deep.equal([{ user: owner.user, read_seq: 0, version: 0 }]);
  });

  it('sends nothing to a client of /chat that has not asked for events', async () => {
    const { ana, ben, room } = await createPair(url());
    const socket = await joinSocket(url(), ana, room.id);
    const chat = await chatInRoom(url(), ana, room.id);
    await sendMessages(url(), ana, room, 'one');
    await chat.next();
    await mark(url(), ben, room, 1);
    await socket.next('read:changed');
    await sendMessages(url(), ana, room, 'fence');
    expect((await chat.next()).data.content).to.equal('fence');
  });
});

describeOneWiring('limits of read state', ({ startNode }) => {
  it('limits marks, settings and openings of the inbox of a user together', async () => {
    const node = await startNode({ READ_RATE: 1 });
    const { owner, room } = await createRoomWithOwner(node.url);
    const put = (path: string, body: object) => rest(node.url, owner.token).put(`/rooms/${room.id}/${path}`, body);
    const socket = await socketClient(node.url, owner);
    const startedAt = performance.now();
    const rounds = Array.from({ length: 8 }, () =>
      Promise.all([put('read', { seq: 0 }), put('personal', { muted: true }), socket.request('inbox:open', {})]),
    );
    let accepted = 0;
    for (const [mark, setting, opening] of await Promise.all(rounds)) {
      for (const answer of [mark, setting]) {
        if (answer.status === 200) accepted += 1;
        else expectRefusal(answer, 'RATE_LIMITED');
      }
      if (opening.ok) accepted += 1;
      else expect(opening.error).to.include({ code: 'RATE_LIMITED' }).and.to.have.property('retry_after_ms');
    }
    // A burst of two, and one per second.
    expect(accepted).to.be.within(2, 2 + Math.floor((performance.now() - startedAt) / 1_000));
  });

  it('counts marks in the metrics', async () => {
    const node = await startNode();
    const { owner, room } = await createRoomWithOwner(node.url);
    await sendMessages(node.url, owner, room, 'one');
    await mark(node.url, owner, room, 1);
    const metrics = await readMetrics(node.url);
    expect(metrics.get('nano_messaging_position_writes_total{result="committed"}')).to.equal(1);
  });
});
