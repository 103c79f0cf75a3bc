import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import { databaseSession } from '../helpers/database-session.ts';
import { describeBothDatabases, embedded, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, readRev, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import type { TestUser } from '../helpers/users.ts';

describeBothDatabases('Editing messages', ({ url }) => {
  async function setUp(...contents: string[]) {
    const { owner, room } = await createRoomWithOwner(url());
    const writer = await createMember(url(), owner, room);
    const messages = await sendMessages(url(), writer, room, ...contents);
    return { owner, writer, room, messages, room_id: room.id };
  }

  async function join(user: TestUser, room: { id: number }) {
    const client = await socketClient(url(), user);
    expect(await client.request('room:join', { room_id: room.id })).to.include({ ok: true });
    return client;
  }

  it('delivers an edit to every member once, with a version that is the rev of the edit', async () => {
    const { owner, writer, room, room_id } = await setUp('one');
    const member = await join(owner, room);
    const author = await join(writer, room);
    const ack = await author.request('message:edit', { room_id, seq: 1, content: 'two' });
    expect(ack).to.include({ ok: true, changed: true });
    expect(ack.message).to.include({ seq: 1, content: 'two', version: ack.rev, editedAt: ack.message.updatedAt });
    const event = await member.next('message:changed');
    expect(event).to.deep.equal({ ...ack.message, rev: ack.rev, cursor: ack.cursor });
    const history = await member.request('message:history', { room_id });
    expect(history.messages).to.deep.equal([ack.message]);
  });

  it('answers an edit to equal contents with changed: false and no new rev, also for a user who may no longer write', async () => {
    const { owner, writer, room, room_id } = await setUp('one');
    const author = await join(writer, room);
    const { rev } = await author.request('message:edit', { room_id, seq: 1, content: 'two' });
    expect(await author.request('message:edit', { room_id, seq: 1, content: 'two' })).to.include({
      changed: false,
      rev,
    });
    await putRule(url(), owner, room, { userUUID: writer.user, permissions: 'r' });
    expect(await author.request('message:edit', { room_id, seq: 1, content: 'two' })).to.include({
      ok: true,
      changed: false,
    });
    const refused = await author.request('message:edit', { room_id, seq: 1, content: 'three' });
    expect(refused.error).to.include({ code: 'FORBIDDEN' });
  });

  it('refuses an edit from an outdated version with CONFLICT and the current message', async () => {
    const { writer, room, room_id, messages } = await setUp('one');
    const author = await join(writer, room);
    const { message } = await author.request('message:edit', {
      room_id,
      seq: 1,
      content: 'two',
      base: messages[0]!.version,
    });
    const refused = await author.request('message:edit', {
      room_id,
      seq: 1,
      content: 'three',
      base: messages[0]!.version,
    });
    expect(refused.error).to.include({ code: 'CONFLICT', field: 'base' });
    expect(refused.error.current).to.deep.equal(message);
    const path = `/rooms/${room_id}/messages/1`;
    const over = await rest(url(), writer.token).patch(
      path,
      { content: 'four' },
      { 'If-Match': `"${messages[0]!.version}"` },
    );
    expect(over.status).to.equal(409);
    expect(over.body.content).to.deep.equal(message);
    const ok = await rest(url(), writer.token).patch(path, { content: 'four' }, { 'If-Match': `"${message.version}"` });
    expect(ok.body.content).to.include({ content: 'four' });
  });

  it('keeps absent fields of an edit, and removes custom data with null', async () => {
    const { writer, room_id } = await setUp();
    const api = rest(url(), writer.token);
    const custom = { card: [1, { b: 'x' }] };
    await api.post(`/rooms/${room_id}/messages`, { content: 'text', custom, mentions: [writer.user] });
    const first = (await api.patch(`/rooms/${room_id}/messages/1`, { content: 'other' })).body.content;
    expect(first).to.deep.include({ content: 'other', custom, mentions: [writer.user] });
    const second = (await api.patch(`/rooms/${room_id}/messages/1`, { custom: null, mentions: [] })).body.content;
    expect(second)
      .to.include({ content: 'other', editedAt: first.editedAt })
      .and.to.not.have.any.keys('custom', 'mentions');
    const empty = await api.patch(`/rooms/${room_id}/messages/1`, { content: '' });
    expect(empty.body.meta).to.include({ reason: 'BAD_REQUEST', detail: 'content: must not be empty' });
  });

  it('lets only the emitter edit a message', async () => {
    const { owner, room, room_id } = await setUp('one');
    const admin = await join(owner, room);
    const refused = await admin.request('message:edit', { room_id, seq: 1, content: 'two' });
    expect(refused.error).to.include({ code: 'FORBIDDEN', field: 'seq' });
    const missing = await admin.request('message:edit', { room_id, seq: 9, content: 'two' });
    expect(missing.error).to.include({ code: 'NO_MESSAGE', field: 'seq' });
  });
});

describeBothDatabases('Deleting messages', ({ url }) => {
  async function setUp(...contents: string[]) {
    const { owner, room } = await createRoomWithOwner(url());
    const writer = await createMember(url(), owner, room);
    await sendMessages(url(), writer, room, ...contents);
    const socket = await socketClient(url(), owner);
    const joined = await socket.request('room:join', { room_id: room.id });
    return { owner, writer, room, room_id: room.id, socket, joined };
  }

  it('leaves a tombstone without content, and tells every member', async () => {
    const { writer, room_id, socket } = await setUp('one', 'two');
    const author = await socketClient(url(), writer);
    const ack = await author.request('message:delete', { room_id, seqs: [2] });
    expect(ack).to.deep.include({ ok: true, deleted: [2] });
    const event = await socket.next('message:changed');
    expect(event).to.include({ seq: 2, content: '', deleted_by: writer.user, version: ack.rev, rev: ack.rev });
    expect(event.deletedAt).to.equal(event.updatedAt);
    const again = await author.request('message:delete', { room_id, seqs: [2] });
    expect(again).to.deep.include({ ok: true, deleted: [], rev: ack.rev, cursor: ack.cursor });
    const edit = await author.request('message:edit', { room_id, seq: 2, content: 'x' });
    expect(edit.error).to.include({ code: 'DELETED', field: 'seq' });
  });

  it('deletes all of the messages or none', async () => {
    const { owner, writer, room, room_id } = await setUp('one', 'two');
    await sendMessages(url(), owner, room, 'three');
    const author = await socketClient(url(), writer);
    const before = await readRev(url(), owner, room);
    const others = await author.request('message:delete', { room_id, seqs: [1, 3] });
    expect(others.error).to.include({ code: 'FORBIDDEN', field: 'seqs' });
    const missing = await author.request('message:delete', { room_id, seqs: [1, 9] });
    expect(missing.error).to.include({ code: 'NO_MESSAGE', field: 'seqs' });
    expect(await readRev(url(), owner, room)).to.equal(before);
    const deleter = rest(url(), owner.token);
    expectRefusal(await deleter.delete(`/rooms/${room_id}/messages/9`), 'NO_MESSAGE', 'seq');
    const admin = await deleter.delete(`/rooms/${room_id}/messages/1`);
    expect(admin.body).to.deep.include({ content: { deleted: [1] } });
  });

  it('answers a retried message that was deleted as a duplicate, whatever its contents', async () => {
    const { writer, room_id } = await setUp();
    const author = await socketClient(url(), writer);
    const first = await author.request('message:send', { room_id, content: 'one', client_msg_id: 'a' });
    await author.request('message:delete', { room_id, seqs: [first.message.seq] });
    const again = await author.request('message:send', { room_id, content: 'one', client_msg_id: 'a' });
    expect(again).to.deep.include({ ok: true, duplicate: true });
    expect(again.message).to.include({ content: '', seq: first.message.seq }).and.to.have.property('deletedAt');
  });

  it('replays each message once in its present state, and skips its other entries', async () => {
    const { owner, writer, room_id, joined } = await setUp('one', 'two');
    const author = await socketClient(url(), writer);
    for (const content of ['a', 'b', 'c']) await author.request('message:edit', { room_id, seq: 1, content });
    await author.request('message:delete', { room_id, seqs: [2] });
    const { message } = await author.request('message:send', { room_id, content: 'three' });
    const { rev } = await author.request('message:edit', { room_id, seq: message.seq, content: 'four' });
    const late = await socketClient(url(), owner);
    const replay = await late.request('room:join', { room_id, since: joined.cursor });
    expect(replay).to.include({ recovered: true, rev });
    const given = replay.events.map(({ name, payload }: never) => [name, (payload as { content?: string }).content]);
    expect(given).to.deep.equal([
      ['message:changed', 'c'],
      ['change:skipped', undefined],
      ['change:skipped', undefined],
      ['message:changed', ''],
      ['message:new', 'four'],
      ['change:skipped', undefined],
    ]);
    expect(JSON.stringify(replay)).to.not.include('two');
  });

  it('leaves deleted messages out of REST and /chat history unless the client asks for them, and keeps them on Socket.IO', async () => {
    const { owner, writer, room, room_id, socket } = await setUp('one', 'two', 'three', 'four');
    await socket.request('message:delete', { room_id, seqs: [1, 3, 4] });
    const api = rest(url(), owner.token);
    const page = async (query: string) => {
      const { content, meta } = (await api.get(`/rooms/${room_id}/messages${query}`)).body;
      return [content.map(({ seq }: { seq: number }) => seq), meta.has_more, meta.next];
    };
    expect(await page('')).to.deep.equal([[2], false, null]);
    expect(await page('?limit=1')).to.deep.equal([[2], false, null]);
    expect(await page('?limit=1&tombstones=true')).to.deep.equal([[4], true, { before: 4 }]);
    expect(await page('?tombstones=true')).to.deep.equal([[1, 2, 3, 4], false, null]);
    expect(await page('?seqs=4,2,9')).to.deep.equal([[2, 4], false, null]);
    const { messages } = await socket.request('message:history', { room_id });
    expect(messages).to.have.length(4);
    const found = await socket.request('message:read', { room_id, seqs: [3, 7] });
    expect(found).to.deep.include({ messages: [messages[2]], missing: [7], has_more: false, next: null });
    const chat = await chatInRoom(url(), writer, room.id);
    chat.send({ type: 'get_past_messages', id: 1 });
    expect((await chat.next()).data.seq).to.equal(2);
    expect(await chat.next()).to.include({ data: 'HISTORY', count: 1, has_more: false });
    chat.send({ type: 'read_messages', seqs: [3, 7], id: 2 });
    expect(await chat.next()).to.deep.include({ data: 'OK', messages: [messages[2]], missing: [7] });
  });

  it('rejects a request for single messages that is invalid, too long, or not by a reader', async () => {
    const { owner, room, room_id, socket } = await setUp('one');
    const api = rest(url(), owner.token);
    const many = Array.from({ length: 101 }, (_, n) => n + 1).join();
    for (const seqs of ['', 'x', '1,', '0', '1.5', many]) {
      const { body } = await api.get(`/rooms/${room_id}/messages?seqs=${seqs}`);
      expect(body.meta, seqs).to.include({ reason: 'BAD_REQUEST' });
      expect(body.meta.detail).to.match(/^seqs/);
    }
    const both = await api.get(`/rooms/${room_id}/messages?seqs=1&before=3`);
    expect(both.body.meta.detail).to.equal('seqs: must be the only parameter');
    for (const seqs of [[], ['x'], [0], 'x', undefined])
      expect((await socket.request('message:read', { room_id, seqs })).error.field).to.match(/^seqs/);
    const blind = await socketClient(url(), await createMember(url(), owner, room, 'w'));
    expect((await blind.request('message:read', { room_id, seqs: [1] })).error).to.include({ code: 'FORBIDDEN' });
  });

  it('shows a deleted text in no answer to a request that begins after the deletion', async () => {
    const { owner, writer, room_id, joined } = await setUp();
    const author = await socketClient(url(), writer);
    const secret = 'correct-horse-battery-staple';
    const draft = { room_id, content: secret, client_msg_id: 'x', custom: { secret } };
    const { message } = await author.request('message:send', draft);
    const { seq } = message;
    await author.request('message:edit', { room_id, seq, content: `${secret} again` });
    await author.request('reaction:add', { room_id, seq, emoji: secret });
    await author.request('message:delete', { room_id, seqs: [seq] });
    const api = rest(url(), owner.token);
    const late = await socketClient(url(), owner);
    const chat = await chatInRoom(url(), writer, room_id, joined.cursor);
    chat.send({ type: 'message', content: secret, client_msg_id: 'x', id: 1 });
    const answers = [
      (await api.get(`/rooms/${room_id}/messages?tombstones=true`)).body,
      (await api.get(`/rooms/${room_id}/messages?seqs=${seq}`)).body,
      (await api.get(`/rooms/${room_id}/messages/${seq}/reactions`)).body,
      (await api.get('/rooms')).body,
      await late.request('room:join', { room_id, since: joined.cursor }),
      await late.request('message:history', { room_id, around: seq }),
      await late.request('message:read', { room_id, seqs: [seq] }),
      await author.request('message:send', draft),
      await author.request('message:edit', { room_id, seq, content: 'x' }),
      await chat.skipTo(({ id }) => id === 1),
    ];
    expect(JSON.stringify(answers)).to.not.include(secret);
  });
});

describe('Deleting and editing on PostgreSQL', () => {
  async function setUp(settings: Record<string, string | number> = {}) {
    const database = await freshDatabase();
    const node = await startNode(embedded, { DATABASE_URL: database, ...settings });
    const { owner, room } = await createRoomWithOwner(node.url);
    const writer = await createMember(node.url, owner, room);
    const session = await databaseSession(database);
    return { url: node.url, owner, writer, room, room_id: room.id as number, session };
  }

  it('wipes the contents of a deleted message from every column of every table', async function () {
    this.timeout(60_000);
    const { url, owner, writer, room_id, session } = await setUp();
    const author = await socketClient(url, writer);
    const secret = '5ec7e7-0000-4000-8000-0000000000aa';
    const uuid = `00${secret}`;
    const fields = { custom: { secret }, mentions: [uuid], content: secret };
    for (let n = 0; n < 3; n++)
      await author.request('message:send', { room_id, ...(n === 1 ? { content: secret } : fields) });
    for (const seq of [1, 2, 3]) {
      await author.request('reaction:add', { room_id, seq, emoji: secret });
      await author.request('message:edit', { room_id, seq, content: `${secret} edited`, custom: { other: secret } });
      await author.request('reaction:remove', { room_id, seq, emoji: secret });
      await author.request('reaction:add', { room_id, seq, emoji: `x${secret}` });
    }
    const count = async () => {
      const { rows } = await session.query(`select table_name as t, column_name as c from information_schema.columns
        where table_schema = current_schema() and table_name in (select tablename from pg_tables where schemaname = current_schema())`);
      const found: string[] = [];
      for (const { t, c } of rows) {
        const { rows: hits } = await session.query(
          `select 1 from "${t}" where "${c}"::text like '%${secret}%' limit 1`,
        );
        if (hits.length > 0) found.push(`${t}.${c}`);
      }
      return found;
    };
    expect(await count()).to.include.members([
      'messages.content',
      'messages.custom',
      'messages.mentions',
      'log_entries.changes',
    ]);
    await author.request('message:delete', { room_id, seqs: [1, 2] });
    await rest(url, owner.token).delete(`/rooms/${room_id}/messages/3`);
    expect(await count()).to.deep.equal([]);
  });

  it('closes a message for edits after EDIT_SECONDS, but not for equal contents or a deletion', async function () {
    this.timeout(60_000);
    const { url, writer, room_id, session } = await setUp({ EDIT_SECONDS: 60 });
    const author = await socketClient(url, writer);
    await author.request('message:send', { room_id, content: 'one' });
    expect(await author.request('message:edit', { room_id, seq: 1, content: 'two' })).to.include({ changed: true });
    await session.query(`update messages set created_at = created_at - interval '61 s' where room_id = $1`, [room_id]);
    const closed = await author.request('message:edit', { room_id, seq: 1, content: 'three' });
    expect(closed.error).to.include({ code: 'EDIT_CLOSED', field: 'seq' });
    expect(await author.request('message:edit', { room_id, seq: 1, content: 'two' })).to.include({ changed: false });
    expect(await author.request('message:delete', { room_id, seqs: [1] })).to.deep.include({ deleted: [1] });
  });

  it('lets readers react in a room with readers_react only', async function () {
    this.timeout(60_000);
    const { url, owner, room, room_id, session } = await setUp();
    await sendMessages(url, owner, room, 'one');
    const reader = await socketClient(url, await createMember(url, owner, room, 'r'));
    const blind = await socketClient(url, await createMember(url, owner, room, 'b'));
    const reaction = { room_id, seq: 1, emoji: '👍' };
    expect((await reader.request('reaction:add', reaction)).error).to.include({ code: 'FORBIDDEN' });
    await session.query('update rooms set readers_react = true where id = $1', [room_id]);
    expect(await reader.request('reaction:add', reaction)).to.include({ changed: true });
    expect(await reader.request('reaction:remove', reaction)).to.include({ changed: true });
    expect((await blind.request('reaction:add', reaction)).error).to.include({ code: 'BANNED' });
  });

  it('lets only the emitter delete in a user2user room, and only readers in a group', async function () {
    this.timeout(60_000);
    const { url, owner, writer, room, room_id } = await setUp();
    const pairRoom = await createRoom(url, owner, { type: 'user2user', with: writer.user });
    await sendMessages(url, owner, pairRoom, 'mine');
    const other = await socketClient(url, writer);
    const refused = await other.request('message:delete', { room_id: pairRoom.id, seqs: [1] });
    expect(refused.error).to.include({ code: 'FORBIDDEN', field: 'seqs' });
    await sendMessages(url, writer, room, 'one');
    await putRule(url, owner, room, { userUUID: writer.user, permissions: 'w' });
    expect((await other.request('message:delete', { room_id, seqs: [1] })).error).to.include({ code: 'FORBIDDEN' });
    await putRule(url, owner, room, { userUUID: writer.user, permissions: 'r' });
    expect(await other.request('message:delete', { room_id, seqs: [1] })).to.deep.include({ deleted: [1] });
  });
});
