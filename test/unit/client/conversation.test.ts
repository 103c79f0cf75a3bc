import { mock } from 'node:test';
import { expect } from 'chai';
import { ChatClientError } from '../../../src/client/errors.ts';
import type { ChangeEvent } from '../../../src/client/wire.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { useFakeClock } from '../../helpers/fake-clock.ts';
import { createFakeRoom, cursorOf, joined, me, message, newMessage, other } from '../../helpers/fake-room.ts';
import type { Json } from '../../helpers/json.ts';

const position = (rev: number) => ({ rev, cursor: cursorOf(rev) });
const refused = new ChatClientError('FORBIDDEN', 'no');
const unreachable = new ChatClientError('UNREACHABLE', 'gone');
const thumbs = (count: number, mine = false) => ({ emoji: '👍', count, ...(mine && { mine: true as const }) });

const edited = (rev: number, seq: number, content: string, more: object = {}): ChangeEvent =>
  ({ name: 'message:changed', payload: { ...message(seq, content), version: rev, ...position(rev), ...more } }) as Json;

const deleted = (rev: number, seq: number): ChangeEvent =>
  edited(rev, seq, '', { deletedAt: '2026-01-02T00:00:00.000Z', deleted_by: me });

const reacted = (rev: number, seq: number, reactions: object[], changes: object[] = []): ChangeEvent =>
  ({ name: 'reaction:changed', payload: { room_id: 7, seq, reactions, changes, ...position(rev) } }) as Json;

/** A joined room with three messages. */
async function openRoom() {
  const fake = await createFakeRoom().join();
  for (const seq of [1, 2, 3]) fake.room.handle(newMessage(seq, seq));
  const changed: string[] = [];
  fake.room.on('changed', ({ seq, content }) => void changed.push(`${seq} ${content}`));
  fake.emitted.length = 0;
  const reconnect = async (ack: object) => {
    fake.room.onDisconnect();
    for (const { answer } of fake.requests.splice(0)) answer(unreachable);
    fake.room.onConnect();
    (await fake.next('room:join')).answer(undefined, joined(3, { recovered: true, ...ack }));
  };
  return { ...fake, changed, reconnect, at: (seq: number) => fake.room.messages.find((one) => one.seq === seq)! };
}

