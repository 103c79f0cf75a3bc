import { expect } from 'chai';
import { authenticatedChat, type ChatClient, chatInRoom, type Frame } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

/** The frame of a Socket.IO event: `rev` and `cursor` stand beside the rest of the payload. */
function toFrame({ name, payload: { rev, cursor, ...data } }: Json): Json {
  return { type: name === 'message:new' ? 'message' : name.replace(':', '_'), rev, cursor, data };
}

const take = async (chat: ChatClient, count: number): Promise<Frame[]> => {
  const frames: Frame[] = [];
  while (frames.length < count) frames.push(await chat.next());
  return frames;
};

const contentsOf = (frames: Frame[]) => frames.map(({ data }) => data.content);

describeBothDatabases('/chat events', ({ url }) => {
  async function setUp(...contents: string[]) {
    const { owner, room } = await createRoomWithOwner(url());
    const room_id: number = room.id;
    const writer = await createMember(url(), owner, room);
    await sendMessages(url(), writer, room, ...contents);
    const api = rest(url(), writer.token);
    const path = `/rooms/${room_id}/messages`;
    return { owner, writer, room, room_id, api, path, admin: rest(url(), owner.token) };
  }

  async function select(person: TestUser, room_id: number, options: object) {
    const chat = await authenticatedChat(url(), person);
    chat.send({ type: 'select_room', room_id, ...options });
    return { chat, connected: await chat.next() };
  }

  async function join(person: TestUser, room_id: number, since?: string): Promise<SocketClient & { joined: Json }> {
    const socket = await socketClient(url(), person);
    const joined = await socket.request('room:join', { room_id, since });
    expect(joined).to.include({ ok: true });
    return { ...socket, joined };
  }

  /** Makes one change of every kind. The number of log entries is 8. */
  async function changeEverything({ owner, room, room_id, api, path, admin }: Awaited<ReturnType<typeof setUp>>) {
    await api.patch(`${path}/1`, { content: 'edited' });
    await api.put(`${path}/1/reactions/${encodeURIComponent('👍')}`);
    await api.delete(`${path}/2`);
    await api.post(path, { content: 'a root' });
    await api.post(path, { content: 'a reply', thread: 3 });
    await api.patch(`${path}/4`, { content: 'a better reply' });
    await putRule(url(), owner, room, { userUUID: createUser().user, permissions: 'r' });
    await admin.patch(`/rooms/${room_id}`, { name: 'renamed' });
  }

  it('sends every change of a room as the frame of its Socket.IO event', async () => {
    const room = await setUp('one', 'two');
    const socket = await join(room.owner, room.room_id);
    const { chat, connected } = await select(room.owner, room.room_id, { events: true, id: 1 });
    await changeEverything(room);
    const frames = await take(chat, 8);
    const events: Json[] = [];
    while (events.length < 8) events.push(await socket.nextOfAny());
    expect(frames).to.deep.equal(events.map(toFrame));
    expect(frames.map(({ rev }) => rev)).to.deep.equal(frames.map((_, n) => connected.rev + 1 + n));
    expect(frames.map(({ type }) => type)).to.deep.equal([
      ...['message_changed', 'reaction_changed', 'message_changed', 'message', 'message', 'message_changed'],
      ...['member_changed', 'room_changed'],
    ]);
    expect(frames[4]!.data.root).to.deep.equal({ seq: 3, replies: { count: 1, last_seq: 4 } });
  });

  it('replays every missed change with `since`, and every frame moves the position', async () => {
    const room = await setUp('one', 'two');
    const { cursor, rev } = (await join(room.owner, room.room_id)).joined;
    await changeEverything(room);
    const { joined } = await join(room.owner, room.room_id, cursor);
    const { chat, connected } = await select(room.owner, room.room_id, { events: true, since: cursor });
    expect(connected).to.include({ recovered: true, rev: rev + 8 });
    const frames = await take(chat, 8);
    expect(frames).to.deep.equal(joined.events.map(toFrame));
    expect(frames.map((frame) => frame.rev)).to.deep.equal(frames.map((_, n) => rev + 1 + n));
    expect(frames.map(({ type }) => type)).to.include('change_skipped');
    const last = await select(room.owner, room.room_id, { events: true, since: frames[6]!.cursor });
    expect(last.connected).to.include({ recovered: true });
    expect(await last.chat.next()).to.deep.equal(frames[7]);
  });

  it('sends clients without events no new frame, live or after `since`, and no deleted message', async () => {
    const room = await setUp('one', 'two');
    const { cursor } = (await join(room.owner, room.room_id)).joined;
    const live = await chatInRoom(url(), room.owner, room.room_id);
    await changeEverything(room);
    const [, , , , deleted] = await sendMessages(url(), room.writer, room.room, 'x', 'x', 'x', 'x', 'gone');
    await room.api.delete(`${room.path}/${deleted.seq}`);
    await sendMessages(url(), room.writer, room.room, 'fence');
    expect(contentsOf(await take(live, 8))).to.deep.equal(['a root', 'a reply', 'x', 'x', 'x', 'x', 'gone', 'fence']);
    const back = await chatInRoom(url(), room.owner, room.room_id, cursor);
    expect(back.connected).to.include({ recovered: true });
    await sendMessages(url(), room.writer, room.room, 'live');
    const frames = await take(back, 8);
    expect(contentsOf(frames)).to.deep.equal(['a root', 'a better reply', 'x', 'x', 'x', 'x', 'fence', 'live']);
    for (const frame of frames) expect(frame).to.have.all.keys('type', 'rev', 'cursor', 'data');
    expect(contentsOf(await take(live, 1))).to.deep.equal(['live']);
    for (const { unread } of [live, back]) expect(unread).to.deep.equal([]);
  });

  it('gives a replay from a cursor in the middle without the revisions of older messages', async () => {
    const { owner, room_id, room, writer, api, path } = await setUp('old');
    const { cursor } = (await join(owner, room_id)).joined;
    for (const content of ['a', 'b']) await api.patch(`${path}/1`, { content });
    await sendMessages(url(), writer, room, 'new');
    const chat = await chatInRoom(url(), owner, room_id, cursor);
    expect(chat.connected).to.include({ recovered: true });
    expect(await chat.next()).to.nested.include({ type: 'message', 'data.content': 'new' });
  });

  it('leaves tombstones out of history, unless the room was selected with events', async () => {
    const { owner, room_id, api, path } = await setUp('one', 'two', 'three');
    await api.delete(`${path}/2`);
    for (const [events, seqs] of [[false, [1, 3]] as const, [true, [1, 2, 3]] as const]) {
      const { chat } = await select(owner, room_id, { events });
      chat.send({ type: 'get_past_messages', id: 'page' });
      const frames = await take(chat, seqs.length + 1);
      expect(frames.map(({ data }) => data.seq ?? data)).to.deep.equal([...seqs, 'HISTORY']);
      expect(frames.at(-1)).to.include({ count: seqs.length, has_more: false });
    }
  });

  it('switches events on and off without a gap or a duplicate while others write', async () => {
    const { owner, room_id, writer, path } = await setUp('one');
    const chat = await chatInRoom(url(), owner, room_id);
    const socket = await socketClient(url(), writer);
    let stopped = false;
    let sent = 0;
    const busy = (async () => {
      while (!stopped) {
        sent += 1;
        await Promise.all([
          socket.request('message:send', { room_id, content: `${sent}` }),
          socket.request('message:edit', { room_id, seq: 1, content: `edit ${sent}` }),
        ]);
      }
    })();
    const expectSwitch = async (events: boolean, id: number) => {
      const before: Frame[] = [];
      chat.send({ type: 'select_room', room_id, events, id });
      for (let frame = await chat.next(); ; frame = await chat.next()) {
        if (frame.id === id) return { before, connected: frame };
        before.push(frame);
      }
    };
    const seqs: number[] = [];
    const note = (frames: Frame[]) =>
      seqs.push(...frames.filter(({ type }) => type === 'message').map(({ data }) => data.seq));
    for (let id = 1; id <= 10; id++) {
      const on = await expectSwitch(true, id);
      note(on.before);
      expect(new Set(on.before.map(({ type }) => type))).to.not.include('message_changed');
      const first = await take(chat, 3);
      const off = await expectSwitch(false, -id);
      const frames = [...first, ...off.before];
      note(frames);
      expect(frames.map(({ rev }) => rev)).to.deep.equal(frames.map((_, n) => on.connected.rev + 1 + n));
      expect(off.connected.rev).to.equal(frames.at(-1)!.rev);
    }
    stopped = true;
    await busy;
    const { body } = await rest(url(), owner.token).post(path, { content: 'fence' });
    while (seqs.at(-1) !== body.content.seq) note([await chat.next()]);
    expect(seqs).to.deep.equal(seqs.map((_, n) => n + 2));
    expect(seqs).to.have.lengthOf(sent + 1);
  });

  it('limits a replay by what the connection is told', async () => {
    const { owner, room_id, writer } = await setUp();
    const socket = await socketClient(url(), writer);
    const send = (count: number) =>
      Promise.all(
        Array.from({ length: count }, (_, n) => socket.request('message:send', { room_id, content: `${n}` })),
      );
    await send(260);
    const { cursor, rev } = (await join(owner, room_id)).joined;
    const seqs = Array.from({ length: 260 }, (_, n) => n + 1);
    for (const from of [0, 100, 200]) {
      await socket.request('message:delete', { room_id, seqs: seqs.slice(from, from + 100) });
    }
    await send(260);
    const withEvents = await select(owner, room_id, { events: true, since: cursor });
    expect(withEvents.connected).to.include({ recovered: false, rev: rev + 520 });
    const without = await select(owner, room_id, { since: cursor });
    expect(without.connected).to.include({ recovered: true, rev: rev + 520 });
    const frames = await take(without.chat, 260);
    expect(frames.map(({ data }) => data.seq)).to.deep.equal(seqs.map((seq) => seq + 260));
  });

  it('counts the bytes of what the connection is told', async () => {
    const { owner, room_id, room, writer, api, path } = await setUp(...Array.from({ length: 20 }, () => 'short'));
    const { cursor } = (await join(owner, room_id)).joined;
    const long = 'x'.repeat(8_000);
    for (let seq = 1; seq <= 20; seq++) await api.patch(`${path}/${seq}`, { content: long });
    await sendMessages(url(), writer, room, ...Array.from({ length: 20 }, () => long));
    expect((await select(owner, room_id, { events: true, since: cursor })).connected).to.include({ recovered: false });
    expect((await select(owner, room_id, { since: cursor })).connected).to.include({ recovered: true });
  });

  it('sends who is typing to clients with events only', async () => {
    const { owner, room_id, writer, room } = await setUp();
    const { chat } = await select(owner, room_id, { events: true });
    const plain = await chatInRoom(url(), owner, room_id);
    const typist = await chatInRoom(url(), writer, room_id);
    typist.send({ type: 'typing', typing: true, id: 1 });
    const users = [{ user: writer.user }];
    const event = await chat.skipTo(({ type }) => type === 'typing_changed');
    expect(event).to.deep.equal({ type: 'typing_changed', data: { room_id, users, count: 1 } });
    await sendMessages(url(), owner, room, 'fence');
    expect(await plain.next()).to.nested.include({ 'data.content': 'fence' });
  });

  it('sends how far users have read to clients with events only', async () => {
    const writer = createUser();
    const { owner, room } = await createRoomWithOwner(url(), { type: 'user2user', with: writer.user });
    const room_id: number = room.id;
    await sendMessages(url(), owner, room, 'one');
    const { chat } = await select(owner, room_id, { events: true });
    const plain = await chatInRoom(url(), owner, room_id);
    const reader = await select(writer, room_id, { events: true });
    reader.chat.send({ type: 'mark_read', seq: 1, id: 1 });
    const { read_seq, version } = await reader.chat.skipTo(({ id }) => id === 1);
    const event = await chat.skipTo(({ type }) => type === 'read_changed');
    const reads = [{ user: writer.user, read_seq, version }];
    expect(event).to.deep.equal({ type: 'read_changed', data: { room_id, reads } });
    await sendMessages(url(), owner, room, 'fence');
    expect(await plain.next()).to.nested.include({ 'data.content': 'fence' });
  });

  it('reads single messages, deleted ones included, also without events', async () => {
    const { owner, room_id, api, path } = await setUp('one', 'two', 'three');
    await api.delete(`${path}/2`);
    const socket = await socketClient(url(), owner);
    const { ok: _, ...ack } = await socket.request('message:read', { room_id, seqs: [1, 2, 9] });
    const chat = await chatInRoom(url(), owner, room_id);
    chat.send({ type: 'read_messages', seqs: [1, 2, 9], id: 1 });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'OK', ...ack, id: 1 });
    expect(ack.messages.map(({ content }: Json) => content)).to.deep.equal(['one', '']);
    chat.send({ type: 'read_messages', seqs: Array.from({ length: 101 }, (_, n) => n + 1), id: 2 });
    expect(await chat.next()).to.include({ data: 'ERROR', reason: 'BAD_REQUEST', id: 2 });
  });

  it('removes a banned client with events, which learns nothing after the ban', async () => {
    const { owner, room_id, room, api, path, admin } = await setUp('one');
    const guest = await createMember(url(), owner, room);
    const { chat } = await select(guest, room_id, { events: true });
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'b' });
    await api.patch(`${path}/1`, { content: 'secret' });
    await admin.patch(`/rooms/${room_id}`, { name: 'secret' });
    expect(await chat.next()).to.deep.equal({ type: 'status', data: 'NOTAUTHORIZED', reason: 'BANNED' });
    chat.send({ type: 'nothing', id: 'fence' });
    expect(await chat.next()).to.include({ data: 'COMMAND?', id: 'fence' });
  });

  it('refuses an edit from an outdated version with the present message', async () => {
    const { writer, room_id } = await setUp('one');
    const chat = await chatInRoom(url(), writer, room_id);
    chat.send({ type: 'edit', seq: 1, content: 'two', id: 1 });
    const { message } = await chat.next();
    chat.send({ type: 'edit', seq: 1, content: 'three', base: message.version - 1, id: 2 });
    const refusal = await chat.next();
    expect(refusal).to.deep.include({ data: 'ERROR', reason: 'CONFLICT', current: message, id: 2 });
  });

  it('refuses `events` that is not a boolean, and the connection goes on', async () => {
    const { owner, room_id } = await setUp();
    const { chat, connected } = await select(owner, room_id, { events: 'yes', id: 1 });
    expect(connected).to.include({ data: 'ERROR', reason: 'BAD_REQUEST', detail: 'events: must be true or false' });
    chat.send({ type: 'select_room', room_id, events: null, id: 2 });
    expect(await chat.next()).to.include({ data: 'CONNECTED', id: 2 });
  });
});
