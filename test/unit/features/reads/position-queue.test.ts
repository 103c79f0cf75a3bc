import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { createPositionQueue, mergeWrites } from '../../../../src/features/reads/position-queue.ts';
import type { PositionWrite } from '../../../../src/features/reads/write-positions.ts';

const user = randomUUID();

const write = (more: Partial<PositionWrite>): PositionWrite => ({
  ...{ room_id: 1, user, entity: null, level: 0, seq: null, force: false, isQuiet: false, muted: null, hidden: null },
  ...more,
});

/** A store that answers batches one by one, when the test allows it. */
function setUp({ maxQueued = 100, maxBatch = 3 } = {}) {
  const batches: { rooms: number[]; seqs: (number | null)[]; answer(error?: Error): void }[] = [];
  const store = {
    query: <Row>(_statement: unknown, [rooms, , , , seqs]: unknown[]) =>
      new Promise<Row[]>((resolve, reject) => {
        const answer = (error?: Error) => {
          if (error) return reject(error);
          const row = { receipt_seq: null, muted: false, hidden: false, unread: 0, unread_mentions: 0 };
          const flags = { hasChanged: true, hasReceipts: false };
          const known = (rooms as number[]).map((room, n) => ({ room, ord: n + 1 })).filter(({ room }) => room !== 404);
          const toRow = ({ ord }: { ord: number }) => ({
            ...{ ord, read_seq: (seqs as number[])[ord - 1], version: 1, ...row, ...flags },
          });
          resolve(known.map(toRow) as Row[]);
        };
        batches.push({ rooms: rooms as number[], seqs: seqs as (number | null)[], answer });
      }),
  };
  const written: number[] = [];
  const counts = { committed: 0, merged: 0 };
  const queue = createPositionQueue(
    {
      store,
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
  return { queue, nextBatch, written, counts };
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
      expect(mergeWrites(write(first), write(second))).to.include(both);
    });
  }

  it('does not merge a mark that others may see with one that they may not, or those of two organisations', () => {
    expect(mergeWrites(write({ seq: 5, isQuiet: true }), write({ seq: 6 }))).to.equal(undefined);
    expect(mergeWrites(write({ seq: 5 }), write({ seq: 6, entity: randomUUID() }))).to.equal(undefined);
    expect(mergeWrites(write({ seq: 5 }), write({ seq: 6, level: 1 }))).to.equal(undefined);
  });

  it('stores one write for each user and room in a batch, and answers all requests', async () => {
    const { queue, nextBatch, written, counts } = setUp();
    const answers = [1, 7, 4].map((seq) => queue.write(write({ seq })));
    answers.push(queue.write(write({ room_id: 2, seq: 2 })));
    const batch = await nextBatch(0);
    expect(batch).to.deep.include({ rooms: [1, 2], seqs: [7, 2] });
    batch.answer();
    expect((await Promise.all(answers)).map(({ read_seq }) => read_seq)).to.deep.equal([7, 7, 7, 2]);
    expect(written).to.deep.equal([1, 2]);
    expect(counts).to.deep.equal({ committed: 2, merged: 2 });
  });

  it('stores what arrives during a commit in the next batch, and what cannot be merged after it', async () => {
    const { queue, nextBatch } = setUp();
    void queue.write(write({ seq: 1 }));
    const first = await nextBatch(0);
    void queue.write(write({ seq: 2, isQuiet: true }));
    void queue.write(write({ seq: 3 }));
    first.answer();
    const second = await nextBatch(1);
    expect(second.seqs).to.deep.equal([2]);
    second.answer();
    expect((await nextBatch(2)).seqs).to.deep.equal([3]);
  });

  it('limits a batch', async () => {
    const { queue, nextBatch } = setUp({ maxBatch: 2 });
    for (const room_id of [1, 2, 3]) void queue.write(write({ room_id, seq: 1 }));
    const first = await nextBatch(0);
    expect(first.rooms).to.deep.equal([1, 2]);
    first.answer();
    expect((await nextBatch(1)).rooms).to.deep.equal([3]);
  });

  it('retries a batch after a deadlock, and fails it after another error', async () => {
    const { queue, nextBatch } = setUp();
    const answer = queue.write(write({ seq: 1 }));
    (await nextBatch(0)).answer(conflict());
    (await nextBatch(1)).answer();
    expect(await answer).to.include({ read_seq: 1 });
    const failed = queue.write(write({ seq: 2 })).catch((error: Error) => error.message);
    (await nextBatch(2)).answer(new Error('no'));
    expect(await failed).to.equal('no');
  });

  it('rejects with NOT_FOUND for a room that does not exist, and with UNAVAILABLE if it is full', async () => {
    const { queue, nextBatch } = setUp({ maxQueued: 2 });
    const rejected = (request: Promise<unknown>) => request.catch(({ code }) => code);
    const missing = rejected(queue.write(write({ room_id: 404, seq: 1 })));
    void queue.write(write({ seq: 1 }));
    expect(await rejected(queue.write(write({ room_id: 3, seq: 1 })))).to.equal('UNAVAILABLE');
    (await nextBatch(0)).answer();
    expect(await missing).to.equal('NOT_FOUND');
  });
});