describe('changed messages of the client', () => {
  it('replaces a changed message at its index, and emits `changed` but not `message`', async () => {
    const { room, changed, emitted, contents } = await openRoom();
    const before = room.messages;
    room.handle(edited(4, 2, 'edited'));
    expect(contents()).to.deep.equal(['1', 'edited', '3']);
    expect([before[1]!.content, before[0] === room.messages[0]]).to.deep.equal(['2', true]);
    expect([changed, emitted]).to.deep.equal([['2 edited'], []]);
  });

  it('keeps the greater version of a message, whatever the order of arrival', async () => {
    const { room, next, contents, changed } = await openRoom();
    const operation = room.edit(1, 'newest');
    const { answer } = await next('message:edit');
    answer(undefined, { message: { ...message(1, 'newest'), version: 5 }, changed: true, ...position(5) });
    expect(contents()[0]).to.equal('newest');
    room.handle(edited(4, 1, 'older'));
    room.handle(edited(5, 1, 'newest'));
    expect(contents()[0]).to.equal('newest');
    expect(changed).to.deep.equal(['1 1', '1 newest']);
    expect(await operation.confirmed).to.include({ content: 'newest', version: 5 });
  });

  it('never shows a message again whose deletion is acknowledged', async () => {
    const { room, next, at } = await openRoom();
    room.delete(1);
    (await next('message:delete')).answer(undefined, { deleted: [1], ...position(5) });
    expect(at(1)).to.include({ content: '', deleted_by: me, version: 1 });
    room.handle(edited(4, 1, 'older'));
    expect(at(1).content).to.equal('');
    room.handle(deleted(5, 1));
    expect(at(1)).to.include({ content: '', version: 5, deletedAt: '2026-01-02T00:00:00.000Z' });
  });

  it('keeps reactions and replies with an announcement, replaces them with a replay, and drops them with a deletion', async () => {
    const { room, at } = await openRoom();
    room.handle(reacted(4, 1, [thumbs(1)]));
    room.handle(newMessage(5, 4));
    room.handle(edited(6, 1, 'edited'));
    expect(at(1)).to.deep.include({ content: 'edited', reactions: [thumbs(1)] });
    room.handle(
      edited(7, 1, 'replayed', { version: 6, reactions: [thumbs(3, true)], replies: { count: 2, last_seq: 9 } }),
    );
    expect(at(1)).to.deep.include({
      content: 'edited',
      reactions: [thumbs(3, true)],
      replies: { count: 2, last_seq: 9 },
    });
    room.handle(deleted(8, 1));
    expect(at(1)).to.deep.include({ reactions: [], replies: { count: 2, last_seq: 9 } });
  });

  it('changes `mine` only for its own user', async () => {
    const { room, at } = await openRoom();
    const change = (user: string, added = true) => ({ user, emoji: '👍', added });
    room.handle(reacted(4, 1, [thumbs(1)], [change(other)]));
    expect(at(1).reactions).to.deep.equal([thumbs(1)]);
    room.handle(reacted(5, 1, [thumbs(2)], [change(me)]));
    expect(at(1).reactions).to.deep.equal([thumbs(2, true)]);
    room.handle(reacted(6, 1, [thumbs(1)], [change(other, false)]));
    expect(at(1).reactions).to.deep.equal([thumbs(1, true)]);
  });

  it('takes `mine` from `changes` of a replay that is the same for all clients', async () => {
    const { room, at } = await openRoom();
    const changes = [{ user: me, emoji: '👍', added: true }];
    room.handle(edited(4, 1, 'edited', { reactions: [thumbs(2)], changes }));
    expect(at(1).reactions).to.deep.equal([thumbs(2, true)]);
    room.handle(edited(5, 1, 'edited again', { reactions: [thumbs(1)], changes: [{ ...changes[0], user: other }] }));
    expect(at(1).reactions).to.deep.equal([thumbs(1, true)]);
    const { payload } = newMessage(6, 4);
    room.handle({ name: 'message:new', payload: { ...payload, reactions: [thumbs(2)], changes } } as Json);
    expect(at(4).reactions).to.deep.equal([thumbs(2, true)]);
  });

  it('moves its position with skipped and unknown changes', async () => {
    const { room, requests, contents } = await openRoom();
    room.handle({ name: 'change:skipped', payload: { room_id: 7, ...position(4) } });
    room.handle({ name: 'poll:closed', payload: { room_id: 7, ...position(5) } } as Json);
    room.handle(newMessage(6, 4));
    expect([contents(), requests]).to.deep.equal([['1', '2', '3', '4'], []]);
  });
});

