import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { createRoomRights, createVersionedRights } from '../../../../src/core/log/rights-cache.ts';
import type { RoomLog } from '../../../../src/core/log/room-log.ts';
import { createPositionQueue, mergeWrites } from '../../../../src/features/reads/position-queue.ts';
import type { PositionWrite } from '../../../../src/features/reads/write-positions.ts';

const user = randomUUID();

const toWrite = (more: Partial<PositionWrite>): PositionWrite => ({
  ...{ room_id: 1, user, entity: null, level: 0, seq: null, force: false, isQuiet: false, muted: null, hidden: null },
  ...more,
});

const actor = { user, entity: null, level: 0, mayCreateRooms: false };
const date = '2026-01-01T00:00:00.000Z';
const room = {
  ...{ id: 1, uuid: user, name: 'a room', type: 'group' as const, level_admin: 100, user_owner: randomUUID() },
  ...{ entity_owner: null, max_entity_rules: 10, last_seq: 0, createdAt: date, updatedAt: date },
};
const grant = (permissions: string) => ({
  ...{ entity_UUID: user, kind: 'user' as const, permissions, level: 0, accepted: null },
});

/** A store that answers batches one by one, when the test allows it. */
function setUp({ maxQueued = 100, maxBatch = 3 } = {}) {
  type Batch = { rooms: number[]; seqs: (number | null)[]; rightsRevs: number[] | null; answer(error?: Error): void };
  const batches: Batch[] = [];
  /** The rules and their version in the database. The cache keeps what it has read first. */
  const database = { permissions: 'r', rightsRev: 0 };
  const readRights = () =>
    createVersionedRights(createRoomRights(room, [grant(database.permissions)]), database.rightsRev);
  let cached: ReturnType<typeof readRights> | undefined;
  const store = {
    query: <Row>(_statement: unknown, [rooms, , , , seqs, , , , , revs]: unknown[]) =>
      new Promise<Row[]>((resolve, reject) => {
        const rightsRevs = revs as number[] | null;
        const answer = (error?: Error) => {
          if (error) return reject(error);
          if (rightsRevs?.some((rev) => rev !== database.rightsRev)) return resolve([]);
          const row = { receipt_seq: null, muted: false, hidden: false, unread: 0, unread_mentions: 0 };
          const flags = { hasChanged: true, hasReceipts: false };
          const known = (rooms as number[]).map((room, n) => ({ room, ord: n + 1 })).filter(({ room }) => room !== 404);
          const toRow = ({ ord }: { ord: number }) => ({
            ...{ ord, read_seq: (seqs as number[])[ord - 1], version: 1, ...row, ...flags },
          });
          resolve(known.map(toRow) as Row[]);
        };
        batches.push({ rooms: rooms as number[], seqs: seqs as (number | null)[], rightsRevs, answer });
      }),
  };
  const written: number[] = [];
  const counts = { committed: 0, merged: 0 };
  const queue = createPositionQueue(
    {
      store,
      log: {
        snapshot: async (id: number) => (id === 404 ? undefined : { room, rules: [grant(database.permissions)] }),
      } as unknown as RoomLog,
      rights: {
        async load(rooms) {
          cached ??= readRights();
          const found = cached;
          return new Map(rooms.filter((id) => id !== 404).map((id) => [id, found]));
        },
        invalidate() {
          cached = undefined;
        },
      },
      onWritten: ({ room_id }) => void written.push(room_id),
      events: {
        committed(positions) {
          counts.committed += positions;
        },
        merged() {
          counts.merged += 1;
        },
      },
    },
    { maxQueued, maxBatch },
  );
  const nextBatch = async (n: number) => {
    while (batches.length <= n) await new Promise((resolve) => setImmediate(resolve));
    return batches[n]!;
  };
  const enqueue = (given: PositionWrite) => queue.write(given, actor);
  return { write: enqueue, nextBatch, written, counts, database };
}

const conflict = () => Object.assign(new Error('deadlock detected'), { code: '40P01', severity: 'ERROR' });

