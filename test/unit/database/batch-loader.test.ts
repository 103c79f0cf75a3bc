import { mock } from 'node:test';
import { expect } from 'chai';
import { createBatchLoader } from '../../../src/database/batch-loader.ts';
import { closeLater } from '../../helpers/cleanup.ts';

/** The time for which a read delays the next. */
const longMs = 30;

/** Creates a fake store. The test ends its reads and advances its clock. Each read returns the data from its start. */
function stage() {
  mock.timers.enable({ apis: ['setTimeout'] });
  closeLater(() => mock.timers.reset());
  const reads: { keys: readonly number[]; answer(): void; fail(error: Error): void }[] = [];
  let version = 0;
  const read = createBatchLoader((keys: readonly number[]) => {
    const found = new Map(keys.filter((key) => key > 0).map((key) => [key, `${key} as of ${version}`]));
    return new Promise<typeof found>((resolve, reject) => {
      reads.push({ keys, answer: () => resolve(found), fail: reject });
    });
  });
  return {
    ...{ read, reads },
    /** The keys of each read. */
    asked: () => reads.map(({ keys }) => keys),
    change: () => void version++,
    pass: (ms: number) => mock.timers.tick(ms),
  };
}

/** The current outcome of a promise. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, new Promise<false>((resolve) => setImmediate(() => resolve(false)))]);
}

describe('The batch loader', () => {
  it('reads the first key at once, and keys requested meanwhile in one batch, each once', async () => {
    const { read, reads, asked } = stage();
    const first = read(1);
    expect(asked()).to.deep.equal([[1]]);
    const others = [2, 3, 2, 1].map((key) => read(key));
    expect(asked()).to.deep.equal([[1]]);
    reads[0]!.answer();
    expect(await first).to.equal('1 as of 0');
    expect(asked()).to.deep.equal([[1], [2, 3, 1]]);
    reads[1]!.answer();
    expect(await Promise.all(others)).to.deep.equal(['2 as of 0', '3 as of 0', '2 as of 0', '1 as of 0']);
    void read(4);
    expect(asked()).to.deep.equal([[1], [2, 3, 1], [4]]);
  });

  it('never answers a request with data from before it', async () => {
    const { read, reads, change } = stage();
    const before = read(1);
    change();
    const after = read(1);
    reads[0]!.answer();
    expect(await before).to.equal('1 as of 0');
    expect(await isSettled(after)).to.equal(false);
    reads[1]!.answer();
    expect(await after).to.equal('1 as of 1');
  });

  it('returns undefined for missing keys, and the values of the others', async () => {
    const { read, reads } = stage();
    const first = read(9);
    const answers = [read(-1), read(1)];
    reads[0]!.answer();
    await first;
    reads[1]!.answer();
    expect(await Promise.all(answers)).to.deep.equal([undefined, '1 as of 0']);
  });

  it('starts a second read soon if a read hangs, and does not mix up their answers', async () => {
    const { read, reads, asked, pass } = stage();
    const hanging = read(1);
    const others = [read(1)];
    pass(longMs - 1);
    others.push(read(2));
    expect(asked()).to.deep.equal([[1]]);
    pass(1);
    expect(asked()).to.deep.equal([[1], [1, 2]]);
    reads[1]!.answer();
    expect(await Promise.all(others)).to.deep.equal(['1 as of 0', '2 as of 0']);
    expect(await isSettled(hanging)).to.equal(false);
    const later = read(3);
    pass(longMs);
    reads[2]!.answer();
    expect(await later).to.equal('3 as of 0');
    reads[0]!.answer();
    expect(await hanging).to.equal('1 as of 0');
  });

  it('measures the wait for each read from its own start', async () => {
    const { read, reads, asked, pass } = stage();
    const first = read(1);
    void read(2);
    pass(longMs - 10);
    reads[0]!.answer();
    await first;
    void read(3);
    pass(longMs - 1);
    expect(asked()).to.deep.equal([[1], [2]]);
    pass(1);
    expect(asked()).to.deep.equal([[1], [2], [3]]);
  });

  it('runs at most three reads at once, and reads further keys after the first of them ends', async () => {
    const { read, reads, asked, pass } = stage();
    const answers = [1, 2, 3, 4].map((key) => {
      const answer = read(key);
      pass(longMs);
      return answer;
    });
    expect(asked()).to.deep.equal([[1], [2], [3]]);
    answers.push(read(5));
    pass(10 * longMs);
    reads[1]!.answer();
    expect(await answers[1]).to.equal('2 as of 0');
    expect(asked()).to.deep.equal([[1], [2], [3], [4, 5]]);
    for (const one of [3, 0, 2]) reads[one]!.answer();
    expect(await Promise.all(answers)).to.deep.equal([1, 2, 3, 4, 5].map((key) => `${key} as of 0`));
  });

  it('runs one read at a time again after a burst, and reads no unrequested keys', async () => {
    const { read, reads, asked, pass } = stage();
    const storm = [read(1), read(2)];
    pass(longMs);
    for (const { answer } of reads) answer();
    await Promise.all(storm);
    const third = read(3);
    const others = [read(4), read(5)];
    expect(asked()).to.deep.equal([[1], [2], [3]]);
    reads[2]!.answer();
    await third;
    expect(asked()).to.deep.equal([[1], [2], [3], [4, 5]]);
    pass(10 * longMs);
    expect(asked()).to.have.lengthOf(4);
    reads[3]!.answer();
    await Promise.all(others);
  });

  it('rejects exactly the requests of a failed read', async () => {
    const { read, reads } = stage();
    const first = read(1);
    const together = [read(2), read(2), read(3)];
    const failure = new Error('the database is away');
    reads[0]!.fail(failure);
    expect(await first.catch((error) => error)).to.equal(failure);
    const later = read(2);
    reads[1]!.fail(failure);
    for (const one of together) expect(await one.catch((error) => error)).to.equal(failure);
    reads[2]!.answer();
    expect(await later).to.equal('2 as of 0');
    const next = read(4);
    reads[3]!.answer();
    expect(await next).to.equal('4 as of 0');
  });

  it('treats a synchronous error like a rejection', async () => {
    let isBroken = true;
    const read = createBatchLoader((keys: readonly number[]) => {
      if (isBroken) throw new Error('a defect');
      return Promise.resolve(new Map(keys.map((key) => [key, key])));
    });
    expect(await read(1).catch((error) => error.message)).to.equal('a defect');
    isBroken = false;
    expect(await read(1)).to.equal(1);
  });
});
