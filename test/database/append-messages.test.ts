import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { type AppendResult, appendFastPath, type Draft } from '../../src/core/log/append-messages.ts';
import { createRoomLog, type RoomLog } from '../../src/core/log/room-log.ts';
import { openPostgres } from '../../src/database/open-store.ts';
import type { Store } from '../../src/database/store.ts';
import { databaseSession, lockRoom } from '../helpers/database-session.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { describeEveryStore, insertRoom, openPostgresStore, toQuery } from '../helpers/stores.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const upTo = (last: number) => Array.from({ length: last }, (_, n) => n + 1);
/** A room without rules, last changed `ago` seconds ago, and drafts of messages in it. */
async function newRoom(store: Store, ago = 60) {
  const id = await insertRoom(store, ago);
  return { id, drafts: (...contents: string[]) => contents.map((content) => draftIn(id, { content })) };
}

const emitter = randomUUID();

/** The newest page of a room, as `emitter` reads it. */
const newestPage = (room_id: number) => ({
  ...{ room_id, user: emitter, split: Number.MAX_SAFE_INTEGER, maxOlder: 10, maxNewer: 0 },
  ...{ dateFrom: null, dateTo: null, thread: null, topLevel: false, tombstones: true },
});

function draftIn(room_id: number, more: Partial<Draft> = {}): Draft {
  return { room_id, emitter, content: 'hello', client_msg_id: null, isAllowed: true, rightsRev: 0, ...more };
}

/** Retries the messages of busy rooms, as the send queue does. */
async function appendAll(log: RoomLog, drafts: Draft[]): Promise<AppendResult[]> {
  const answers = await log.append(drafts);
  const isBusy = (_draft: Draft, n: number) => answers[n]!.outcome === 'busy';
  const again = drafts.filter(isBusy);
  return again.length === 0
    ? answers
    : [...answers.filter(({ outcome }) => outcome !== 'busy'), ...(await appendAll(log, again))];
}

interface Kept {
  seq: number;
  rev: number;
  at: number;
  content: string;
}

/** The messages of a room in the order of their seq, and the stored position of the room. */
async function keptIn(store: Store, id: number): Promise<{ messages: Kept[]; last_seq: number; last_rev: number }> {
  const messages = await store.query<Kept>(
    toQuery(`select seq::float8 as seq, rev::float8 as rev, (extract(epoch from created_at) * 1000)::float8 as at, content
      from messages where room_id = $1::bigint order by seq`),
    [id],
  );
  const [head] = await store.query<{ last_seq: number; last_rev: number }>(
    toQuery('select last_seq::float8 as last_seq, last_rev::float8 as last_rev from rooms where id = $1::bigint'),
    [id],
  );
  return { messages, ...head! };
}

/** `seq` and `rev` from 1 on without gaps, and times that never decrease. */
async function expectWhole(store: Store, id: number, count: number): Promise<Kept[]> {
  const { messages, last_seq, last_rev } = await keptIn(store, id);
  expect(messages.map(({ seq }) => seq)).to.deep.equal(upTo(count));
  expect(messages.map(({ rev }) => rev)).to.deep.equal(upTo(count));
  expect({ last_seq, last_rev }).to.deep.equal({ last_seq: count, last_rev: count });
  const times = messages.map(({ at }) => at);
  expect(times).to.deep.equal([...times].sort((a, b) => a - b));
  return messages;
}

/** Short outcomes: `stored 3` is a message that is the third of its room. */
function outcomesOf(answers: readonly AppendResult[]): string[] {
  return answers.map((answer) => {
    return 'change' in answer ? `${answer.outcome} ${answer.change.message.seq}` : answer.outcome;
  });
}

