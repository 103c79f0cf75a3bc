import { expect } from 'chai';
import type { Outgoing, RoomEvents } from '../../../src/client/api.ts';
import type { RoomConnection } from '../../../src/client/connection.ts';
import { defaultTimeouts } from '../../../src/client/connection.ts';
import { ChatClientError } from '../../../src/client/errors.ts';
import { Room } from '../../../src/client/room.ts';
import type { ChangeEvent } from '../../../src/client/subscription.ts';
import type { Loose } from '../../helpers/loose.ts';
import { until } from '../../helpers/until.ts';

interface Asked {
  name: string;
  payload: Loose;
  answered(error: ChatClientError | undefined, ack?: Loose): void;
}

const me = '00000000-0000-0000-0000-00000000000a';
const moment = '2026-01-01T00:00:00.000Z';
const info = { id: 7, name: 'a room', level_admin: 100, last_seq: 0 };
const cursorOf = (rev: number) => `7.${rev}`;

function message(seq: number, content = `${seq}`, client_msg_id: string | null = null): Loose {
  return { ...{ id: seq, room_id: 7, seq, emitter: me, content, client_msg_id }, createdAt: moment, updatedAt: moment };
}

const said = (rev: number, ...[seq, content, id]: Parameters<typeof message>): ChangeEvent => ({
  name: 'message:new',
  payload: { ...message(seq, content, id), rev, cursor: cursorOf(rev) },
});

const memberChanged = (rev: number, entity_UUID: string, kind = 'user'): ChangeEvent => ({
  name: 'member:changed',
  payload: { room_id: 7, rev, cursor: cursorOf(rev), entity_UUID, kind, permissions: 'r', level: 0 } as Loose,
});

const joined = (rev: number, more: object = {}) => ({
  ...{ room: { ...info, last_seq: rev }, rights: 'rw', rev, cursor: cursorOf(rev), recovered: false, events: [] },
  ...more,
});

/** A room whose connection is the test: what it asks waits to be answered. */
function roomOf({ maxMessages = 1_000, maxOutbox = 1_000 } = {}) {
  const asked: Asked[] = [];
  const link = {
    request: (name: string, payload: object, answered: Asked['answered']) => asked.push({ name, payload, answered }),
  };
  const limits = { maxMessages, maxOutbox };
  const timeouts = { ...defaultTimeouts, backoffMs: 1 };
  const connection = { ...limits, timeouts, state: 'connected', link, claims: { user: me } };
  const room = new Room(connection as unknown as RoomConnection, 7, () => {});
  const heard: string[] = [];
  const name = <E extends keyof RoomEvents>(event: E, say: (what: RoomEvents[E]) => unknown) =>
    room.on(event, (what) => void heard.push(`${event} ${say(what)}`));
  name('message', ({ content }) => content);
  name('state', (state) => state);
  name('reset', () => room.messages.length);
  let updates = 0;
  room.on('update', () => void updates++);
  name('outgoing', ({ content, state }) => `${content} ${state}`);
  return {
    ...{ room, heard, asked },
    updates: () => updates,
    contents: () => room.messages.map(({ content }) => content),
    /** The next thing it asks. */
    async next(expected: string): Promise<Asked> {
      await until(`${expected} is asked`, () => asked.length > 0);
      const one = asked.shift()!;
      expect(one.name).to.equal(expected);
      return one;
    },
    /** Live, with nothing said yet. */
    async live() {
      (await this.next('room:join')).answered(undefined, joined(0));
      heard.length = 0;
      return this;
    },
  };
}

const refusal = (code: 'INTERNAL' | 'RATE_LIMITED' | 'TOO_LARGE' | 'BANNED', retryAfterMs?: number) =>
  new ChatClientError(code, code, { retryAfterMs });
const unreachable = new ChatClientError('UNREACHABLE', 'gone');

const ackOf = (rev: number, { client_msg_id, content }: Outgoing, seq = rev) => ({
  ...{ message: message(seq, content, client_msg_id), duplicate: false, rev, cursor: cursorOf(rev) },
});