describe('what the user of the client changes', () => {
  it('shows a reaction at once, and removes it again if the service refuses it', async () => {
    const { room, next, at, changed } = await openRoom();
    const operation = room.react(1, '👍');
    expect(at(1).reactions).to.deep.equal([thumbs(1, true)]);
    room.handle(reacted(4, 1, [thumbs(1)], [{ user: other, emoji: '👍', added: true }]));
    expect(at(1).reactions).to.deep.equal([thumbs(2, true)]);
    (await next('reaction:add')).answer(refused);
    expect(at(1).reactions).to.deep.equal([thumbs(1)]);
    expect(changed).to.have.length(3);
    expect(operation).to.include({ state: 'failed', error: refused });
    operation.retry();
    const ack = { reactions: [thumbs(2, true)], changed: true, ...position(5) };
    (await next('reaction:add')).answer(undefined, ack);
    expect(await operation.confirmed).to.deep.equal([thumbs(2, true)]);
    expect(at(1).reactions).to.deep.equal([thumbs(2, true)]);
  });

  it('shows its reaction once if the event arrives before the answer, and after it', async () => {
    const { room, next, at, changed } = await openRoom();
    const own = [{ user: me, emoji: '👍', added: true }];
    room.react(1, '👍');
    room.handle(reacted(4, 1, [thumbs(1)], own));
    (await next('reaction:add')).answer(undefined, { reactions: [thumbs(1, true)], changed: true, ...position(4) });
    room.react(2, '👍');
    (await next('reaction:add')).answer(undefined, { reactions: [thumbs(1, true)], changed: true, ...position(5) });
    room.handle(reacted(5, 2, [thumbs(1)], own));
    expect([at(1).reactions, at(2).reactions]).to.deep.equal([[thumbs(1, true)], [thumbs(1, true)]]);
    expect(changed).to.deep.equal(['1 1', '2 2']);
  });

  it('shows an edit when it is acknowledged, and `pending` until then', async () => {
    const { room, next, at } = await openRoom();
    const operation = room.edit(1, { content: 'edited', custom: null, mentionRoom: true });
    expect(at(1)).to.include({ content: '1', pending: 'edit' });
    const { payload, answer } = await next('message:edit');
    expect(payload).to.deep.equal({ room_id: 7, seq: 1, content: 'edited', custom: null, mention_room: true, base: 1 });
    answer(new ChatClientError('CONFLICT', 'changed', { current: { ...message(1, 'theirs'), version: 4 } as Json }));
    expect(at(1)).to.include({ content: '1' }).and.not.have.property('pending');
    expect(operation.error?.current).to.include({ content: 'theirs' });
    room.handle(edited(4, 1, 'theirs'));
    operation.retry();
    expect((await next('message:edit')).payload, 'a retry replaces the present content').to.include({ base: 4 });
  });

  it('sends later edits of a message one after the other, each from the version of the one before', async () => {
    const { room, next, requests } = await openRoom();
    const operations = ['first', 'second', 'third'].map((content) => room.edit(1, content));
    const first = await next('message:edit');
    expect(requests).to.deep.equal([]);
    first.answer(undefined, { message: { ...message(1, 'first'), version: 4 }, changed: true, ...position(4) });
    const last = await next('message:edit');
    expect(last.payload).to.include({ content: 'third', base: 4 });
    last.answer(undefined, { message: { ...message(1, 'third'), version: 5 }, changed: true, ...position(5) });
    const contents = await Promise.all(operations.map(({ confirmed }) => confirmed));
    expect(contents.map(({ content }) => content)).to.deep.equal(['first', 'third', 'third']);
  });

  it('does not repeat a reaction that the log shows to be stored, because it may have been removed since then', async () => {
    const { room, next, requests, reconnect, at } = await openRoom();
    const operation = room.react(1, '👍');
    await next('reaction:add');
    const own = (added: boolean) => ({ user: me, emoji: '👍', added });
    const change = edited(4, 1, '1', { version: 1, reactions: [], changes: [own(true), own(false)] });
    await reconnect({ rev: 4, cursor: cursorOf(4), events: [change] });
    expect(operation.state).to.equal('sent');
    expect([at(1).reactions, requests]).to.deep.equal([[], []]);
  });

  it('repeats a change only after it has applied what it missed', async () => {
    const { room, next, requests } = await openRoom();
    room.react(1, '👍');
    const lost = await next('reaction:add');
    room.onDisconnect();
    lost.answer(unreachable);
    room.onConnect();
    const join = await next('room:join');
    room.react(2, '👍');
    expect(requests).to.deep.equal([]);
    join.answer(undefined, joined(4, { recovered: true, events: [edited(4, 1, 'edited')] }));
    expect((await next('reaction:add')).payload).to.deep.equal(lost.payload);
  });

  it('fails all pending changes with CLOSED when the client is closed', async () => {
    const { room, next, at } = await openRoom();
    const operation = room.edit(1, 'edited');
    await next('message:edit');
    room.close();
    expect(operation.error?.code).to.equal('CLOSED');
    expect(at(1)).to.not.have.property('pending');
  });
});