describeEveryStore('A batch of messages', (openedStore) => {
  let store: Store;
  let log: RoomLog;
  before(() => {
    store = openedStore();
    log = createRoomLog(store);
  });

  it('stores a batch of messages in order and returns the stored messages', async () => {
    // The clock of the second room is ahead: each room has its own time.
    const [one, two] = [await newRoom(store), await newRoom(store, -600)];
    const drafts = [
      draftIn(two.id, { content: 'b1', client_msg_id: 'mine' }),
      draftIn(one.id, { content: 'a1 "\\ \'; € \u{1f600}', emitter: randomUUID() }),
      draftIn(two.id, { content: 'b2', client_msg_id: 'yours' }),
      draftIn(one.id, { content: '' }),
      draftIn(two.id, { content: 'b3' }),
    ];
    const changes = (await appendFastPath(store, drafts))!;
    expect(changes.map(({ message }) => message.seq)).to.deep.equal([1, 1, 2, 2, 3]);
    for (const [n, { kind, room_id, rev, at, message }] of changes.entries()) {
      const { emitter, content, client_msg_id } = drafts[n]!;
      expect({ kind, room_id, rev }).to.deep.equal({
        kind: 'message',
        room_id: drafts[n]!.room_id,
        rev: message.seq,
      });
      expect(message).to.deep.include({ room_id, emitter, content, client_msg_id });
      expect([message.createdAt, message.updatedAt].map(Date.parse)).to.deep.equal([at, at]);
      expect(at - (room_id === two.id ? 600_000 : 0)).to.be.closeTo(Date.now(), 60_000);
    }
    expect(new Set(changes.map(({ message }) => message.id)).size).to.equal(5);
    for (const { id } of [one, two]) {
      const own = changes.filter(({ room_id }) => room_id === id);
      expect((await log.history(newestPage(id)))?.older.messages.toReversed()).to.deep.equal(own);
    }
    await expectWhole(store, two.id, 3);
  });

  it('continues the numbers of the previous batch of messages, even if many batches are stored at once', async () => {
    const rooms = [await newRoom(store), await newRoom(store), await newRoom(store)];
    const batches = upTo(20).map((batch) =>
      // Each batch has another order of the rooms, but locks them in the same order.
      upTo(12).map((n) => draftIn(rooms[(n * batch + n) % 3]!.id, { content: `${batch}/${n}` })),
    );
    const answers = (await Promise.all(batches.map((drafts) => appendAll(log, drafts)))).flat();
    expect(answers.filter(({ outcome }) => outcome !== 'stored')).to.deep.equal([]);
    for (const { id } of rooms) {
      const drafts = batches.flat().filter(({ room_id }) => room_id === id);
      const messages = await expectWhole(store, id, drafts.length);
      expect(messages.map(({ content }) => content)).to.have.members(drafts.map(({ content }) => content));
      for (const answer of answers) {
        if (!('change' in answer) || answer.change.room_id !== id) continue;
        const { seq, content } = answer.change.message;
        expect(messages[seq - 1]!.content).to.equal(content);
      }
    }
  });

  /** The outcome of each special message in a batch with two ordinary messages. */
  const special: [title: string, draft: Partial<Draft>, outcome: string, isInRoom?: boolean][] = [
    ['that its sender may not write', { isAllowed: false }, 'refused'],
    ['authorized by outdated rights', { rightsRev: -1 }, 'stale'],
    ['refused by outdated rights', { isAllowed: false, rightsRev: -1 }, 'stale'],
    ['in a deleted room', { room_id: 987_654_321 }, 'gone'],
    ['that its sender may not write in a deleted room', { room_id: 987_654_321, isAllowed: false }, 'gone'],
    ['that is a duplicate', { client_msg_id: 'known' }, 'duplicate 1'],
    [
      'that is a duplicate of a sender who may no longer write',
      { client_msg_id: 'known', isAllowed: false },
      'duplicate 1',
    ],
    ['that is a duplicate, authorized by outdated rights', { client_msg_id: 'known', rightsRev: -1 }, 'duplicate 1'],
  ];
  for (const [title, draft, outcome] of special) {
    it(`answers ‘${outcome}’ for a message ${title}, and stores the other messages of the batch`, async () => {
      const [room, other] = [await newRoom(store), await newRoom(store)];
      const known = { content: 'the first', client_msg_id: 'known' };
      expect(outcomesOf(await log.append([draftIn(room.id, known)]))).to.deep.equal(['stored 1']);
      const answers = await log.append([
        ...other.drafts('a'),
        ...room.drafts('b'),
        draftIn(room.id, { content: 'the special one', ...draft }),
        ...room.drafts('c'),
        // Another user's message with the same client_msg_id is not a duplicate.
        draftIn(room.id, { content: 'd', client_msg_id: 'known', emitter: randomUUID() }),
        ...other.drafts('e'),
      ]);
      expect(outcomesOf(answers)).to.deep.equal(['stored 1', 'stored 2', outcome, 'stored 3', 'stored 4', 'stored 2']);
      if ('change' in answers[2]!) expect(answers[2].change.message).to.include(known);
      const messages = await expectWhole(store, room.id, 4);
      expect(messages.map(({ content }) => content)).to.deep.equal(['the first', 'b', 'c', 'd']);
      await expectWhole(store, other.id, 2);
    });
  }

  it('stores nothing if all messages of a batch are refused or their rooms are deleted', async () => {
    const room = await newRoom(store);
    const refused = upTo(3).map(() => draftIn(room.id, { isAllowed: false }));
    expect(outcomesOf(await log.append(refused))).to.deep.equal(Array(3).fill('refused'));
    const gone = upTo(3).map((n) => draftIn(987_654_321 + n));
    expect(outcomesOf(await log.append(gone))).to.deep.equal(Array(3).fill('gone'));
    await expectWhole(store, room.id, 0);
  });

  it('authorizes each message of a batch by the rights of its room', async () => {
    const [one, two] = [await newRoom(store), await newRoom(store)];
    await store.query(toQuery('update rooms set rights_rev = 5 where id = $1::bigint'), [two.id]);
    const at = (rightsRev: number, room: { id: number }) => draftIn(room.id, { rightsRev });
    expect(outcomesOf(await log.append([at(5, two), at(0, one)]))).to.deep.equal(['stored 1', 'stored 1']);
    expect(outcomesOf(await log.append([at(0, two), at(5, one)]))).to.deep.equal(['stale', 'stale']);
    expect(outcomesOf(await log.append([at(4, two), at(0, one), at(5, two)]))).to.deep.equal([
      'stale',
      'stored 2',
      'stored 2',
    ]);
    await expectWhole(store, one.id, 2);
  });

  it('stores a batch by the fast path as a whole or not at all', async () => {
    const room = await newRoom(store);
    await log.append([draftIn(room.id, { client_msg_id: 'known' })]);
    for (const draft of [{ client_msg_id: 'known' }, { rightsRev: 1 }, { room_id: 987_654_321 }]) {
      expect(await appendFastPath(store, [draftIn(room.id), draftIn(room.id, draft)])).to.equal(undefined);
      await expectWhole(store, room.id, 1);
    }
    // These only look like duplicates: another user's message, or another room.
    const alike = [{ emitter: randomUUID() }, { room_id: (await newRoom(store)).id }];
    for (const draft of alike) {
      const changes = await appendFastPath(store, [draftIn(room.id, { client_msg_id: 'known', ...draft })]);
      expect(changes).to.have.lengthOf(1);
    }
  });

  it('fails for the whole batch if the database rejects a value', async () => {
    const room = await newRoom(store);
    const error = await log.append(room.drafts('a', 'b\0', 'c')).catch((thrown: Error) => thrown);
    expect(error).to.be.an.instanceOf(Error);
    await expectWhole(store, room.id, 0);
    expect(outcomesOf(await log.append(room.drafts('a', 'c')))).to.deep.equal(['stored 1', 'stored 2']);
  });

  it('never dates a message before the previous one, on either path and with any clock', async () => {
    const room = await newRoom(store, -3_600);
    const ahead = Date.now() + 3_000_000;
    for (const draft of [{}, { client_msg_id: 'known' }, { client_msg_id: 'known' }, { rightsRev: -1 }, {}]) {
      const answers = await log.append([draftIn(room.id), draftIn(room.id, draft)]);
      for (const answer of answers) if ('change' in answer) expect(answer.change.at).to.be.above(ahead);
    }
    const messages = await expectWhole(store, room.id, 8);
    expect(new Set(messages.map(({ at }) => at)).size).to.equal(1);
  });

  it('answers "gone" for a deleted room, also for a retried message whose row is not removed yet, and stores the others', async () => {
    const [room, other] = [await newRoom(store), await newRoom(store)];
    const known = draftIn(room.id, { client_msg_id: 'known' });
    await log.append([known, ...other.drafts('a')]);
    await store.query(toQuery('delete from rooms where id = $1::bigint'), [room.id]);
    expect((await keptIn(store, room.id)).messages).to.have.length(1);
    expect(outcomesOf(await log.append([known, ...room.drafts('b'), ...other.drafts('c')]))).to.deep.equal([
      ...['gone', 'gone', 'stored 2'],
    ]);
    await expectWhole(store, other.id, 2);
  });

  it('keeps the order of a batch at the maximum batch size of the queue', async () => {
    const rooms = [await newRoom(store), await newRoom(store)];
    const drafts = upTo(1_000).map((n) => draftIn(rooms[n % 2]!.id, { content: `${n}`, client_msg_id: `${n}` }));
    expect(new Set((await log.append(drafts)).map(({ outcome }) => outcome))).to.deep.equal(new Set(['stored']));
    for (const { id } of rooms) {
      const messages = await expectWhole(store, id, 500);
      const own = drafts.filter(({ room_id }) => room_id === id).map(({ content }) => content);
      expect(messages.map(({ content }) => content)).to.deep.equal(own);
    }
  });
});

