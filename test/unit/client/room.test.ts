import { expect } from 'chai';
import type { Outgoing } from '../../../src/client/api.ts';
import { ChatClientError } from '../../../src/client/errors.ts';
import type { ChangeEvent } from '../../../src/client/wire.ts';
import {
  createFakeRoom,
  cursorOf,
  joined,
  me,
  memberChanged,
  message,
  newMessage,
  other,
} from '../../helpers/fake-room.ts';
import type { Json } from '../../helpers/json.ts';

const refusal = (code: 'INTERNAL' | 'RATE_LIMITED' | 'TOO_LARGE' | 'BANNED', retryAfterMs?: number) =>
  new ChatClientError(code, code, { retryAfterMs });
const unreachable = new ChatClientError('UNREACHABLE', 'gone');

const ackOf = (rev: number, { client_msg_id, content }: Outgoing, seq = rev) => ({
  ...{ message: message(seq, content, client_msg_id), duplicate: false, rev, cursor: cursorOf(rev) },
});

const ids = (messages: readonly Outgoing[]) => messages.map(({ client_msg_id }) => client_msg_id);

describe('a room of the client', () => {
  it('shows a message once if its acknowledgement arrives before its event', async () => {
    const { room, next, contents, emitted } = await createFakeRoom().join();
    const outgoing = room.send('hi');
    (await next('message:send')).answer(undefined, ackOf(1, outgoing));
    room.handle(newMessage(1, 1, 'hi', outgoing.client_msg_id));
    expect(contents()).to.deep.equal(['hi']);
    expect(emitted).to.deep.equal(['outgoing hi pending', 'outgoing hi sent', 'message hi']);
    expect(room.outbox).to.deep.equal([]);
  });

  it('shows a message once if its event arrives before its acknowledgement, and sends no further request', async () => {
    const { room, next, contents, emitted, requests } = await createFakeRoom().join();
    const outgoing = room.send('hi');
    const { answer } = await next('message:send');
    room.handle(newMessage(1, 1, 'hi', outgoing.client_msg_id));
    expect(await outgoing.confirmed).to.include({ seq: 1 });
    answer(undefined, ackOf(1, outgoing));
    expect(contents()).to.deep.equal(['hi']);
    expect(emitted).to.deep.equal(['outgoing hi pending', 'outgoing hi sent', 'message hi']);
    expect(requests).to.deep.equal([]);
  });

  it('keeps its own message in the outbox until the messages before it have arrived', async () => {
    const { room, next, contents, requests } = await createFakeRoom().join();
    const outgoing = room.send('mine');
    (await next('message:send')).answer(undefined, ackOf(2, outgoing));
    expect(room.outbox.map(({ state }) => state)).to.deep.equal(['sent']);
    expect(contents()).to.deep.equal([]);
    room.handle(newMessage(1, 1, 'theirs'));
    expect(room.outbox).to.have.length(1);
    room.handle(newMessage(2, 2, 'mine', outgoing.client_msg_id));
    expect(contents()).to.deep.equal(['theirs', 'mine']);
    expect(room.outbox).to.deep.equal([]);
    expect(requests, 'an acknowledgement ahead of the events is not a gap').to.deep.equal([]);
  });

  it('recognises its own message by emitter and client_msg_id alone, because the content may have been edited', async () => {
    const { room } = await createFakeRoom().join();
    const outgoing = room.send('mine');
    const copied = newMessage(1, 1, 'mine', outgoing.client_msg_id);
    room.handle({ ...copied, payload: { ...copied.payload, emitter: other } } as ChangeEvent);
    expect(outgoing.state).to.equal('pending');
    room.handle(newMessage(2, 2, 'edited meanwhile', outgoing.client_msg_id));
    expect(outgoing.state).to.equal('sent');
  });

  it('joins again with its cursor after a gap, once, and shows each missed message once', async () => {
    const { room, next, contents, requests } = await createFakeRoom().join();
    room.handle(newMessage(1, 1));
    room.handle(newMessage(3, 3));
    room.handle(newMessage(4, 4));
    const { payload, answer } = await next('room:join');
    expect(payload).to.deep.equal({ room_id: 7, since: cursorOf(1) });
    room.handle(newMessage(2, 2));
    answer(undefined, joined(4, { recovered: true, events: [newMessage(2, 2), newMessage(3, 3), newMessage(4, 4)] }));
    room.handle(newMessage(4, 4));
    room.handle(newMessage(5, 5));
    expect(contents()).to.deep.equal(['1', '2', '3', '4', '5']);
    expect(requests).to.deep.equal([]);
  });

  it('shows a message that arrives before the first page of history behind that page', async () => {
    const { room, next, contents, emitted } = createFakeRoom();
    (await next('room:join')).answer(undefined, joined(3));
    room.handle(newMessage(4, 4));
    expect(contents()).to.deep.equal([]);
    const { payload, answer } = await next('message:history');
    expect(payload).to.include({ before: 4 });
    answer(undefined, { messages: [message(2), message(3)], has_more: true });
    expect(contents()).to.deep.equal(['2', '3', '4']);
    expect(room.hasOlder).to.equal(true);
    expect(emitted).to.deep.equal(['state joined', 'message 4']);
  });

  it('resets when the page arrives if it missed too much', async () => {
    const { room, next, contents, emitted } = await createFakeRoom().join();
    room.handle(newMessage(1, 1));
    room.onDisconnect();
    room.onConnect();
    (await next('room:join')).answer(undefined, joined(900));
    room.handle(newMessage(901, 901));
    expect(contents()).to.deep.equal(['1']);
    (await next('message:history')).answer(undefined, { messages: [message(900)], has_more: true });
    expect(contents()).to.deep.equal(['900', '901']);
    const expected = ['message 1', 'state reconnecting', 'state joining', 'state joined', 'reset 1', 'message 901'];
    expect(emitted, 'no `message` for the messages of a reset').to.deep.equal(expected);
  });

  it('joins again with its previous cursor if the page of history fails', async () => {
    const { room, next } = await createFakeRoom().join();
    room.handle(newMessage(1, 1));
    room.handle(newMessage(9, 9));
    (await next('room:join')).answer(undefined, joined(900));
    (await next('message:history')).answer(refusal('INTERNAL'));
    const { payload } = await next('room:join');
    expect(payload.since).to.equal(cursorOf(1));
  });

  it('reads its rights again after a change of its own rule, and not of other rules', async () => {
    const { room, next, requests } = await createFakeRoom().join();
    room.handle(memberChanged(1, '00000000-0000-0000-0000-00000000000b'));
    room.handle(memberChanged(2, me, 'entity'));
    expect(requests).to.deep.equal([]);
    room.handle(memberChanged(3, me));
    (await next('room:join')).answer(undefined, joined(3, { recovered: true, rights: 'r' }));
    expect(room).to.include({ rights: 'r', state: 'joined' });
  });

  it('ignores events that it does not know, and follows their position in the log', async () => {
    const { room, next, contents, requests } = await createFakeRoom().join();
    room.handle({ name: 'message:edited', payload: { room_id: 7, rev: 1, cursor: cursorOf(1) } } as Json);
    room.handle({ name: 'typing:started', payload: { room_id: 7 } } as Json);
    room.handle(newMessage(2, 1));
    expect(contents()).to.deep.equal(['1']);
    room.onDisconnect();
    room.onConnect();
    expect((await next('room:join')).payload.since).to.equal(cursorOf(2));
    expect(requests).to.deep.equal([]);
  });

  it('lets the answer to a pending join decide whether it is removed', async () => {
    for (const [answer, state] of [
      [[undefined, joined(1, { recovered: true })], 'joined'],
      [[refusal('BANNED')], 'removed'],
    ] as const) {
      const { room, next } = await createFakeRoom().join();
      room.onClaimsChanged();
      room.onEvent('room:removed', { room_id: 7, code: 'BANNED' } as never);
      (await next('room:join')).answer(...(answer as [undefined, Json]));
      expect(room.state).to.equal(state);
    }
  });

  it('emits `update` once for a hundred messages in a row', async () => {
    const { room, updates } = await createFakeRoom().join();
    await Promise.resolve();
    const before = updates();
    for (let n = 1; n <= 100; n++) room.handle(newMessage(n, n));
    await Promise.resolve();
    expect(updates() - before).to.equal(1);
  });

  it('continues after a listener throws, and stops after a listener leaves the room', async () => {
    const { room, next, contents } = await createFakeRoom().join();
    const { error } = console;
    const reported: unknown[] = [];
    console.error = (thrown: unknown) => void reported.push(thrown);
    room.on('message', () => {
      throw new Error('thrown by a listener');
    });
    room.on('message', ({ seq }) => seq === 2 && room.leave());
    room.onClaimsChanged();
    const events = [newMessage(1, 1), newMessage(2, 2), newMessage(3, 3)];
    (await next('room:join')).answer(undefined, joined(3, { recovered: true, events }));
    console.error = error;
    expect(contents()).to.deep.equal(['1', '2']);
    expect(room.state).to.equal('left');
    expect(reported).to.have.length(2);
  });
});