describe('threads of the client', () => {
  const reply = (rev: number, seq: number, count = 1): ChangeEvent => {
    const { name, payload } = newMessage(rev, seq);
    return { name, payload: { ...payload, thread: 2, root: { seq: 2, replies: { count, last_seq: seq } } } } as Json;
  };
  const replies = (...seqs: number[]) => seqs.map((seq) => ({ ...message(seq), thread: 2 }));

  it('keeps replies out of `messages`, and counts them in the root', async () => {
    const { room, contents, emitted, at } = await openRoom();
    room.handle(reply(4, 4));
    expect(contents()).to.deep.equal(['1', '2', '3']);
    expect(emitted).to.deep.equal([]);
    expect(at(2).replies).to.deep.equal({ count: 1, last_seq: 4 });
  });

  it('loads the newest replies, and adds new ones once', async () => {
    const { room, next } = await openRoom();
    const thread = room.thread(2);
    const received: number[] = [];
    thread.on('message', ({ seq }) => void received.push(seq));
    const root = await next('message:read');
    const page = await next('message:history');
    expect(page.payload).to.deep.equal({ room_id: 7, thread: 2, limit: 100 });
    room.handle(reply(4, 6));
    root.answer(undefined, { messages: [message(2)], ...position(4) });
    page.answer(undefined, { messages: replies(4, 5, 6), has_more: true, next: { before: 4 }, ...position(4) });
    room.handle(reply(5, 7));
    room.handle(edited(6, 5, 'edited', { thread: 2 }));
    expect(thread.messages.map(({ content }) => content)).to.deep.equal(['4', 'edited', '6', '7']);
    expect(received).to.deep.equal([6, 7]);
    expect(thread.root).to.include({ seq: 2 });
    expect(room.thread(2)).to.equal(thread);
    const loading = thread.loadOlder(2);
    const older = await next('message:history');
    expect(older.payload).to.deep.equal({ room_id: 7, thread: 2, before: 4, limit: 2 });
    older.answer(undefined, { messages: [], has_more: true, next: { before: 3 }, ...position(6) });
    (await next('message:history')).answer(undefined, { messages: replies(3), has_more: false, ...position(6) });
    expect((await loading).map(({ seq }) => seq)).to.deep.equal([3]);
    expect(thread.hasOlder).to.equal(false);
  });

  it('loads its replies again if the room missed more than the service replays', async () => {
    const { room, next, reconnect } = await openRoom();
    const thread = room.thread(2);
    thread.on('change', () => {});
    (await next('message:read')).answer(refused);
    (await next('message:history')).answer(undefined, { messages: replies(4), has_more: false, ...position(3) });
    let resets = 0;
    thread.on('reset', () => void resets++);
    await reconnect({ ...position(900), recovered: false, room: { id: 7, last_seq: 900 } });
    (await next('message:history')).answer(undefined, { messages: [message(900)], has_more: true, ...position(900) });
    await next('message:read');
    expect(thread.messages.map(({ seq }) => seq)).to.deep.equal([4]);
    (await next('message:history')).answer(undefined, { messages: replies(899), has_more: true, ...position(900) });
    expect(thread.messages.map(({ seq }) => seq)).to.deep.equal([899]);
    expect(resets).to.equal(1);
  });
});

