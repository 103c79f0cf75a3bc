import { expect } from 'chai';
import { formatCursor, parseCursor } from '../../src/core/cursor.ts';
import { chatInRoom } from '../helpers/chat-client.ts';
import { describeEveryWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

interface Event {
  name: string;
  payload: { rev: number; cursor: string; content?: string };
}

const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

describeEveryWiring('coming back with a cursor', ({ url }) => {
  /** Creates a room and a user who is not a member. Returns the cursor of the start of its log. */
  async function away() {
    const owner = createUser({ level: 100 });
    const api = rest(url(), owner.token);
    const room_id: number = (await api.post('/rooms', { name: 'back' })).body.content.room.id;
    const socket = await socketClient(url(), owner);
    const { cursor } = await socket.request('room:join', { room_id });
    await socket.request('room:leave', { room_id });
    const send = (count: number, content = 'x') =>
      Promise.all(upTo(count).map((n) => socket.request('message:send', { room_id, content: `${content}${n}` })));
    const join = (since: unknown) => socket.request('room:join', { room_id, since });
    return { owner, api, room_id, cursor: cursor as string, socket, send, join };
  }

  it('recovers missed changes of every kind in rev order, and then delivers live changes', async () => {
    const { api, room_id, cursor, socket, send, join } = await away();
    await send(2);
    await api.patch(`/rooms/${room_id}`, { name: 'renamed' });
    await api.put(`/rooms/${room_id}/members`, { userUUID: createUser().user, permissions: 'r' });
    await send(1);
    const { recovered, events, rev } = await join(cursor);
    expect({ recovered, rev }).to.deep.equal({ recovered: true, rev: 5 });
    const names = ['message:new', 'message:new', 'room:changed', 'member:changed', 'message:new'];
    expect(events.map(({ name }: Event) => name)).to.deep.equal(names);
    expect(events.map(({ payload }: Event) => payload.rev)).to.deep.equal(upTo(5));
    await send(1, 'live');
    expect(await socket.next()).to.include({ rev: 6, content: 'live1' });
  });

  it('recovers missed messages on /chat after CONNECTED, in the format of live messages', async () => {
    const { owner, api, room_id, cursor, send } = await away();
    await send(2);
    await api.patch(`/rooms/${room_id}`, { name: 'renamed' });
    await send(1);
    const chat = await chatInRoom(url(), owner, room_id, cursor);
    expect(chat.connected).to.include({ recovered: true, rev: 4 });
    await send(1, 'live');
    const frames = [];
    for (let n = 0; n < 4; n++) frames.push(await chat.next());
    expect(frames.map(({ rev }) => rev)).to.deep.equal([1, 2, 4, 5]);
    for (const frame of frames) expect(frame).to.have.all.keys('type', 'rev', 'cursor', 'data');
  });

  /** Forges the cursor of the start of the log. It is valid, because its time is the creation time of the room. */
  const beginning = (room: { id: number; createdAt: string }) =>
    formatCursor({ room_id: room.id, rev: 0, at: Date.parse(room.createdAt) });

  it('recovers no changes of rules from before a user joined, even with a forged cursor', async () => {
    const { api, room_id } = await away();
    const [banned, guest] = [createUser(), createUser()];
    await api.put(`/rooms/${room_id}/members`, { userUUID: banned.user, permissions: 'b' });
    await api.put(`/rooms/${room_id}/members`, { userUUID: guest.user, permissions: 'r' });
    const socket = await socketClient(url(), guest);
    const { room, cursor } = await socket.request('room:join', { room_id });
    await socket.request('room:leave', { room_id });
    const madeUp = await socket.request('room:join', { room_id, since: beginning(room) });
    expect(madeUp).to.deep.include({ ok: true, recovered: false, events: [] });
    await socket.request('room:leave', { room_id });
    await api.patch(`/rooms/${room_id}`, { name: 'renamed' });
    expect(await socket.request('room:join', { room_id, since: cursor })).to.include({ recovered: true });
  });

  it('recovers no changes of rules from the time of a ban', async () => {
    const { api, room_id } = await away();
    const guest = createUser();
    const put = (permissions: string) => api.put(`/rooms/${room_id}/members`, { userUUID: guest.user, permissions });
    await put('r');
    const socket = await socketClient(url(), guest);
    const { cursor } = await socket.request('room:join', { room_id });
    await socket.request('room:leave', { room_id });
    await put('b');
    await api.put(`/rooms/${room_id}/members`, { userUUID: createUser().user, permissions: 'r' });
    await put('r');
    expect(await socket.request('room:join', { room_id, since: cursor })).to.include({ ok: true, recovered: false });
  });

  it('recovers all changes for owner administrators, even if no rule names them', async () => {
    const { owner, api, room_id } = await away();
    await api.delete(`/rooms/${room_id}/members/${owner.entity}`);
    const director = createUser({ entity: owner.entity, level: 100 });
    const socket = await socketClient(url(), director);
    const { room } = await socket.request('room:join', { room_id });
    await socket.request('room:leave', { room_id });
    const { recovered, events } = await socket.request('room:join', { room_id, since: beginning(room) });
    expect({ recovered, events: events.length }).to.deep.equal({ recovered: true, events: 1 });
  });

  it('recovers from any cursor: of an event, an acknowledgement or a page', async () => {
    const { api, room_id, cursor, socket, send, join } = await away();
    await send(4);
    const { events } = await join(cursor);
    const { body } = await api.get(`/rooms/${room_id}/messages`);
    const page = await socket.request('message:history', { room_id });
    const sent = await socket.request('message:send', { room_id, content: 'last' });
    const missed = async (since: string) => {
      const ack = await join(since);
      expect(ack.recovered).to.equal(true);
      return ack.events.map(({ payload }: Event) => payload.rev);
    };
    expect(await missed(events[1].payload.cursor)).to.deep.equal([3, 4, 5]);
    expect(await missed(body.meta.cursor)).to.deep.equal([5]);
    expect(await missed(page.cursor)).to.deep.equal([5]);
    expect(await missed(sent.cursor)).to.deep.equal([]);
  });

  it('recovers nothing without a cursor', async () => {
    const { send, join } = await away();
    await send(2);
    for (const since of [undefined, null]) {
      expect(await join(since)).to.deep.include({ recovered: false, events: [], rev: 2 });
    }
  });

  it('recovers 500 missed changes, and none of 501', async () => {
    const { owner, room_id, cursor, send, join } = await away();
    await send(500);
    const { recovered, events } = await join(cursor);
    expect(recovered).to.equal(true);
    expect(events.map(({ payload }: Event) => payload.rev)).to.deep.equal(upTo(500));
    await send(1);
    expect(await join(cursor)).to.deep.include({ recovered: false, events: [], rev: 501 });
    const chat = await chatInRoom(url(), owner, room_id, cursor);
    expect(chat.connected).to.include({ recovered: false, rev: 501 });
    chat.send({ type: 'message', content: 'fence' });
    expect((await chat.next()).data).to.include({ content: 'fence' });
  });

  it('recovers no more than 256 KiB of missed changes', async () => {
    const { cursor, send, join } = await away();
    await send(40, 'x'.repeat(8_000));
    expect(await join(cursor)).to.deep.include({ recovered: false, events: [], rev: 40 });
  });

  it('recovers nothing with a cursor of another room', async () => {
    const [one, other] = [await away(), await away()];
    for (const { send } of [one, other]) await send(3);
    expect(await one.join(other.cursor)).to.deep.include({ recovered: false, events: [], rev: 3 });
  });

  it('recovers nothing with a cursor from the future, or of another epoch', async () => {
    const { cursor, send, join } = await away();
    await send(3);
    const position = parseCursor(cursor)!;
    const { events } = await join(cursor);
    const last = parseCursor(events[2].payload.cursor)!;
    const others = [
      { ...position, rev: 4 },
      { ...last, rev: 4 },
      { ...last, at: last.at - 1 },
      { ...position, at: 1 },
    ];
    for (const other of others) {
      expect(await join(formatCursor(other))).to.deep.include({ recovered: false, events: [], rev: 3 });
    }
  });

  it('recovers nothing with an invalid or modified cursor, and still joins the room', async () => {
    const { cursor, send, join } = await away();
    await send(3);
    const rubbish = [
      '',
      'x',
      '...',
      '💥',
      `${cursor}x`,
      `x${cursor}`,
      cursor.slice(0, -1),
      cursor.split('').reverse().join(''),
    ];
    for (const since of rubbish) {
      const ack = await join(since);
      expect(ack, since).to.deep.include({ ok: true, recovered: false, events: [], rev: 3 });
    }
  });

  it('rejects a cursor that is not a string', async () => {
    const { join } = await away();
    for (const since of [7, {}, ['x'], true, 'x'.repeat(10_000)]) {
      expect(await join(since)).to.nested.include({ ok: false, 'error.code': 'BAD_REQUEST', 'error.field': 'since' });
    }
  });
});