describe("the client's room, told", () => {
  it('of a message by its acknowledgement first, has it once', async () => {
    const { room, next, contents, heard } = await roomOf().live();
    const one = room.send('hi');
    (await next('message:send')).answered(undefined, ackOf(1, one));
    room.handle(said(1, 1, 'hi', one.client_msg_id));
    expect(contents()).to.deep.equal(['hi']);
    expect(heard).to.deep.equal(['outgoing hi pending', 'outgoing hi sent', 'message hi']);
    expect(room.outbox).to.deep.equal([]);
  });

  it('of a message by its announcement first, has it once, and asks no more', async () => {
    const { room, next, contents, heard, asked } = await roomOf().live();
    const one = room.send('hi');
    const { answered } = await next('message:send');
    room.handle(said(1, 1, 'hi', one.client_msg_id));
    expect(await one.confirmed).to.include({ seq: 1 });
    answered(undefined, ackOf(1, one));
    expect(contents()).to.deep.equal(['hi']);
    expect(heard).to.deep.equal(['outgoing hi pending', 'outgoing hi sent', 'message hi']);
    expect(asked).to.deep.equal([]);
  });

  it('of a message of its own that others came before, keeps it in the outbox until those are there', async () => {
    const { room, next, contents, asked } = await roomOf().live();
    const one = room.send('mine');
    (await next('message:send')).answered(undefined, ackOf(2, one));
    expect(room.outbox.map(({ state }) => state)).to.deep.equal(['sent']);
    expect(contents()).to.deep.equal([]);
    room.handle(said(1, 1, 'theirs'));
    expect(room.outbox).to.have.length(1);
    room.handle(said(2, 2, 'mine', one.client_msg_id));
    expect(contents()).to.deep.equal(['theirs', 'mine']);
    expect(room.outbox).to.deep.equal([]);
    expect(asked, 'a gap behind an acknowledgement is none').to.deep.equal([]);
  });

  it('of something else under its client_msg_id, does not take it for its own', async () => {
    const { room } = await roomOf().live();
    const one = room.send('mine');
    room.handle(said(1, 1, 'copied the id', one.client_msg_id));
    expect(one.state).to.equal('pending');
  });

  it('of a change behind a gap, joins again with the cursor, once, and has all of them once', async () => {
    const { room, next, contents, asked } = await roomOf().live();
    room.handle(said(1, 1));
    room.handle(said(3, 3));
    room.handle(said(4, 4));
    const { payload, answered } = await next('room:join');
    expect(payload).to.deep.equal({ room_id: 7, since: cursorOf(1) });
    room.handle(said(2, 2));
    answered(undefined, joined(4, { recovered: true, events: [said(2, 2), said(3, 3), said(4, 4)] }));
    room.handle(said(4, 4));
    room.handle(said(5, 5));
    expect(contents()).to.deep.equal(['1', '2', '3', '4', '5']);
    expect(asked).to.deep.equal([]);
  });

  it('of a message before the first page of history is there, has it behind the page', async () => {
    const { room, next, contents, heard } = roomOf();
    (await next('room:join')).answered(undefined, joined(3));
    room.handle(said(4, 4));
    expect(contents()).to.deep.equal([]);
    const { payload, answered } = await next('message:history');
    expect(payload).to.include({ before: 4 });
    answered(undefined, { messages: [message(2), message(3)], has_more: true });
    expect(contents()).to.deep.equal(['2', '3', '4']);
    expect(room.hasOlder).to.equal(true);
    expect(heard).to.deep.equal(['state joined', 'message 4']);
  });

  it('that too much was missed, begins anew when the page is there', async () => {
    const { room, next, contents, heard } = await roomOf().live();
    room.handle(said(1, 1));
    room.handleDisconnect();
    room.handleConnect();
    (await next('room:join')).answered(undefined, joined(900));
    room.handle(said(901, 901));
    expect(contents()).to.deep.equal(['1']);
    (await next('message:history')).answered(undefined, { messages: [message(900)], has_more: true });
    expect(contents()).to.deep.equal(['900', '901']);
    const told = ['message 1', 'state reconnecting', 'state joining', 'state joined', 'reset 1', 'message 901'];
    expect(heard, 'what `reset` shows is not said again').to.deep.equal(told);
  });

  it('that the page of history is not to be had, joins again with what it had', async () => {
    const { room, next } = await roomOf().live();
    room.handle(said(1, 1));
    room.handle(said(9, 9));
    (await next('room:join')).answered(undefined, joined(900));
    (await next('message:history')).answered(refusal('INTERNAL'));
    const { payload } = await next('room:join');
    expect(payload.since).to.equal(cursorOf(1));
  });

  it('of a rule of its own user, reads its rights again; of others it does not', async () => {
    const { room, next, asked } = await roomOf().live();
    room.handle(memberChanged(1, '00000000-0000-0000-0000-00000000000b'));
    room.handle(memberChanged(2, me, 'entity'));
    expect(asked).to.deep.equal([]);
    room.handle(memberChanged(3, me));
    (await next('room:join')).answered(undefined, joined(3, { recovered: true, rights: 'r' }));
    expect(room).to.include({ rights: 'r', state: 'joined' });
  });

  it('of what a later service may say, goes on', async () => {
    const { room, next, contents, asked } = await roomOf().live();
    room.handle({ name: 'message:edited', payload: { room_id: 7, rev: 1, cursor: cursorOf(1) } } as Loose);
    room.handle({ name: 'somebody:types', payload: { room_id: 7 } } as Loose);
    room.handle(said(2, 1));
    expect(contents()).to.deep.equal(['1']);
    room.handleDisconnect();
    room.handleConnect();
    expect((await next('room:join')).payload.since).to.equal(cursorOf(2));
    expect(asked).to.deep.equal([]);
  });

  it('that it is out while it asks, believes the answer', async () => {
    for (const [answer, state] of [
      [[undefined, joined(1, { recovered: true })], 'joined'],
      [[refusal('BANNED')], 'removed'],
    ] as const) {
      const { room, next } = await roomOf().live();
      room.refreshRights();
      room.handleRemoval('BANNED');
      (await next('room:join')).answered(...(answer as [undefined, Loose]));
      expect(room.state).to.equal(state);
    }
  });

  it('of much at once, says `update` once', async () => {
    const { room, updates } = await roomOf().live();
    await Promise.resolve();
    const before = updates();
    for (let n = 1; n <= 100; n++) room.handle(said(n, n));
    await Promise.resolve();
    expect(updates() - before).to.equal(1);
  });

  it('anything, by a listener that throws or leaves, goes on', async () => {
    const { room, next, contents } = await roomOf().live();
    const { error } = console;
    const reported: unknown[] = [];
    console.error = (thrown: unknown) => void reported.push(thrown);
    room.on('message', () => {
      throw new Error('of a listener');
    });
    room.on('message', ({ seq }) => seq === 2 && room.leave());
    room.refreshRights();
    const events = [said(1, 1), said(2, 2), said(3, 3)];
    (await next('room:join')).answered(undefined, joined(3, { recovered: true, events }));
    console.error = error;
    expect(contents()).to.deep.equal(['1', '2']);
    expect(room.state).to.equal('left');
    expect(reported).to.have.length(2);
  });
});

