import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import type { MessagePages } from '../../../src/client/api.ts';
import { createFakeRoom, cursorOf, joined, message, newMessage } from '../../helpers/fake-room.ts';
import type { Json } from '../../helpers/json.ts';

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, n) => first + n);
const seqs = ({ messages }: Pick<MessagePages, 'messages'>) => messages.map(({ seq }) => seq);

/** A room with this many messages whose pages are answered like the service does. */
async function openRoom({ count = 100, keep = 20 } = {}) {
  const fake = createFakeRoom({ keep });
  const { room, next } = fake;
  let stored = count;
  (await next('room:join')).answer(undefined, joined(count));

  /** Answers the next request for a page. Messages may be stored before it is read. */
  async function answerPage(storeNext = 0): Promise<Json> {
    const { payload, answer } = await next('message:history');
    stored += storeNext;
    const { before = stored + 1, after, around, limit } = payload;
    const first = around ? around - limit / 2 : after !== undefined ? after + 1 : before - limit;
    const [from, to] = [Math.max(1, first), Math.min(stored, first + limit - 1)];
    const hasOlder = from > 1 && after === undefined;
    const hasNewer = to < stored && (after !== undefined || around !== undefined);
    answer(undefined, {
      ...{ messages: range(from, to).map((seq) => message(seq)), rev: stored, cursor: cursorOf(stored) },
      has_more: hasOlder || hasNewer,
      next: hasOlder || hasNewer ? { ...(hasOlder && { before: from }), ...(hasNewer && { after: to }) } : null,
    });
    return payload;
  }
  /** Delivers the next message of the room. */
  const live = (seq = ++stored) => room.handle(newMessage(seq, seq));
  await answerPage();
  fake.emitted.length = 0;

  async function openWindow(seq: number) {
    const window = room.around(seq);
    const received: number[] = [];
    window.on('message', (news) => void received.push(news.seq));
    const payload = await answerPage();
    return { window, received, payload };
  }
  const load = async <T>(loading: Promise<T>, storeNext = 0) => {
    const payload = await answerPage(storeNext);
    return { payload, messages: await loading };
  };
  return { ...fake, answerPage, live, openWindow, load };
}

