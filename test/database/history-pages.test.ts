import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { createRightsCache } from '../../src/core/log/rights-cache.ts';
import { createRoomLog } from '../../src/core/log/room-log.ts';
import type { Store } from '../../src/database/store.ts';
import type { AppContext } from '../../src/features/app-context.ts';
import { type HistoryPage, type PageQuery, readHistory, readMessages } from '../../src/features/messages/history.ts';
import { describeEveryStore, insertRoom } from '../helpers/stores.ts';

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const actor = { user: randomUUID(), entity: null, level: 0, mayCreateRooms: false };
const toSeqs = ({ messages }: { messages: { message: { seq: number } }[] }) =>
  messages.map(({ message }) => message.seq);

describeEveryStore('A page of history', (openedStore) => {
  let store: Store;
  let context: AppContext;

  before(() => {
    store = openedStore();
    const concurrentReads = { run: <T>(_user: string, read: () => Promise<T>) => read() };
    const log = createRoomLog(store);
    context = { log, rights: createRightsCache(log), concurrentReads } as unknown as AppContext;
  });

  const run = (text: string) => store.query({ name: `test ${randomUUID()}`, text }, []);

  /**
   * Creates a room that the actor may read, with `count` messages. `thread` and `isDeleted` are SQL expressions with `n`
   * for the `seq`.
   */
  async function createRoom(count: number, { thread = 'null', isDeleted = 'false', content = `'text ' || n` } = {}) {
    const id = await insertRoom(store);
    await run(`insert into permission_rules (room_id, grantee, kind, permissions, level, created_at, updated_at)
      values (${id}, '${actor.user}', 'user', 'r', 0, now(), now())`);
    await run(`insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at, thread, deleted_at, version)
      select ${id}, n, n, '${actor.user}', ${content}, to_timestamp(n), to_timestamp(n), ${thread},
        case when ${isDeleted} then now() end, case when ${isDeleted} then n end from generate_series(1, ${count}) n`);
    await run(`insert into thread_messages select room_id, thread, seq from messages
      where room_id = ${id} and thread is not null`);
    await run(`update rooms set last_seq = ${count}, last_rev = ${count} where id = ${id}`);
    return id;
  }

  const read = (room: number, query: Partial<PageQuery>) =>
    readHistory(context, actor, room, { limit: 100, tombstones: false, ...query });

  /** Follows `next` to the end. Returns every `seq` in ascending order, and the pages. */
  async function readAll(room: number, first: Partial<PageQuery>) {
    const pages: HistoryPage[] = [];
    let query = first;
    for (let page = await read(room, query); ; page = await read(room, query)) {
      pages.push(page);
      expect(page.has_more).to.equal(page.next !== null);
      if (!page.next) break;
      query = { ...first, before: undefined, after: undefined, around: undefined, ...page.next };
      if (page.next.before !== undefined && page.next.after !== undefined) throw new Error('two directions');
    }
    const ordered = first.after === undefined ? pages.toReversed() : pages;
    return { seqs: ordered.flatMap(toSeqs), pages };
  }

  const isThird = (seq: number) => seq % 3 === 0;
  const cases: [title: string, filter: Partial<PageQuery>, expected: (seq: number) => boolean][] = [
    ['without a filter', { tombstones: true }, () => true],
    ['without deleted messages', {}, (seq) => !isThird(seq)],
    ['without replies', { top_level: true, tombstones: true }, (seq) => seq % 5 !== 0],
    ['without replies and deleted messages', { top_level: true }, (seq) => seq % 5 !== 0 && !isThird(seq)],
    ['of a thread', { thread: 1, tombstones: true }, (seq) => seq % 5 === 0],
    ['of a thread without deleted messages', { thread: 1 }, (seq) => seq % 5 === 0 && !isThird(seq)],
    ['of a thread that nobody has begun', { thread: 2 }, () => false],
  ];
  for (const [title, filter, isExpected] of cases) {
    it(`leads a client through the whole history ${title}, backwards, forwards and around every message`, async () => {
      const room = await createRoom(60, { thread: 'case when n % 5 = 0 then 1 end', isDeleted: 'n % 3 = 0' });
      const expected = range(1, 60).filter(isExpected);
      for (const limit of [1, 7, 500]) {
        expect((await readAll(room, { ...filter, limit })).seqs).to.deep.equal(expected);
        expect((await readAll(room, { ...filter, limit, after: 0 })).seqs).to.deep.equal(expected);
      }
      for (const around of [0, 1, 5, 30, 60, 100]) {
        const page = await read(room, { ...filter, limit: 7, around });
        const older = await rest(room, filter, page.next?.before, 'before');
        const newer = await rest(room, filter, page.next?.after, 'after');
        expect([...older, ...toSeqs(page), ...newer], `around ${around}`).to.deep.equal(expected);
        expect(toSeqs(page)).to.have.length(Math.min(7, expected.length));
      }
    });
  }

  async function rest(
    room: number,
    filter: Partial<PageQuery>,
    end: number | undefined,
    direction: 'before' | 'after',
  ) {
    if (end === undefined) return [];
    return (await readAll(room, { ...filter, limit: 7, [direction]: end })).seqs;
  }

  it('looks at 2,000 messages at most, and continues behind them', async () => {
    const room = await createRoom(5_000, { thread: 'case when n > 10 and n < 4990 then 1 end' });
    const { seqs, pages } = await readAll(room, { top_level: true, limit: 20 });
    expect(seqs).to.deep.equal([...range(1, 10), ...range(4_990, 5_000)]);
    expect(pages.map(toSeqs).map(({ length }) => length)).to.deep.equal([11, 0, 10]);
    expect(pages.map(({ next }) => next)).to.deep.equal([{ before: 3_001 }, { before: 1_001 }, null]);
    const forwards = await readAll(room, { top_level: true, limit: 20, after: 0 });
    expect(forwards.seqs).to.deep.equal(seqs);
    expect(forwards.pages.map(({ next }) => next)).to.deep.equal([{ after: 2_000 }, { after: 4_000 }, null]);
    const around = await read(room, { top_level: true, around: 2_500 });
    expect(around.next).to.deep.equal({ before: 1_500, after: 3_499 });
  });

  it('looks at 2,000 replies of a thread at most, of which the deleted ones are left out', async () => {
    const room = await createRoom(4_500, { thread: 'case when n > 1 then 1 end', isDeleted: 'n > 3 and n < 4499' });
    for (const after of [undefined, 0]) {
      const { seqs, pages } = await readAll(room, { thread: 1, after });
      expect(seqs).to.deep.equal([2, 3, 4_499, 4_500]);
      expect(pages).to.have.length(3);
    }
  });

  it('holds at least one message, even if that is larger than a page, and leads to the next', async () => {
    const room = await createRoom(4, { content: `repeat('x', case when n = 2 then 10 else 300000 end)` });
    const { pages } = await readAll(room, {});
    expect(pages.map(toSeqs)).to.deep.equal([[4], [3], [2], [1]]);
    const around = await read(room, { around: 2 });
    expect([toSeqs(around), around.next]).to.deep.equal([[2], { before: 2, after: 2 }]);
  });

  it('keeps to the dates, and to the messages of its head', async () => {
    const room = await createRoom(30, { isDeleted: 'n % 2 = 0' });
    const { seqs } = await readAll(room, { dateFrom: 5_000, dateTo: 20_000, limit: 3 });
    expect(seqs).to.deep.equal(range(5, 20).filter((seq) => seq % 2 === 1));
    const page = await read(room, { dateTo: 99_000 });
    expect(page.head).to.include({ rev: 30 });
  });

  it('reads single messages with tombstones, and lists those that the room does not have and those that do not fit', async () => {
    const room = await createRoom(5, { isDeleted: 'n = 2' });
    const found = await readMessages(context, actor, room, [2, 9, 1, 2, 6]);
    expect(toSeqs(found)).to.deep.equal([1, 2]);
    expect(found).to.deep.include({ missing: [9, 6], has_more: false, next: null });
    expect((await readMessages(context, actor, room, [7])).missing).to.deep.equal([7]);
    const large = await createRoom(5, { content: `repeat('x', 200000)` });
    const part = await readMessages(context, actor, large, [5, 3, 4, 8]);
    expect(toSeqs(part)).to.deep.equal([3]);
    expect(part).to.deep.include({ missing: [8], has_more: true, next: { seqs: [4, 5] } });
  });
});