describe('read positions of the client', () => {
  const mark = (read_seq: number, version: number) => ({ read_seq, version, unread: 0, unread_mentions: 0 });
  const own = (read_seq: number, version: number) => ({ user: me, read_seq, version });
  const readChanged = (...reads: object[]) => ({ name: 'read:changed', payload: { room_id: 7, reads } }) as Json;

  it('shows its own mark at once, and the previous position again if the service refuses it', async () => {
    const { room, next } = await openRoom();
    room.handle(readChanged(own(1, 1), { user: other, read_seq: 2, version: 4 }));
    const operation = room.markRead();
    const { payload, answer } = await next('read:mark');
    expect(room.reads).to.deep.equal([own(3, 1), { user: other, read_seq: 2, version: 4 }]);
    expect((await next('room:join')).payload).to.include({ reads: true });
    expect(payload).to.deep.equal({ room_id: 7, seq: 3 });
    answer(refused);
    expect(room.reads[0]).to.deep.equal(own(1, 1));
    operation.retry();
    (await next('read:mark')).answer(undefined, mark(3, 2));
    room.handle(readChanged(own(1, 1)));
    expect(room.reads[0], 'the greater version stays').to.deep.equal(own(3, 2));
  });

  it('sends no mark that moves nothing', async () => {
    const { room, requests } = await openRoom();
    room.handle(readChanged(own(3, 1)));
    const { confirmed, state } = room.markRead();
    expect([state, await confirmed, requests]).to.deep.equal(['sent', own(3, 1), []]);
  });

  it('does not mark the room as read after messages were marked as unread, until the room is opened again', async () => {
    const { room, next, requests } = await openRoom();
    room.handle(readChanged(own(3, 1)));
    room.markRead(1, { force: true });
    const { payload, answer } = await next('read:mark');
    expect(payload).to.deep.equal({ room_id: 7, seq: 1, force: true });
    answer(undefined, mark(1, 2));
    room.markRead();
    expect(requests).to.deep.equal([]);
    room.rejoin();
    room.markRead();
    (await next('read:mark')).answer(undefined, mark(3, 3));
  });

  it('drops a waiting mark if the user marks the messages as unread on another device', async () => {
    const { room, next, requests, reconnect } = await openRoom();
    room.handle(readChanged(own(2, 1)));
    const operation = room.markRead();
    await next('read:mark');
    await reconnect({ reads: [own(0, 5)] });
    expect([operation.state, room.reads, requests]).to.deep.equal(['sent', [own(0, 5)], []]);
    room.markRead();
    expect(requests).to.deep.equal([]);
  });
});

describe('what a room of the client asks for', () => {
  const presence = { count: 1, users: [me] };

  it('asks for nothing if the application needs nothing, and with one join for everything that it listens to', async () => {
    const { room, next, requests } = createFakeRoom();
    const { payload, answer } = await next('room:join');
    expect(payload).to.deep.equal({ room_id: 7 });
    answer(undefined, joined(0));
    const received: unknown[] = [];
    room.on('presence', (news) => void received.push(news));
    room.on('reads', () => {});
    const second = await next('room:join');
    expect(second.payload).to.deep.equal({ room_id: 7, since: cursorOf(0), presence: true, reads: true });
    second.answer(undefined, joined(0, { recovered: true, presence, reads: [] }));
    expect([room.presence, received, room.reads, requests]).to.deep.equal([presence, [presence], [], []]);
  });

  it('asks for presence when the application reads it, once, and after each reconnect', async () => {
    const { room, next, requests, reconnect } = await openRoom();
    await Promise.resolve();
    expect(requests).to.deep.equal([]);
    for (let n = 0; n < 3; n++) expect(room.presence).to.equal(undefined);
    const { payload, answer } = await next('room:join');
    expect(payload).to.deep.equal({ room_id: 7, since: cursorOf(3), presence: true });
    answer(undefined, joined(3, { recovered: true, presence }));
    expect([room.presence, requests]).to.deep.equal([presence, []]);
    await reconnect({ presence: null });
    expect([room.presence, requests]).to.deep.equal([null, []]);
  });

  it('joins once more for the positions of the others when the user marks messages as read in a room with receipts', async () => {
    const { room, next, requests } = createFakeRoom();
    const { answer } = await next('room:join');
    const { room: info, ...others } = joined(0);
    answer(undefined, { ...others, room: { ...info, receipts: true } });
    room.markRead(0);
    room.markRead(0);
    expect((await next('room:join')).payload).to.deep.equal({ room_id: 7, since: cursorOf(0), reads: true });
    room.markRead(0);
    await Promise.resolve();
    expect(requests).to.deep.equal([]);
  });

  it('asks for read positions after a reconnect if the user marks messages as read in a room without receipts', async () => {
    const { room, next, requests } = await openRoom();
    room.markRead();
    await next('read:mark');
    await Promise.resolve();
    expect(requests).to.deep.equal([]);
    room.onDisconnect();
    room.onConnect();
    expect((await next('room:join')).payload)
      .to.include({ reads: true })
      .and.not.have.property('presence');
  });
});