describe('A batch of messages in a database with concurrent transactions', () => {
  let url: string;
  let store: Store;
  before(async function () {
    this.timeout(300_000);
    url = await freshDatabase();
    store = await openPostgresStore(url);
  });

  it('reports a locked room as busy, and stores the messages of the other rooms', async () => {
    const log = createRoomLog(store);
    const [before, room, after] = [await newRoom(store), await newRoom(store), await newRoom(store)];
    const session = await databaseSession(url);
    await lockRoom(session, room);
    const batch = [after, room, before, room].flatMap(({ drafts }) => drafts('x'));
    expect(outcomesOf(await log.append(batch))).to.deep.equal(['stored 1', 'busy', 'stored 1', 'busy']);
    await session.query('commit');
    expect(outcomesOf(await log.append(batch))).to.deep.equal(['stored 2', 'stored 1', 'stored 2', 'stored 2']);
    for (const { id } of [before, room, after]) await expectWhole(store, id, 2);
  });

  it('locks the rooms of a batch in the order of their ids, so that two batches never deadlock', async () => {
    const [low, high] = [await newRoom(store), await newRoom(store)];
    const [session, watcher] = [await databaseSession(url), await databaseSession(url)];
    // It would give up after milliseconds, possibly before this test looks at the locks.
    const [patient, usual] = ['10s', '50ms'].map(
      (time) => `alter function append_straight set lock_timeout = '${time}'`,
    );
    await session.query(patient!);
    await lockRoom(session, high);
    const stored = appendFastPath(store, [draftIn(high.id), draftIn(low.id)]);
    await waitUntil('the batch waits for the higher one', () => isWaiting(watcher));
    const free = await watcher.query('select 1 from rooms where id = $1 for update skip locked', [low.id]);
    expect(free.rowCount, 'the lower one is locked').to.equal(0);
    await session.query('commit');
    expect(await stored).to.have.length(2);
    await session.query(usual!);
  });

  it('releases all locks if a batch fails', async () => {
    const [room, gone] = [await newRoom(store), 987_654_321];
    expect(await appendFastPath(store, [draftIn(room.id), draftIn(gone)])).to.equal(undefined);
    const session = await databaseSession(url);
    await session.query('begin');
    await session.query('select 1 from rooms where id = $1 for update nowait', [room.id]);
    await session.query('rollback');
  });

  for (const [what, change, outcomes] of [
    ['whose rights change', 'update rooms set rights_rev = rights_rev + 1 where id = $1', ['stale', 'busy']],
    ['that is deleted', 'delete from rooms where id = $1', ['gone', 'busy']],
  ] as const) {
    it(`stores nothing in a room ${what} while the batch waits for the lock`, async () => {
      const log = createRoomLog(store);
      const session = await databaseSession(url);
      const watcher = await databaseSession(url);
      for (let tries = 0; tries < 5; tries++) {
        const room = await newRoom(store);
        await session.query('begin');
        await session.query(change, [room.id]);
        const answers = log.append(room.drafts('a', 'b'));
        await waiting(watcher);
        await session.query('commit');
        for (const { outcome } of await answers) expect(outcome).to.be.oneOf([...outcomes]);
        expect((await keptIn(store, room.id)).messages).to.deep.equal([]);
        expect(outcomesOf(await log.append(room.drafts('c', 'd')))).to.deep.equal(Array(2).fill(outcomes[0]));
      }
    });
  }

  async function isWaiting(watcher: Awaited<ReturnType<typeof databaseSession>>): Promise<boolean> {
    const sessions = `select from pg_stat_activity where application_name = 'nano-messaging'
      and datname = current_database() and wait_event_type = 'Lock'`;
    return (await watcher.query(sessions)).rowCount !== 0;
  }

  /** Resolves when a node waits for a lock or has just given up. */
  async function waiting(watcher: Awaited<ReturnType<typeof databaseSession>>): Promise<void> {
    const from = performance.now();
    while (performance.now() - from < 100 && !(await isWaiting(watcher)));
  }

  it('uses the indexes even if the tables have grown by thousands of rows without ANALYZE', async () => {
    const databaseUrl = await freshDatabase();
    const own = await openPostgres({ databaseUrl, poolSize: 1, statementTimeoutMs: 10_000 });
    const session = await databaseSession(databaseUrl);
    // During this test, only the writes may scan the tables.
    for (const table of ['messages', 'rooms']) {
      await session.query(`alter table ${table} set (autovacuum_enabled = off)`);
    }
    const log = createRoomLog(own);
    const rooms: number[] = [];
    while (rooms.length < 30) rooms.push((await newRoom(own)).id);
    const commits = 300;
    let repeated = 0;
    for (let n = 0; n < commits; n++) {
      const room = rooms[n % rooms.length]!;
      const drafts = upTo(10).map((i) => draftIn(room, { client_msg_id: `${n} ${i}` }));
      // Each third batch leaves the fast path, because it contains a duplicate.
      const again = n % 3 === 1 && n > rooms.length ? [draftIn(room, { client_msg_id: `${n - rooms.length} 1` })] : [];
      const outcomes = outcomesOf(await log.append([...drafts, ...again]));
      repeated += outcomes.filter((outcome) => outcome.startsWith('duplicate')).length;
    }
    expect(repeated).to.equal(90);
    // A session reports its statistics when it ends.
    await own.close();
    await waitUntil('what was read is known', async () => (await figures('messages')).written >= commits * 10);
    const [messages, roomsRead] = [await figures('messages'), await figures('rooms')];
    expect(messages.fromIndex, 'read by the keys').to.be.at.least(repeated);
    expect(messages.scanned, 'messages read one after the other').to.be.below(100);
    expect(roomsRead.scanned, 'rooms read one after the other').to.be.below(100);

    async function figures(table: string) {
      const { rows } = await session.query(
        `select n_tup_ins::int as written, seq_tup_read::int as scanned, idx_tup_fetch::int as "fromIndex"
          from pg_stat_user_tables where relname = $1`,
        [table],
      );
      return rows[0] as { written: number; scanned: number; fromIndex: number };
    }
  });
});
