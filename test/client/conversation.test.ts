import { expect } from 'chai';
import { io } from 'socket.io-client';
import type { ClientRoom, Message } from '../../src/client/client.ts';
import { toMessage } from '../../src/client/message.ts';
import { Room } from '../../src/client/room.ts';
import { type RoomConnection, readLimits } from '../../src/client/room-connection.ts';
import { namespace } from '../../src/core/contract/socketio.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { createClient } from '../helpers/client.ts';
import type { Json } from '../helpers/json.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import type { TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

describeOneWiring('the client in a conversation', ({ url }) => {
  async function setUp(...contents: string[]) {
    const { owner, room } = await createRoomWithOwner(url());
    const writer = await createMember(url(), owner, room);
    const socket = await socketClient(url(), writer);
    await Promise.all(contents.map((content) => socket.request('message:send', { room_id: room.id, content })));
    const change = async (name: Parameters<SocketClient['request']>[0], payload: object) =>
      expect(await socket.request(name, { room_id: room.id, ...payload })).to.include({ ok: true });
    return { owner, writer, room, change };
  }

  /** The messages as the database has them. */
  async function readStored(user: TestUser, room: { id: number }): Promise<Message[]> {
    const socket = await socketClient(url(), user);
    const page = await socket.request('message:history', { room_id: room.id, limit: 500 });
    // `mine` is in the answers to reactions only.
    return page.messages.map(toMessage);
  }

  const withoutMine = (messages: readonly Message[]) =>
    messages.map((message) => ({ ...message, reactions: message.reactions.map(({ mine: _, ...rest }) => rest) }));

  /** Waits until the room has received every change of the log, and compares its messages with the database. */
  async function expectStored(clientRoom: ClientRoom, user: TestUser, room: { id: number }, seqs?: number[]) {
    const socket = await socketClient(url(), user);
    const { rev } = await socket.request('message:history', { room_id: room.id, limit: 1 });
    await waitUntil('every change has arrived', () => clientRoom.rev === rev);
    const stored = (await readStored(user, room)).filter(({ seq, thread }) => !thread && (!seqs || seqs.includes(seq)));
    expect(withoutMine(clientRoom.messages)).to.deep.equal(withoutMine(stored));
  }

  /**
   * A room of the client on a real connection. The test decides when an answer to `message:history` and the events
   * reach the room.
   */
  async function openHeld(user: TestUser, id: number) {
    const raw = io(url() + namespace, { auth: { token: user.token }, forceNew: true });
    closeLater(() => raw.disconnect());
    const answers: (() => void)[] = [];
    const events: (() => void)[] = [];
    const held = { answers: false, events: false };
    const link = {
      request(name: string, payload: object, callback: (error: undefined, ack: Json) => void) {
        raw.emit(name, payload, (ack: Json) => {
          expect(ack, name).to.include({ ok: true });
          if (held.answers && name === 'message:history') answers.push(() => callback(undefined, ack));
          else callback(undefined, ack);
        });
      },
    };
    const claims = { user: user.user, entity: undefined, level: '0' };
    const limits = readLimits({ url: url(), token: () => '', keep: 200, maxOutbox: 100 });
    const connection = { limits, state: 'connected', claims, link } as unknown as RoomConnection;
    const room = new Room(connection, id, { onLeft() {}, onOwnState() {} });
    room.rejoin();
    raw.onAny((name, payload) => {
      if (held.events) events.push(() => room.handle({ name, payload }));
      else room.handle({ name, payload });
    });
    const release = (list: (() => void)[]) => {
      for (const deliver of list.splice(0)) deliver();
    };
    return { room, held, answers, events, release };
  }

  const contents = Array.from({ length: 130 }, (_, n) => `message ${n + 1}`);

  it('equals the database if other users edit, delete and react while the answer with an older page is on its way', async () => {
    const { owner, room, change } = await setUp(...contents);
    const { room: clientRoom, held, answers, release } = await openHeld(owner, room.id);
    await clientRoom.joined();
    held.answers = true;
    const loading = clientRoom.loadOlder();
    await waitUntil('the page is read', () => answers.length === 1);
    await change('message:edit', { seq: 5, content: 'edited' });
    await change('message:delete', { seqs: [6] });
    await change('reaction:add', { seq: 7, emoji: '👍' });
    await change('reaction:add', { seq: 100, emoji: '🎉' });
    await change('message:send', { content: 'a reply', thread: 8 });
    await waitUntil('the changes have arrived', () => clientRoom.rev === 136);
    release(answers);
    const older = await loading;
    expect(older.find(({ seq }) => seq === 5)).to.include({ content: 'edited' });
    await expectStored(clientRoom, owner, room);
    expect(clientRoom.messages.find(({ seq }) => seq === 8)!.replies).to.deep.equal({ count: 1, last_seq: 131 });
  });

  it('equals the database if a page is ahead of the events about its messages', async () => {
    const { owner, room, change } = await setUp(...contents);
    const { room: clientRoom, held, events, release } = await openHeld(owner, room.id);
    await clientRoom.joined();
    held.events = true;
    await change('reaction:add', { seq: 7, emoji: '👍' });
    await change('reaction:remove', { seq: 7, emoji: '👍' });
    await change('message:edit', { seq: 5, content: 'edited' });
    await change('message:edit', { seq: 5, content: 'edited again' });
    await change('message:delete', { seqs: [6] });
    const shown: string[] = [];
    clientRoom.on('changed', ({ seq, content }) => void shown.push(`${seq} ${content}`));
    await clientRoom.loadOlder();
    await waitUntil('the events are held', () => events.length === 5);
    release(events);
    await expectStored(clientRoom, owner, room);
    expect(shown, 'no older state is shown').to.deep.equal([]);
  });

  it('equals the database if messages change while the first page is on its way', async () => {
    const { owner, room, change } = await setUp('one', 'two', 'three', 'four');
    const { room: clientRoom, held, answers, release } = await openHeld(owner, room.id);
    held.answers = true;
    await waitUntil('the page is read', () => answers.length === 1);
    await change('message:edit', { seq: 1, content: 'edited' });
    await change('reaction:add', { seq: 2, emoji: '👍' });
    await change('message:delete', { seqs: [3] });
    await change('message:send', { content: 'five' });
    release(answers);
    await clientRoom.joined();
    await expectStored(clientRoom, owner, room);
  });

  it('applies what it missed while offline, then sends only the newest of its own changes, and equals the database', async () => {
    const { owner, writer, room, change } = await setUp('one', 'two', 'three', 'four');
    await change('reaction:add', { seq: 2, emoji: '👍' });
    const proxy = await nodeProxy(url());
    const client = createClient(proxy.url, writer, { transports: ['websocket'] });
    const clientRoom = client.room(room.id);
    await clientRoom.joined();
    const sent: Json[] = [];
    client.on('frame', ({ direction, name, payload }) => {
      if (direction === 'out' && /^(message:(edit|delete)|reaction:)/.test(name))
        sent.push({ name, ...(payload as Json) });
    });
    const shown: string[] = [];
    clientRoom.on('message', ({ content }) => void shown.push(content));
    proxy.cut();
    await waitUntil('the connection is lost', () => clientRoom.state === 'reconnecting');
    const versionBefore = clientRoom.messages[0]!.version;
    const edits = ['first', 'second', 'third'].map((content) => clientRoom.edit(1, content));
    const added = clientRoom.react(2, '🎉');
    const removed = clientRoom.unreact(2, '🎉');
    const overtaken = clientRoom.edit(3, 'never stored');
    const deleted = clientRoom.delete(3);
    expect(clientRoom.messages.map(({ pending }) => pending)).to.deep.equal(['edit', undefined, 'delete', undefined]);
    await change('message:edit', { seq: 4, content: 'edited by another device' });
    await sendMessages(url(), owner, room, 'five');
    const admin = await socketClient(url(), owner);
    await admin.request('reaction:add', { room_id: room.id, seq: 4, emoji: '👀' });
    proxy.restore();
    const results = await Promise.all(edits.map(({ confirmed }) => confirmed));
    await Promise.all([added.confirmed, removed.confirmed, deleted.confirmed]);
    expect(results.map(({ content }) => content)).to.deep.equal(['third', 'third', 'third']);
    expect(overtaken).to.have.nested.property('error.code', 'DELETED');
    expect(sent).to.deep.equal([
      { name: 'message:edit', room_id: room.id, seq: 1, content: 'third', base: versionBefore },
      { name: 'reaction:remove', room_id: room.id, seq: 2, emoji: '🎉' },
      { name: 'message:delete', room_id: room.id, seqs: [3] },
    ]);
    expect(shown).to.deep.equal(['five']);
    await expectStored(clientRoom, owner, room);
    expect(clientRoom.messages.map(({ pending }) => pending)).to.deep.equal(Array(5).fill(undefined));
    expect(clientRoom.messages[1]!.reactions, 'its own reaction stays its own').to.deep.equal([
      { emoji: '👍', count: 1, mine: true },
    ]);
  });

  it('does not conflict with its own edit whose answer was lost', async () => {
    const { owner, writer, room } = await setUp('one');
    const proxy = await nodeProxy(url());
    const clientRoom = createClient(proxy.url, writer, { transports: ['websocket'] }).room(room.id);
    await clientRoom.joined();
    const witness = createClient(url(), owner).room(room.id);
    await witness.joined();
    proxy.loseNextResponse();
    const first = clientRoom.edit(1, 'first');
    await waitUntil('the first edit is stored', () => witness.messages[0]?.content === 'first');
    const second = clientRoom.edit(1, 'second');
    await Promise.all([first.confirmed, second.confirmed]);
    await expectStored(clientRoom, owner, room);
    expect(clientRoom.messages[0]).to.include({ content: 'second' });
  });

  it('edits, deletes, reacts and replies so that two clients show the same', async () => {
    const { owner, writer, room } = await setUp('one', 'two');
    const client = createClient(url(), writer);
    await waitUntil('the client is connected', () => client.state === 'connected');
    const joins: unknown[] = [];
    client.on('frame', ({ direction, name, payload }) => {
      if (direction === 'out' && name === 'room:join') joins.push(payload);
    });
    const mine = client.room(room.id);
    for (const event of ['presence', 'reads'] as const) mine.on(event, () => {});
    const theirs = createClient(url(), owner).room(room.id);
    await Promise.all([mine.joined(), theirs.joined()]);
    const before = theirs.messages;
    const thread = theirs.thread(1);
    thread.on('change', () => {});
    await mine.edit(1, { content: 'edited', custom: { card: 1 } }).confirmed;
    await mine.edit(1, 'edited at once').confirmed;
    expect(mine.messages[0]).to.include({ content: 'edited at once' }).and.not.have.property('pending');
    await mine.delete([2]).confirmed;
    expect(mine.messages[1]).to.include({ content: '', deleted_by: writer.user });
    await Promise.all([mine.react(1, '👍').confirmed, theirs.react(1, '👍').confirmed]);
    const outgoing = mine.thread(1).send('a reply', { mentions: [owner.user], silent: true });
    expect(await outgoing.confirmed).to.include({ thread: 1, silent: true });
    await mine.send('a quote', { replyTo: 2 }).confirmed;
    await waitUntil('the thread has the reply', () => thread.messages.length === 1 && mine.outbox.length === 0);
    await waitUntil('the quote has arrived', () => theirs.messages.length === 3);
    await Promise.all([expectStored(mine, owner, room), expectStored(theirs, owner, room)]);
    expect(theirs.messages[0]!.reactions).to.deep.equal([{ emoji: '👍', count: 2, mine: true }]);
    expect(theirs.messages[0]!.replies).to.deep.equal({ count: 1, last_seq: 3 });
    expect(thread.messages[0]).to.include({ content: 'a reply', thread: 1 });
    expect(before[0], 'a changed message is another object').to.include({ content: 'one' });
  });

  it('shows who has read, who is typing and who is present', async () => {
    const { owner, writer, room } = await setUp('one', 'two');
    await rest(url(), owner.token).patch(`/rooms/${room.id}`, { receipts: true });
    const client = createClient(url(), writer);
    await waitUntil('the client is connected', () => client.state === 'connected');
    const joins: unknown[] = [];
    client.on('frame', ({ direction, name, payload }) => {
      if (direction === 'out' && name === 'room:join') joins.push(payload);
    });
    const mine = client.room(room.id);
    for (const event of ['presence', 'reads'] as const) mine.on(event, () => {});
    const theirs = createClient(url(), owner).room(room.id);
    await Promise.all([mine.joined(), theirs.joined()]);
    await waitUntil('both are present', () => mine.presence?.count === 2);
    expect(joins, 'one join asks for everything').to.deep.equal([{ room_id: room.id, presence: true, reads: true }]);
    theirs.setTyping();
    await waitUntil('the other types', () => mine.typing.some(({ user }) => user === owner.user));
    theirs.setTyping(false);
    await waitUntil('nobody types', () => mine.typing.length === 0);
    expect(await mine.markRead().confirmed).to.include({ read_seq: 2 });
    await waitUntil('the position has arrived', () =>
      mine.reads.some(({ user, read_seq }) => user === writer.user && read_seq === 2),
    );
    expect(await theirs.markRead(1).confirmed).to.include({ user: owner.user, read_seq: 1 });
  });

  it('joins once more for the positions of the others if a view asks later than the join, or receipts are turned on', async () => {
    const { owner, writer, room } = await setUp('one', 'two');
    const setReceipts = (receipts: boolean) => rest(url(), owner.token).patch(`/rooms/${room.id}`, { receipts });
    await rest(url(), owner.token).put(`/rooms/${room.id}/read`, { seq: 1 });
    await setReceipts(true);
    const client = createClient(url(), writer);
    const joins: unknown[] = [];
    client.on('frame', ({ direction, name }) => direction === 'in' && name === 'room:join' && joins.push(name));
    const mine = client.room(room.id);
    const users = () => mine.snapshot.reads.map(({ user, read_seq }) => `${user} ${read_seq}`).sort();
    await mine.joined();
    expect(users()).to.deep.equal([]);
    await mine.markRead().confirmed;
    const both = [`${owner.user} 1`, `${writer.user} 2`].sort();
    await waitUntil('the positions have arrived', () => users().length === 2);
    mine.on('reads', () => {});
    expect([users(), mine.markRead().state]).to.deep.equal([both, 'sent']);

    await setReceipts(false);
    await waitUntil('the position of the other is hidden', () => users().length === 1);
    await setReceipts(true);
    await waitUntil('the position of the other is back', () => users().length === 2);
    // A fence: no other join was under way.
    await mine.send('three').confirmed;
    expect([users(), joins]).to.deep.equal([both, Array(4).fill('room:join')]);
  });
});