describe('a window of the client', () => {
  it('requests nothing until something listens to it, and then the messages around its `seq`', async () => {
    const { room, requests, openWindow } = await openRoom();
    const unused = room.around(50);
    await Promise.resolve();
    expect([requests, unused.messages]).to.deep.equal([[], []]);
    const { window, payload } = await openWindow(50);
    expect(payload).to.deep.equal({ room_id: 7, limit: 20, around: 50, top_level: true });
    expect(seqs(window)).to.deep.equal(range(40, 59));
    expect(window).to.include({ hasOlder: true, hasNewer: true });
  });

  it('moves over the history: each page drops as many messages at the far end', async () => {
    const { openWindow, load } = await openRoom();
    const { window } = await openWindow(50);
    const dropped: number[] = [];
    window.on('dropped', (messages) => void dropped.push(...seqs({ messages })));
    const newer = await load(window.loadNewer(10));
    expect(newer.payload).to.deep.equal({ room_id: 7, limit: 10, after: 59, top_level: true });
    expect([seqs(window), seqs(newer), dropped]).to.deep.equal([range(50, 69), range(60, 69), range(40, 49)]);
    dropped.length = 0;
    const older = await load(window.loadOlder(15));
    expect(older.payload).to.include({ before: 50 });
    expect([seqs(window), dropped]).to.deep.equal([range(35, 54), range(55, 69)]);
    expect((await load(window.loadNewer(1))).payload, 'no gap after what was dropped').to.include({ after: 54 });
    expect(window).to.include({ hasOlder: true, hasNewer: true });
  });

  it('receives no live message while newer ones are missing, but changes of its messages', async () => {
    const { room, openWindow, live, emitted } = await openRoom();
    const { window, received } = await openWindow(50);
    live();
    room.handle({
      name: 'message:changed',
      payload: { ...message(45, 'edited'), version: 102, rev: 102, cursor: cursorOf(102) },
    } as Json);
    expect([seqs(window), received]).to.deep.equal([range(40, 59), []]);
    expect(window.messages[5]).to.include({ content: 'edited' });
    expect(emitted, 'the room has the message').to.deep.equal(['message 101']);
  });

  it('becomes the tail when it reaches the newest message, with what has arrived meanwhile, once', async () => {
    const { room, openWindow, load, live } = await openRoom({ count: 60 });
    const { window, received } = await openWindow(50);
    const loading = window.loadNewer(10);
    // The page contains 61, whose event is late.
    const { messages } = await load(loading, 1);
    expect(seqs({ messages })).to.deep.equal([60, 61]);
    expect(window.hasNewer).to.equal(false);
    live(61);
    live();
    expect(seqs(window)).to.deep.equal(range(43, 62));
    expect(seqs(room)).to.deep.equal(seqs(window));
    expect(received).to.deep.equal([62]);
  });

  it('adds a message that arrives before the page behind that page', async () => {
    const { openWindow, live, next } = await openRoom({ count: 60 });
    const { window } = await openWindow(50);
    const loading = window.loadNewer();
    const { answer } = await next('message:history');
    live();
    expect(seqs(window)).to.deep.equal(range(40, 59));
    answer(undefined, { messages: [message(60)], rev: 60, has_more: false, next: null });
    await loading;
    expect(seqs(window)).to.deep.equal(range(42, 61));
  });

  it('becomes the tail with loadLatest(), and stays there after a reset', async () => {
    const { room, next, openWindow, load, live, answerPage } = await openRoom({ count: 200 });
    const { window } = await openWindow(50);
    await load(window.loadLatest());
    expect([seqs(window), window.hasNewer]).to.deep.equal([range(181, 200), false]);
    live();
    expect(seqs(window)).to.deep.equal(range(182, 201));
    room.onDisconnect();
    room.onConnect();
    (await next('room:join')).answer(undefined, joined(900));
    await answerPage(700);
    const { around, before } = await answerPage();
    expect([around, before]).to.deep.equal([undefined, undefined]);
  });

  it('loads one page at a time in different directions', async () => {
    const { openWindow, answerPage, requests } = await openRoom();
    const { window } = await openWindow(50);
    const both = [window.loadOlder(5), window.loadNewer(5), window.loadOlder(5)];
    await Promise.resolve();
    expect(requests).to.have.length(1);
    await answerPage();
    await answerPage();
    await Promise.all(both);
    expect(await both[2]).to.equal(await both[0]);
    expect(seqs(window)).to.deep.equal(range(40, 59));
  });

  it('stays where it is if the room missed more than the service replays, without a gap', async () => {
    const { room, next, openWindow, answerPage } = await openRoom();
    const { window } = await openWindow(50);
    let resets = 0;
    window.on('reset', () => void resets++);
    room.onDisconnect();
    room.onConnect();
    (await next('room:join')).answer(undefined, joined(900));
    await answerPage(800);
    expect(seqs(room)).to.deep.equal(range(881, 900));
    expect(await answerPage()).to.include({ around: 50 });
    expect([seqs(window), resets]).to.deep.equal([range(40, 59), 1]);
  });

  it('is no longer updated after close(), and loads again when it is asked to', async () => {
    const { room, openWindow, requests, answerPage } = await openRoom();
    const { window } = await openWindow(50);
    window.close();
    const edit = { ...message(45, 'edited'), version: 101, rev: 101, cursor: cursorOf(101) };
    room.handle({ name: 'message:changed', payload: edit } as Json);
    expect([window.messages[5]!.content, requests]).to.deep.equal(['45', []]);
    const loading = window.loaded();
    await answerPage();
    await loading;
    expect(seqs(window)).to.deep.equal(range(40, 59));
  });
});

