import { expect } from 'chai';
import { Message } from '../../src/core/log/message.ts';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, readRev, sendMessages } from '../helpers/rooms.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const seqs = (content: Json[]): number[] => content.map(({ seq }) => seq);

describeBothDatabases('GET /rooms/:id/messages', ({ url }) => {
  const get = ({ token }: TestUser, room: { id: number }, query = '') =>
    rest(url(), token).get(`/rooms/${room.id}/messages${query}`);

  it('returns an empty array as the history of a new room', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const { status, body } = await get(owner, room);
    expect(status).to.equal(200);
    expect(body.content).to.deep.equal([]);
    expect(body.meta).to.include({ code: 200, message: 'OK', has_more: false });
    expect(body.meta.cursor).to.be.a('string');
  });

  it('returns messages without a date range (the legacy service returned none)', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const said = await sendMessages(url(), owner, room, 'a', 'b');
    const { body } = await get(owner, room);
    expect(body.content).to.deep.equal(said);
    for (const message of body.content) expect(Message.strict().parse(message)).to.deep.equal(message);
  });

  it('accepts a history request with Content-Type: application/json and no body, and with Authorization only', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const path = `/rooms/${room.id}/messages`;
    const asJson = await rest(url(), owner.token).get(path, { 'Content-Type': 'application/json' });
    expect(asJson.status).to.equal(200);
  });

  it('returns the rev and the cursor of the log with the history of a room', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const before = (await get(owner, room)).body.meta;
    await sendMessages(url(), owner, room, 'one');
    const after = (await get(owner, room)).body.meta;
    expect(after.rev).to.equal(before.rev + 1);
    expect(after.cursor).to.not.equal(before.cursor);
    await createMember(url(), owner, room);
    expect(await readRev(url(), owner, room)).to.equal(after.rev + 1);
  });

  it('returns the history of a room to readers only', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    expect((await get(await createMember(url(), owner, room, 'r'), room)).status).to.equal(200);
    expectRefusal(await get(await createMember(url(), owner, room, 'w'), room), 'FORBIDDEN');
    expectRefusal(await get(await createMember(url(), owner, room, 'rwb'), room), 'BANNED');
    expectRefusal(await get(createUser({ level: 100 }), room), 'NOT_FOUND');
  });

  const wrong = {
    limit: ['0', '-1', '501', 'abc', '1.5', '', '1e2'],
    before: ['-1', 'abc', '1.5', ''],
    after: ['-1', 'abc'],
    around: ['-1', 'abc'],
    dateFrom: ['yesterday', '2026-13-01', '2026-02-30', '', '12'],
    dateTo: ['tomorrow', '2026-01-01T25:00:00Z'],
  };
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of values) {
      it(`rejects ${field}=${value} with 400 (the legacy service answered 500)`, async () => {
        const { owner, room } = await createRoomWithOwner(url());
        expectRefusal(await get(owner, room, `?${field}=${value}`), 'BAD_REQUEST', field);
      });
    }
  }

  it('rejects a history request with more than one of before, after and around', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    for (const query of ['?before=3&after=1', '?after=1&around=2', '?around=2&before=3']) {
      expectRefusal(await get(owner, room, query), 'BAD_REQUEST');
    }
  });

  it('answers a history request with a duplicate parameter or an object as a parameter', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    for (const query of ['?limit=1&limit=2', '?before[]=1', '?before[a]=1&after=1']) {
      expect((await get(owner, room, query)).status, query).to.be.oneOf([200, 400]);
    }
  });
});

