import { expect } from 'chai';
import { describeEveryWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, readRev, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import type { TestUser } from '../helpers/users.ts';

describeEveryWiring('Editing messages', ({ url }) => {
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

describeEveryWiring('Deleting messages', ({ url }) => {
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
    const admin = await rest(url(), owner.token).delete(`/rooms/${room_id}/messages/1`);
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
});