describe("the client's outbox", () => {
  it('lets nothing overtake a message that is refused for now', async () => {
    const { room, next, asked } = await roomOf().live();
    const [first, second] = [room.send('first'), room.send('second')];
    const one = await next('message:send');
    expect(asked).to.deep.equal([]);
    const before = performance.now();
    one.answered(refusal('RATE_LIMITED', 30));
    const again = await next('message:send');
    expect(performance.now() - before).to.be.above(25);
    expect(again.payload).to.deep.equal(one.payload);
    again.answered(undefined, ackOf(1, first));
    expect((await next('message:send')).payload).to.include({ client_msg_id: second.client_msg_id });
  });

  it('sends again under the same id when the line is up again, and in order', async () => {
    const { room, next } = await roomOf().live();
    const first = room.send('first');
    room.send('second');
    const lost = await next('message:send');
    room.handleDisconnect();
    lost.answered(unreachable);
    room.handleConnect();
    await next('room:join');
    const again = await next('message:send');
    expect(again.payload).to.deep.equal(lost.payload);
    again.answered(undefined, { ...ackOf(1, first), duplicate: true });
    expect((await next('message:send')).payload.content).to.equal('second');
  });

  it('gives up a message that the service cannot take, and goes on with the next', async () => {
    for (const [error, times] of [
      [refusal('TOO_LARGE'), 1],
      [refusal('INTERNAL'), 5],
    ] as const) {
      const { room, next } = await roomOf().live();
      const [first, second] = [room.send('first'), room.send('second')];
      for (let n = 0; n < times; n++) (await next('message:send')).answered(error);
      expect(first).to.include({ state: 'failed', error });
      expect(await first.confirmed.catch((reason) => reason)).to.equal(error);
      (await next('message:send')).answered(undefined, ackOf(1, second));
      expect(room.outbox).to.deep.equal([first]);
    }
  });

  it('has sent one that it gave up, where it is announced after all', async () => {
    const { room, next } = await roomOf().live();
    const one = room.send('lost');
    for (let n = 0; n < 5; n++) (await next('message:send')).answered(refusal('INTERNAL'));
    room.handle(said(1, 1, 'lost', one.client_msg_id));
    expect(one).to.include({ state: 'sent', error: undefined });
    expect(await one.confirmed).to.include({ seq: 1 });
    expect(room.outbox).to.deep.equal([]);
  });

  it('sends a failed one again where the user wants it, behind the others, or drops it', async () => {
    const { room, next } = await roomOf().live();
    const [first, second, third] = [room.send('first'), room.send('second'), room.send('third')];
    for (let n = 0; n < 2; n++) (await next('message:send')).answered(refusal('TOO_LARGE'));
    expect(room.outbox).to.deep.equal([first, second, third]);
    first.retry();
    second.discard();
    third.discard();
    expect(room.outbox).to.deep.equal([third, first]);
    (await next('message:send')).answered(undefined, ackOf(1, third));
    const again = await next('message:send');
    expect(again.payload.client_msg_id).to.equal(first.client_msg_id);
    again.answered(undefined, ackOf(2, first));
    expect(await first.confirmed).to.include({ content: 'first' });
    expect(room.outbox).to.deep.equal([]);
  });
});