describe('typing and presence of the client', () => {
  it('tells the service that the user types at most every 3 s, and when they stop', async () => {
    const { room, next, requests } = await openRoom();
    const pass = useFakeClock();
    closeLater(() => mock.reset());
    room.setTyping();
    room.setTyping();
    expect((await next('typing:set')).payload).to.deep.equal({ room_id: 7, typing: true });
    expect(requests).to.deep.equal([]);
    room.setTyping(false);
    expect((await next('typing:set')).payload).to.deep.equal({ room_id: 7, typing: false });
    pass(1_100);
    room.setTyping(true, 2);
    expect((await next('typing:set')).payload).to.deep.equal({ room_id: 7, typing: true, thread: 2 });
    pass(3_000);
    room.setTyping(true, 2);
    expect((await next('typing:set')).payload).to.deep.equal({ room_id: 7, typing: true, thread: 2 });
    pass(5_000);
    expect((await next('typing:set')).payload, 'no keystroke').to.deep.equal({
      room_id: 7,
      typing: false,
      thread: 2,
    });
    room.leave();
    room.setTyping();
    expect(requests).to.deep.equal([]);
  });

  it('sends the next `typing: true` only when the service accepts it, a second after the previous one', async () => {
    const { room, next, requests } = await openRoom();
    const pass = useFakeClock();
    closeLater(() => mock.reset());
    room.setTyping();
    await next('typing:set');
    room.send('a message ends typing');
    await next('message:send');
    pass(600);
    room.setTyping();
    room.setTyping();
    pass(499);
    expect(requests).to.deep.equal([]);
    pass(1);
    expect((await next('typing:set')).payload).to.deep.equal({ room_id: 7, typing: true });
    room.setTyping(false);
    room.setTyping();
    room.setTyping(false);
    for (const _ of [1, 2]) expect((await next('typing:set')).payload).to.include({ typing: false });
    pass(5_000);
    expect(requests).to.deep.equal([]);
  });

  it('reports no typing from a room from which the user was removed', async () => {
    const { room, next, requests } = await openRoom();
    const pass = useFakeClock();
    closeLater(() => mock.reset());
    room.setTyping();
    await next('typing:set');
    room.onEvent('room:removed', { room_id: 7, code: 'BANNED' } as never);
    pass(5_000);
    expect(requests).to.deep.equal([]);
  });

  it('keeps what arrives while the page of history is loading, which is newer than the acknowledgement', async () => {
    const { room, next } = createFakeRoom();
    room.on('presence', () => {});
    room.on('reads', () => {});
    const read = { user: other, read_seq: 3, version: 1 };
    // The first join was sent before the listeners were added.
    (await next('room:join')).answer(undefined, joined(3));
    await next('message:history');
    (await next('room:join')).answer(undefined, joined(3, { presence: { count: 1, users: [me] }, reads: [] }));
    const page = await next('message:history');
    room.handle({ name: 'presence:changed', payload: { room_id: 7, count: 2, users: [me, other] } });
    room.handle({ name: 'read:changed', payload: { room_id: 7, reads: [read] } });
    page.answer(undefined, {
      messages: [1, 2, 3].map((seq) => message(seq)),
      has_more: false,
      rev: 3,
      cursor: cursorOf(3),
    });
    expect([room.state, room.presence, room.reads]).to.deep.equal(['joined', { count: 2, users: [me, other] }, [read]]);
  });

  it('shows who else types and who is present, until the connection is lost', async () => {
    const { room } = await openRoom();
    const users = [{ user: me }, { user: other, thread: 2 }];
    room.handle({ name: 'typing:changed', payload: { room_id: 7, users, count: 2 } });
    room.handle({ name: 'presence:changed', payload: { room_id: 7, count: 2, users: [me, other] } });
    expect(room.typing).to.deep.equal([{ user: other, thread: 2 }]);
    expect(room.presence).to.deep.equal({ count: 2, users: [me, other] });
    room.onDisconnect();
    expect([room.typing, room.presence]).to.deep.equal([[], undefined]);
  });
});