describeBothDatabases('A history of 250 messages', ({ url }) => {
  let owner: TestUser;
  let room: { id: number };
  const total = 250;

  before(async () => {
    ({ owner, room } = await createRoomWithOwner(url()));
    const send = (n: number) => rest(url(), owner.token).post(`/rooms/${room.id}/messages`, { content: `${n}` });
    await Promise.all(range(1, total).map(send));
  });

  async function page(query: string): Promise<{ seqs: number[]; has_more: boolean }> {
    const { status, body } = await rest(url(), owner.token).get(`/rooms/${room.id}/messages${query}`);
    expect(status, JSON.stringify(body)).to.equal(200);
    return { seqs: seqs(body.content), has_more: body.meta.has_more };
  }

  const pages: [string, number[], boolean][] = [
    ['', range(151, 250), true],
    ['?limit=1', [250], true],
    ['?limit=250', range(1, 250), false],
    ['?limit=500', range(1, 250), false],
    ['?before=151', range(51, 150), true],
    ['?before=51', range(1, 50), false],
    ['?before=1', [], false],
    ['?before=101', range(1, 100), false],
    ['?before=10000&limit=2', [249, 250], true],
    ['?after=0', range(1, 100), true],
    ['?after=0&limit=3', [1, 2, 3], true],
    ['?after=150', range(151, 250), false],
    ['?after=249', [250], false],
    ['?after=250', [], false],
    ['?after=10000', [], false],
  ];
  for (const [query, expected, has_more] of pages) {
    const shown = expected.length === 0 ? 'no messages' : `messages ${expected[0]} to ${expected.at(-1)}`;
    it(`returns ${shown}, oldest first, and has_more ${has_more} for a history of 250 messages ${query ? `with ${query}` : 'without a query'}`, async () => {
      expect(await page(query)).to.deep.equal({ seqs: expected, has_more });
    });
  }

  it('returns a message with its neighbours for around', async () => {
    for (const [around, limit] of [
      [100, 11],
      [1, 5],
      [250, 5],
      [2, 500],
    ] as const) {
      const { seqs: shown } = await page(`?around=${around}&limit=${limit}`);
      expect(shown).to.include(around).and.have.length(Math.min(limit, total));
      expect(shown).to.deep.equal(range(shown[0]!, shown.at(-1)!));
    }
    expect((await page('?around=100&limit=11')).seqs[0]).to.be.within(94, 96);
  });

  it('returns the whole history if a client follows before, and if it follows after', async () => {
    const backwards: number[] = [];
    for (let at = total + 1, more = true; more; ) {
      const found = await page(`?before=${at}&limit=37`);
      backwards.unshift(...found.seqs);
      [at, more] = [found.seqs[0]!, found.has_more];
    }
    expect(backwards).to.deep.equal(range(1, total));
    const forwards: number[] = [];
    for (let more = true; more; ) {
      const found = await page(`?after=${forwards.at(-1) ?? 0}&limit=37`);
      forwards.push(...found.seqs);
      more = found.has_more;
    }
    expect(forwards).to.deep.equal(range(1, total));
  });

  it('returns the messages of a date range, including both ends', async () => {
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}/messages?limit=500`);
    const [from, to] = [body.content[40].createdAt, body.content[200].createdAt];
    const expected = body.content.filter((one: Json) => one.createdAt >= from && one.createdAt <= to);
    expect(await page(`?dateFrom=${from}&dateTo=${to}&limit=500`)).to.deep.equal({
      seqs: seqs(expected),
      has_more: false,
    });
    const since = body.content.filter((one: Json) => one.createdAt >= from);
    expect((await page(`?dateFrom=${from}&limit=500`)).seqs).to.deep.equal(seqs(since));
    const until = body.content.filter((one: Json) => one.createdAt <= to);
    expect((await page(`?dateTo=${to}&limit=500`)).seqs).to.deep.equal(seqs(until));
  });

  it('returns the same messages for the same timestamp in another time zone', async () => {
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}/messages?limit=500`);
    const at = new Date(body.content[40].createdAt);
    const local = new Date(at.getTime() - 3 * 3_600_000).toISOString().replace('Z', '-03:00');
    const zoned = await page(`?dateFrom=${encodeURIComponent(local)}&after=0&limit=3`);
    expect(zoned).to.deep.equal(await page(`?dateFrom=${at.toISOString()}&after=0&limit=3`));
  });

  it('returns the messages of the whole UTC day for a bare date', async () => {
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}/messages?limit=500`);
    const first = body.content[0].createdAt.slice(0, 10);
    const last = body.content.at(-1).createdAt.slice(0, 10);
    expect((await page(`?dateFrom=${first}&dateTo=${last}&limit=500`)).seqs).to.deep.equal(range(1, total));
    const dayBefore = new Date(Date.parse(first) - 1).toISOString().slice(0, 10);
    expect((await page(`?dateTo=${dayBefore}`)).seqs).to.deep.equal([]);
    const dayAfter = new Date(Date.parse(last) + 86_400_000).toISOString().slice(0, 10);
    expect((await page(`?dateFrom=${dayAfter}`)).seqs).to.deep.equal([]);
  });

  it('pages through a date range by before and after, where after returns the oldest matches', async () => {
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}/messages?limit=500`);
    const from = body.content[40].createdAt;
    const matches = seqs(body.content.filter((one: Json) => one.createdAt >= from));
    expect(await page(`?dateFrom=${from}&after=0&limit=5`)).to.deep.equal({
      seqs: matches.slice(0, 5),
      has_more: true,
    });
    expect(await page(`?dateFrom=${from}&limit=5`)).to.deep.equal({ seqs: matches.slice(-5), has_more: true });
    expect((await page(`?dateFrom=${from}&before=${matches[3]}`)).seqs).to.deep.equal(matches.slice(0, 3));
  });
});

describeBothDatabases('A history of large messages', ({ url }) => {
  const count = 60;

  it('limits a page of large messages to 256 KiB, sets has_more, and returns the whole history page by page', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const content = '🙂'.repeat(2_048);
    const path = `/rooms/${room.id}/messages`;
    await Promise.all(range(1, count).map(() => rest(url(), owner.token).post(path, { content })));

    const newest = (await rest(url(), owner.token).get(`${path}?limit=500`)).body;
    const bytes = newest.content.reduce((sum: number, one: Json) => sum + Buffer.byteLength(one.content), 0);
    expect(bytes).to.be.within(8_192, 256 * 1_024);
    expect(newest.meta.has_more).to.equal(true);
    expect(newest.content.at(-1).seq).to.equal(count);

    const all: number[] = [];
    for (let more = true; more; ) {
      const { body } = await rest(url(), owner.token).get(`${path}?limit=500&after=${all.at(-1) ?? 0}`);
      expect(body.content).to.not.have.length(0);
      all.push(...seqs(body.content));
      more = body.meta.has_more;
    }
    expect(all).to.deep.equal(range(1, count));
  });
});
