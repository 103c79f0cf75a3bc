import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { ServiceDraft } from '../../src/core/log/append-all.ts';
import { createRoomLog } from '../../src/core/log/room-log.ts';
import { describeEveryStore, insertRoom, toQuery } from '../helpers/stores.ts';

const ana = '00000000-0000-4000-8000-00000000000a';
const ben = '00000000-0000-4000-8000-00000000000b';
const service = '00000000-0000-0000-0000-000000000000';

function draft(more: Partial<ServiceDraft> = {}): ServiceDraft {
  const content = { content: 'hello', custom: null, mentions: [], flags: 0 };
  return { ...content, emitter: service, client_msg_id: null, reply_to: null, thread: null, created_at: null, ...more };
}

describeEveryStore('Messages of the backend in the log', (getStore) => {
  const log = () => createRoomLog(getStore());

  async function append(room: number, ...drafts: Partial<ServiceDraft>[]) {
    const result = await log().appendAll(room, drafts.map(draft));
    if (result.outcome !== 'stored') throw new Error(JSON.stringify(result));
    return result.messages;
  }

  async function readRoom(room: number) {
    const [row] = await getStore().query<Record<string, number>>(
      toQuery(`select last_seq::float8 as seq, last_rev::float8 as rev, extract(epoch from last_change_at)::float8 * 1000 as at,
        extract(epoch from active_at)::float8 * 1000 as active, imported_seq::float8 as imported from rooms where id = $1::bigint`),
      [room],
    );
    return row!;
  }

  const addRule = (room: number, grantee: string) =>
    getStore().query(
      toQuery(`insert into permission_rules (room_id, grantee, kind, permissions, level, created_at, updated_at, from_seq)
        select id, $2::uuid, 'user', 'rw', 0, now(), now(), last_seq from rooms where id = $1::bigint`),
      [room, grantee],
    );

  async function readState(room: number, user: string) {
    const [row] = await getStore().query<{ read: number; unread: number; version: number; hidden: boolean }>(
      toQuery(`select s.read_seq::float8 as read, count_unread(r.id, r.last_seq, s.read_seq, $2::uuid) as unread,
        s.version::float8 as version,
        s.hidden_seq is not null and count_unread(r.id, r.last_seq, s.hidden_seq, $2::uuid) = 0 as hidden
        from rooms r cross join lateral read_state(r.id, r.last_seq, $2::uuid, null) s where r.id = $1::bigint`),
      [room, user],
    );
    return row!;
  }

  const insertPosition = (room: number, user: string, seq: number, hidden: number | null = null) =>
    getStore().query(
      toQuery(`insert into positions (room_id, user_uuid, read_seq, version, muted, hidden_seq)
        values ($1::bigint, $2::uuid, $3::bigint, 1, false, $4::bigint)`),
      [room, user, seq, hidden],
    );

  it('stores messages of several emitters in one commit, with all their fields', async () => {
    const room = await insertRoom(getStore());
    const stored = await append(
      room,
      { content: 'root' },
      { emitter: ana, content: 'a reply', thread: 1, client_msg_id: 'one' },
      { emitter: ben, content: '', custom: '{"b":1,"a":2}', mentions: [ana], flags: 3, reply_to: 2 },
    );
    expect(stored.map(({ change }) => [change.rev, change.message.seq, change.message.emitter])).to.deep.equal([
      [1, 1, service],
      [2, 2, ana],
      [3, 3, ben],
    ]);
    expect(stored[1]!.change.root).to.deep.equal({ seq: 1, replies: { count: 1, last_seq: 2 } });
    const { reply_to, custom, mentions, silent, mention_room } = stored[2]!.change.message;
    expect({ reply_to, custom, mentions, silent, mention_room }).to.deep.equal({
      ...{ reply_to: 2, custom: { b: 1, a: 2 }, mentions: [ana], silent: true, mention_room: true },
    });
    const [root] = await log().changes(room, 1, 1, 1);
    expect(root).to.have.nested.property('message.replies.count', 1);
    const after = await readRoom(room);
    expect(after).to.include({ seq: 3, rev: 3, imported: null });
    expect(after.active).to.equal(Date.parse(stored[0]!.change.message.createdAt));
  });

  it('answers duplicates with the messages that were stored first, and stores the others', async () => {
    const room = await insertRoom(getStore());
    const [first] = await append(room, { client_msg_id: 'a' });
    const again = await append(room, { client_msg_id: 'a' }, { client_msg_id: 'b' });
    expect(again.map(({ isDuplicate, change }) => [isDuplicate, change.message.seq])).to.deep.equal([
      [true, 1],
      [false, 2],
    ]);
    expect(again[0]!.change).to.deep.equal(first!.change);
  });

  const refusals: [title: string, drafts: Partial<ServiceDraft>[], index: number, problem: string, field: string][] = [
    ['a message that quotes a later one', [{}, { reply_to: 4 }], 1, 'no_message', 'reply_to'],
    ['a reply in a thread that does not exist', [{ thread: 4 }], 0, 'no_message', 'thread'],
    ['a reply to a reply', [{ thread: 1 }, { thread: 2 }], 1, 'nested', 'thread'],
    ['an id that has another content', [{}, { client_msg_id: 'a', content: 'else' }], 1, 'reused', 'client_msg_id'],
    ['a message from the future', [{ created_at: Date.now() + 60_000 }], 0, 'future', 'createdAt'],
    ['a message that is older than the room', [{ created_at: 1 }], 0, 'too_early', 'createdAt'],
  ];
  for (const [title, drafts, index, problem, field] of refusals) {
    it(`stores none of the messages because of ${title}`, async () => {
      const room = await insertRoom(getStore());
      await append(room, { client_msg_id: 'a' });
      const result = await log().appendAll(room, drafts.map(draft));
      expect(result).to.include({ outcome: 'refused', index, problem, field });
      expect(await readRoom(room)).to.include({ seq: 1, rev: 1 });
    });
  }

  it('says before which time no message may have been created', async () => {
    const room = await insertRoom(getStore(), 3_600);
    const { at } = await readRoom(room);
    const drafts = [at! + 2_000, at! + 1_000].map((created_at) => draft({ created_at }));
    expect(await log().appendAll(room, drafts)).to.include({ problem: 'too_early', index: 1, changed: at! + 2_000 });
  });

  it('imports messages with their times, in the order of the log', async () => {
    const room = await insertRoom(getStore(), 3_600);
    const { at } = await readRoom(room);
    const stored = await append(room, { created_at: at! }, { created_at: at! + 5 }, { created_at: at! + 5, flags: 1 });
    expect(stored.map(({ change }) => change.at)).to.deep.equal([at, at! + 5, at! + 5]);
    expect(await readRoom(room)).to.include({ at: at! + 5, active: at! + 5, imported: 3 });
  });

  it('counts imported messages as read by everybody, and later ones as unread', async () => {
    const room = await insertRoom(getStore(), 3_600);
    const { at } = await readRoom(room);
    const [withRule, reader, hider, awake] = Array.from({ length: 4 }, () => randomUUID());
    for (const user of [withRule!, reader!, hider!, awake!]) await addRule(room, user);
    await append(room, { created_at: at! });
    await insertPosition(room, reader!, 0);
    await insertPosition(room, hider!, 1, 1);
    await insertPosition(room, awake!, 0, 0);
    await append(room, ...Array.from({ length: 500 }, () => ({ created_at: at! + 1 })));
    await append(room, { created_at: at! + 2 });
    expect(await readState(room, withRule!)).to.deep.include({ read: 502, unread: 0, version: 0 });
    expect(await readState(room, reader!)).to.deep.include({ read: 502, unread: 0, version: 3 });
    expect(await readState(room, hider!)).to.deep.include({ unread: 0, hidden: true });
    expect(await readState(room, awake!)).to.deep.include({ hidden: false });
    await append(room, {});
    for (const user of [withRule!, reader!]) expect(await readState(room, user)).to.deep.include({ unread: 1 });
    expect(await readState(room, hider!)).to.deep.include({ hidden: false });
  });

  it('lets a user mark an imported message as unread', async () => {
    const room = await insertRoom(getStore(), 3_600);
    const { at } = await readRoom(room);
    await addRule(room, ben);
    await append(room, { created_at: at! }, { created_at: at! });
    await insertPosition(room, ben, 1);
    expect(await readState(room, ben)).to.deep.include({ read: 1, unread: 1 });
  });

  it('reports a room that does not exist', async () => {
    expect(await log().appendAll(999_999_999, [draft()])).to.deep.equal({ outcome: 'gone' });
  });
});