describe("the client's memory of a room", () => {
  const page = (first: number, last: number) => ({
    messages: Array.from({ length: last - first + 1 }, (_, n) => message(first + n)),
    has_more: first > 1,
  });
  const seqs = ({ messages }: { messages: readonly { seq: number }[] }) => messages.map(({ seq }) => seq);
  const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

  it('is of the latest maxMessages: the oldest is dropped, and said to be', async () => {
    const { room } = await roomOf({ maxMessages: 3 }).live();
    const dropped: number[] = [];
    room.on('dropped', (messages) => void dropped.push(...seqs({ messages })));
    for (let seq = 1; seq <= 3; seq++) room.handle(said(seq, seq));
    expect([room.hasOlder, dropped]).to.deep.equal([false, []]);
    for (let seq = 4; seq <= 10; seq++) room.handle(said(seq, seq));
    expect(seqs(room)).to.deep.equal([8, 9, 10]);
    expect(dropped).to.deep.equal(range(1, 7));
    expect(room.hasOlder).to.equal(true);
  });

  it('of the first page is not larger, either', async () => {
    const { room, next } = roomOf({ maxMessages: 5 });
    (await next('room:join')).answered(undefined, joined(20));
    (await next('message:history')).answered(undefined, page(11, 20));
    expect(seqs(room)).to.deep.equal(range(16, 20));
    expect(room.hasOlder).to.equal(true);
  });

  it('takes back what was dropped, without a gap, also if more comes meanwhile, and keeps it', async () => {
    const { room, next } = await roomOf({ maxMessages: 3 }).live();
    for (let seq = 1; seq <= 6; seq++) room.handle(said(seq, seq));
    const loading = room.loadOlder(2);
    const asked = await next('message:history');
    expect(asked.payload).to.include({ before: 4, limit: 2 });
    room.handle(said(7, 7));
    asked.answered(undefined, page(2, 3));
    await loading;
    expect(seqs(room)).to.deep.equal(range(2, 7));
    room.handle(said(8, 8));
    expect(seqs(room), 'as many as there were').to.deep.equal(range(3, 8));
  });

  it('is bounded again where a page was not to be had', async () => {
    const { room, next } = await roomOf({ maxMessages: 3 }).live();
    for (let seq = 1; seq <= 4; seq++) room.handle(said(seq, seq));
    const loading = room.loadOlder();
    const asked = await next('message:history');
    room.handle(said(5, 5));
    asked.answered(new ChatClientError('TIMEOUT', 'late'));
    expect(await loading.catch(({ code }) => code)).to.equal('TIMEOUT');
    room.handle(said(6, 6));
    expect(seqs(room)).to.deep.equal([4, 5, 6]);
  });

  it('has an end for older pages, too', async () => {
    const { room, next } = roomOf({ maxMessages: 2 });
    (await next('room:join')).answered(undefined, joined(100));
    (await next('message:history')).answered(undefined, page(51, 100));
    const loading = room.loadOlder(18);
    (await next('message:history')).answered(undefined, page(81, 98));
    await loading;
    expect(seqs(room)).to.deep.equal(range(81, 100));
    expect(await room.loadOlder().catch(({ code }) => code)).to.equal('LIMIT');
  });

  it('has an end for what is not sent: one more fails at once, and is not kept', async () => {
    const { room } = await roomOf({ maxOutbox: 2 }).live();
    const kept = [room.send('1'), room.send('2')];
    const refused = room.send('3');
    expect([refused.state, refused.error?.code]).to.deep.equal(['failed', 'LIMIT']);
    expect(room.outbox).to.deep.equal(kept);
    refused.retry();
    expect([refused.state, room.outbox.length]).to.deep.equal(['failed', 2]);
  });
});