describe('the messages of a room of the client', () => {
  it('are no longer the newest after loadOlder() has dropped those, until loadNewer() has reached them', async () => {
    const { room, load, live, emitted } = await openRoom();
    await load(room.loadOlder(15));
    expect([seqs(room), room.hasNewer, room.snapshot.hasNewer]).to.deep.equal([range(66, 85), true, true]);
    live();
    expect(seqs(room)).to.deep.equal(range(66, 85));
    expect(emitted, 'a bot misses nothing').to.deep.equal(['message 101']);
    const { messages } = await load(room.loadNewer());
    expect([seqs({ messages }), room.hasNewer]).to.deep.equal([range(86, 101), false]);
    live();
    expect(seqs(room)).to.deep.equal(range(83, 102));
  });

  it('jump to the newest page with loadLatest(), with what arrives meanwhile, and without a gap', async () => {
    const { room, load, live, emitted, answerPage, requests } = await openRoom();
    await load(room.loadOlder(15));
    expect(seqs(room)).to.deep.equal(range(66, 85));
    const dropped: number[] = [];
    room.on('dropped', (messages) => void dropped.push(...seqs({ messages })));
    const loading = room.loadLatest(10);
    room.handle({
      name: 'message:changed',
      payload: { ...message(95, 'edited'), version: 101, rev: 101, cursor: cursorOf(101) },
    } as Json);
    expect(await answerPage()).to.deep.equal({ room_id: 7, limit: 10, top_level: true });
    expect(seqs({ messages: await loading })).to.deep.equal(range(91, 100));
    expect([seqs(room), room.hasOlder, room.hasNewer]).to.deep.equal([range(91, 100), true, false]);
    expect(room.messages[4], 'a change that the page did not have').to.include({ content: 'edited' });
    expect(dropped).to.deep.equal(range(66, 85));
    room.handle(newMessage(102, 101));
    expect(seqs(room)).to.deep.equal(range(91, 101));
    expect(emitted).to.deep.equal(['message 101']);
    expect(await room.loadLatest(), 'it is at the newest already').to.deep.equal([]);
    expect(requests).to.deep.equal([]);
    const older = await load(room.loadOlder(5));
    expect([older.payload.before, seqs(room)]).to.deep.equal([91, range(86, 101).slice(0, 20)]);
    live(102);
  });

  it('are marked as read by markRead() only if they reach the newest', async () => {
    const { room, load, requests, next } = await openRoom();
    await load(room.loadOlder(15));
    expect([room.markRead().state, requests]).to.deep.equal(['sent', []]);
    room.markRead(80);
    const { payload, answer } = await next('read:mark');
    expect(payload).to.include({ seq: 80 });
    answer(undefined, { ok: true, read_seq: 80, version: 1, unread: 20, unread_mentions: 0 });
    await load(room.loadNewer());
    room.markRead();
    expect(requests.find(({ name, payload }) => name === 'read:mark' && payload.seq === 100)).to.not.equal(undefined);
  });
});

describe('the memory of the client', function () {
  this.timeout(60_000);

  it('does not grow in an hour of 20 messages a second, at the newest, in a window, and in a room that has moved away', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const measure = () => {
      collect();
      return process.memoryUsage().heapUsed / 1_048_576;
    };
    const rooms = await Promise.all([openRoom({ keep: 1_000 }), openRoom({ keep: 1_000 })]);
    const [{ openWindow }, moved] = rooms;
    const { window } = await openWindow(50);
    const receive = (messages: number) => {
      for (let n = 0; n < messages; n++)
        for (const { room, live, emitted } of rooms) {
          emitted.length = 0;
          live();
          if (n % 20 === 0) room.snapshot.messages.at(-1);
        }
    };
    receive(2_000);
    // Its newest messages are dropped, and new ones no longer enter.
    await moved.load(moved.room.loadOlder(500));
    expect([moved.room.hasNewer, window.hasNewer]).to.deep.equal([true, true]);
    receive(3_000);
    const before = measure();
    receive(20 * 3_600);
    const grown = measure() - before;
    expect(rooms.map(({ room }) => room.messages.length)).to.deep.equal([1_000, 1_000]);
    expect(window.messages).to.have.length(99);
    expect(grown).to.be.below(3);
  });
});