describe('the outbox of the client', () => {
  it('sends a message again before the next message if the service refuses it for now', async () => {
    const { room, next, requests } = await createFakeRoom().join();
    const [first, second] = [room.send('first'), room.send('second')];
    const request = await next('message:send');
    expect(requests).to.deep.equal([]);
    const before = performance.now();
    request.answer(refusal('RATE_LIMITED', 30));
    const again = await next('message:send');
    expect(performance.now() - before).to.be.above(25);
    expect(again.payload).to.deep.equal(request.payload);
    again.answer(undefined, ackOf(1, first));
    expect((await next('message:send')).payload).to.include({ client_msg_id: second.client_msg_id });
  });

  it('sends no message again while it applies its acknowledgement', async () => {
    const { room, next, requests, contents } = await createFakeRoom().join();
    const outgoing = room.send('first');
    room.send('second');
    const ack = ackOf(1, outgoing);
    const stored = { ...ack.message, emitter: other };
    (await next('message:send')).answer(undefined, { ...ack, message: stored });
    expect((await next('message:send')).payload.content).to.equal('second');
    expect([contents(), requests]).to.deep.equal([['first'], []]);
  });

  it('sends unanswered messages again after a reconnect, in order and under the same ids', async () => {
    const { room, next } = await createFakeRoom().join();
    const first = room.send('first');
    room.send('second');
    const lost = await next('message:send');
    room.onDisconnect();
    lost.answer(unreachable);
    room.onConnect();
    await next('room:join');
    const again = await next('message:send');
    expect(again.payload).to.deep.equal(lost.payload);
    again.answer(undefined, { ...ackOf(1, first), duplicate: true });
    expect((await next('message:send')).payload.content).to.equal('second');
  });

  it('fails a message that the service rejects for good or five times with INTERNAL, and sends the next', async () => {
    for (const [error, times] of [
      [refusal('TOO_LARGE'), 1],
      [refusal('INTERNAL'), 5],
    ] as const) {
      const { room, next } = await createFakeRoom().join();
      const [first, second] = [room.send('first'), room.send('second')];
      for (let n = 0; n < times; n++) (await next('message:send')).answer(error);
      expect(first).to.include({ state: 'failed', error });
      expect(await first.confirmed.catch((reason) => reason)).to.equal(error);
      (await next('message:send')).answer(undefined, ackOf(1, second));
      expect(ids(room.outbox)).to.deep.equal(ids([first]));
    }
  });

  it('marks a failed message as sent if its event arrives after all', async () => {
    const { room, next } = await createFakeRoom().join();
    const outgoing = room.send('lost');
    for (let n = 0; n < 5; n++) (await next('message:send')).answer(refusal('INTERNAL'));
    room.handle(newMessage(1, 1, 'lost', outgoing.client_msg_id));
    expect(outgoing).to.include({ state: 'sent', error: undefined });
    expect(await outgoing.confirmed).to.include({ seq: 1 });
    expect(room.outbox).to.deep.equal([]);
  });

  it('sends a failed message behind the others after retry(), and removes it after discard()', async () => {
    const { room, next } = await createFakeRoom().join();
    const [first, second, third] = [room.send('first'), room.send('second'), room.send('third')];
    for (let n = 0; n < 2; n++) (await next('message:send')).answer(refusal('TOO_LARGE'));
    expect(ids(room.outbox)).to.deep.equal(ids([first, second, third]));
    first.retry();
    second.discard();
    third.discard();
    expect(ids(room.outbox)).to.deep.equal(ids([third, first]));
    (await next('message:send')).answer(undefined, ackOf(1, third));
    const again = await next('message:send');
    expect(again.payload.client_msg_id).to.equal(first.client_msg_id);
    again.answer(undefined, ackOf(2, first));
    expect(await first.confirmed).to.include({ content: 'first' });
    expect(room.outbox).to.deep.equal([]);
  });
});