describe('The queue of read positions', () => {
  const merges: [title: string, first: Partial<PositionWrite>, second: Partial<PositionWrite>, both: object][] = [
    ['two marks', { seq: 5 }, { seq: 3 }, { seq: 5, force: false }],
    ['a mark and a forced one', { seq: 5 }, { seq: 3, force: true }, { seq: 3, force: true }],
    ['a forced mark and a later one', { seq: 3, force: true }, { seq: 5 }, { seq: 5, force: true }],
    ['a forced mark and an earlier one', { seq: 3, force: true }, { seq: 1 }, { seq: 3, force: true }],
    ['a mark and a setting', { seq: 5 }, { muted: true }, { seq: 5, force: false, muted: true, hidden: null }],
    ['two settings', { muted: true, hidden: true }, { muted: false }, { seq: null, muted: false, hidden: true }],
  ];
  for (const [title, first, second, both] of merges) {
    it(`merges ${title} into the write that has the effect of both`, () => {
      expect(mergeWrites(toWrite(first), toWrite(second))).to.include(both);
    });
  }

  it('does not merge a mark that others may see with one that they may not, or those of two organisations', () => {
    expect(mergeWrites(toWrite({ seq: 5, isQuiet: true }), toWrite({ seq: 6 }))).to.equal(undefined);
    expect(mergeWrites(toWrite({ seq: 5 }), toWrite({ seq: 6, entity: randomUUID() }))).to.equal(undefined);
    expect(mergeWrites(toWrite({ seq: 5 }), toWrite({ seq: 6, level: 1 }))).to.equal(undefined);
  });

  it('stores one write for each user and room in a batch, and answers all requests', async () => {
    const { write, nextBatch, written, counts } = setUp();
    const answers = [1, 7, 4].map((seq) => write(toWrite({ seq })));
    answers.push(write(toWrite({ room_id: 2, seq: 2 })));
    const batch = await nextBatch(0);
    expect(batch).to.deep.include({ rooms: [1, 2], seqs: [7, 2] });
    batch.answer();
    expect((await Promise.all(answers)).map(({ read_seq }) => read_seq)).to.deep.equal([7, 7, 7, 2]);
    expect(written).to.deep.equal([1, 2]);
    expect(counts).to.deep.equal({ committed: 2, merged: 2 });
  });

  it('stores what arrives during a commit in the next batch, and what cannot be merged after it', async () => {
    const { write, nextBatch } = setUp();
    void write(toWrite({ seq: 1 }));
    const first = await nextBatch(0);
    void write(toWrite({ seq: 2, isQuiet: true }));
    void write(toWrite({ seq: 3 }));
    first.answer();
    const second = await nextBatch(1);
    expect(second.seqs).to.deep.equal([2]);
    second.answer();
    expect((await nextBatch(2)).seqs).to.deep.equal([3]);
  });

  it('limits a batch', async () => {
    const { write, nextBatch } = setUp({ maxBatch: 2 });
    for (const room_id of [1, 2, 3]) void write(toWrite({ room_id, seq: 1 }));
    const first = await nextBatch(0);
    expect(first.rooms).to.deep.equal([1, 2]);
    first.answer();
    expect((await nextBatch(1)).rooms).to.deep.equal([3]);
  });

  it('retries a batch after a deadlock, and fails it after another error', async () => {
    const { write, nextBatch } = setUp();
    const answer = write(toWrite({ seq: 1 }));
    (await nextBatch(0)).answer(conflict());
    (await nextBatch(1)).answer();
    expect(await answer).to.include({ read_seq: 1 });
    const failed = write(toWrite({ seq: 2 })).catch((error: Error) => error.message);
    (await nextBatch(2)).answer(new Error('no'));
    expect(await failed).to.equal('no');
  });

  it('rejects with NOT_FOUND for a room that does not exist, and with UNAVAILABLE if it is full', async () => {
    const { write, nextBatch } = setUp({ maxQueued: 2 });
    const rejected = (request: Promise<unknown>) => request.catch(({ code }) => code);
    const missing = rejected(write(toWrite({ room_id: 404, seq: 1 })));
    void write(toWrite({ seq: 1 }));
    expect(await rejected(write(toWrite({ room_id: 3, seq: 1 })))).to.equal('UNAVAILABLE');
    (await nextBatch(0)).answer();
    expect(await missing).to.equal('NOT_FOUND');
  });

  it('authorizes again with the current rules if the cached ones are outdated', async () => {
    const { write, nextBatch, written, database } = setUp();
    const first = write(toWrite({ seq: 1 }));
    (await nextBatch(0)).answer();
    await first;
    database.rightsRev = 5;
    const second = write(toWrite({ seq: 2 }));
    expect((await nextBatch(1)).rightsRevs).to.deep.equal([0]);
    (await nextBatch(1)).answer();
    expect((await nextBatch(2)).rightsRevs).to.equal(null);
    (await nextBatch(2)).answer();
    expect(await second).to.include({ read_seq: 2 });
    const third = write(toWrite({ seq: 3 }));
    expect((await nextBatch(3)).rightsRevs).to.deep.equal([5]);
    (await nextBatch(3)).answer();
    await third;
    database.permissions = 'b';
    database.rightsRev = 6;
    const refused = write(toWrite({ seq: 4 })).catch(({ code }) => code);
    (await nextBatch(4)).answer();
    expect(await refused).to.equal('BANNED');
    expect(written).to.have.length(3);
  });

  it('does not reject a write because of outdated rules', async () => {
    const { write, nextBatch, database } = setUp();
    database.permissions = 'b';
    expect(await write(toWrite({ seq: 1 })).catch(({ code }) => code)).to.equal('BANNED');
    database.permissions = 'r';
    database.rightsRev = 1;
    const allowed = write(toWrite({ seq: 1 }));
    (await nextBatch(0)).answer();
    (await nextBatch(1)).answer();
    expect(await allowed).to.include({ read_seq: 1 });
  });
});