describe('the limits of the client', () => {
  const page = (first: number, last: number) => ({
    messages: Array.from({ length: last - first + 1 }, (_, n) => message(first + n)),
    has_more: first > 1,
  });
  const seqs = ({ messages }: { messages: readonly { seq: number }[] }) => messages.map(({ seq }) => seq);
  const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

  it('keeps the latest messages, and emits `dropped` for the others', async () => {
    const { room } = await createFakeRoom({ keep: 3 }).join();
    const dropped: number[] = [];
    room.on('dropped', (messages) => void dropped.push(...seqs({ messages })));
    for (let seq = 1; seq <= 3; seq++) room.handle(newMessage(seq, seq));
    expect([room.hasOlder, dropped]).to.deep.equal([false, []]);
    for (let seq = 4; seq <= 10; seq++) room.handle(newMessage(seq, seq));
    expect(seqs(room)).to.deep.equal([8, 9, 10]);
    expect(dropped).to.deep.equal(range(1, 7));
    expect(room.hasOlder).to.equal(true);
  });

  it('keeps no more messages of the first page than it may', async () => {
    const { room, next } = createFakeRoom({ keep: 5 });
    (await next('room:join')).answer(undefined, joined(20));
    (await next('message:history')).answer(undefined, page(11, 20));
    expect(seqs(room)).to.deep.equal(range(16, 20));
    expect(room.hasOlder).to.equal(true);
  });

  it('drops messages again after a page failed to load', async () => {
    const { room, next } = await createFakeRoom({ keep: 3 }).join();
    for (let seq = 1; seq <= 4; seq++) room.handle(newMessage(seq, seq));
    const loading = room.loadOlder();
    const request = await next('message:history');
    room.handle(newMessage(5, 5));
    request.answer(new ChatClientError('TIMEOUT', 'late'));
    expect(await loading.catch(({ code }) => code)).to.equal('TIMEOUT');
    room.handle(newMessage(6, 6));
    expect(seqs(room)).to.deep.equal([4, 5, 6]);
  });

  it('fails a message with LIMIT if the outbox is full, and does not keep it', async () => {
    const { room } = await createFakeRoom({ maxOutbox: 2 }).join();
    const kept = [room.send('1'), room.send('2')];
    const refused = room.send('3');
    expect([refused.state, refused.error?.code]).to.deep.equal(['failed', 'LIMIT']);
    expect(ids(room.outbox)).to.deep.equal(ids(kept));
    refused.retry();
    expect([refused.state, room.outbox.length]).to.deep.equal(['failed', 2]);
  });
});
