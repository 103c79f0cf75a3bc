import { expect } from 'chai';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import type { TestUser } from '../helpers/users.ts';

describeBothDatabases('Replies and threads', ({ url }) => {
  async function setUp() {
    const { owner, room } = await createRoomWithOwner(url());
    const person = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, 'root', 'other');
    const [socket, observer] = [await join(person, room), await join(owner, room)];
    const room_id: number = room.id;
    const send = (fields: object) => socket.request('message:send', { room_id, content: 'reply', ...fields });
    const remove = (...seqs: number[]) => observer.request('message:delete', { room_id, seqs });
    return { owner, person, room, room_id, socket, observer, send, remove };
  }

  async function join(user: TestUser, room: { id: number }) {
    const socket = await socketClient(url(), user);
    expect(await socket.request('room:join', { room_id: room.id })).to.include({ ok: true });
    return socket;
  }

  async function readMessage(user: TestUser, room: { id: number }, seq: number): Promise<Json> {
    return (await rest(url(), user.token).get(`/rooms/${room.id}/messages?seqs=${seq}`)).body.content[0];
  }

  it('delivers a reply with the present state of its root, which history shows too', async () => {
    const { owner, room, observer, send } = await setUp();
    const first = await send({ thread: 1 });
    expect(first.message).to.include({ seq: 3, thread: 1 });
    const second = await send({ thread: 1, reply_to: 2 });
    expect(second.message).to.include({ seq: 4, thread: 1, reply_to: 2 });
    const events = [await observer.next('message:new'), await observer.next('message:new')];
    expect(events.map(({ root }) => root)).to.deep.equal([
      { seq: 1, replies: { count: 1, last_seq: 3 } },
      { seq: 1, replies: { count: 2, last_seq: 4 } },
    ]);
    expect(events[1]).to.deep.include({ ...second.message, rev: second.rev });
    const root = await readMessage(owner, room, 1);
    expect(root.replies).to.deep.equal({ count: 2, last_seq: 4 });
    expect(root.version, 'a reply is no new version of the root').to.be.below(first.rev);
    expect(await readMessage(owner, room, 2)).to.not.have.any.keys('replies', 'thread', 'reply_to');
  });

  it('quotes any message of the room, also a deleted one, but none that the room does not have yet', async () => {
    const { send, remove } = await setUp();
    await remove(2);
    expect((await send({ reply_to: 2 })).message).to.include({ seq: 3, reply_to: 2 });
    expect((await send({ reply_to: 4 })).error).to.include({ code: 'NO_MESSAGE', field: 'reply_to' });
    expect((await send({ reply_to: 3 })).message).to.include({ seq: 4 });
    for (const reply_to of [0, -1, 1.5, 'x'])
      expect((await send({ reply_to })).error).to.include({ code: 'BAD_REQUEST', field: 'reply_to' });
  });

  it('begins no thread at a missing or deleted message, or at a reply', async () => {
    const { send, remove } = await setUp();
    expect((await send({ thread: 9 })).error).to.include({ code: 'NO_MESSAGE', field: 'thread' });
    await send({ thread: 1 });
    expect((await send({ thread: 3 })).error).to.include({ code: 'BAD_REQUEST', field: 'thread' });
    await remove(1, 2);
    for (const thread of [1, 2])
      expect((await send({ thread })).error).to.include({ code: 'DELETED', field: 'thread' });
    expect((await send({})).message, 'a refused message takes no seq').to.include({ seq: 4 });
  });

  it('does not count deleted replies, and has the new state of the root in the event of the deletion', async () => {
    const { owner, room, observer, send, remove } = await setUp();
    for (let n = 0; n < 4; n++) await send({ thread: 1 });
    await remove(6, 4);
    const events = [await observer.next('message:changed'), await observer.next('message:changed')];
    expect(events.map(({ seq, thread, root }) => [seq, thread, root.replies])).to.deep.equal([
      [4, 1, { count: 3, last_seq: 6 }],
      [6, 1, { count: 2, last_seq: 5 }],
    ]);
    expect((await readMessage(owner, room, 1)).replies).to.deep.equal({ count: 2, last_seq: 5 });
    await remove(3, 5);
    expect(await readMessage(owner, room, 1)).to.not.have.property('replies');
    expect((await send({ thread: 1 })).message).to.include({ seq: 7 });
    expect((await readMessage(owner, room, 1)).replies).to.deep.equal({ count: 1, last_seq: 7 });
  });

  it('keeps the thread, the quote and the count of replies of a deleted message', async () => {
    const { owner, room, send, remove } = await setUp();
    await send({ thread: 1, reply_to: 2 });
    await remove(1, 3);
    expect(await readMessage(owner, room, 3)).to.include({ content: '', thread: 1, reply_to: 2 });
    const { observer: _, ...second } = await setUp();
    await second.send({ thread: 1 });
    await second.remove(1);
    const root = await readMessage(second.owner, second.room, 1);
    expect(root).to.deep.include({ content: '', replies: { count: 1, last_seq: 3 } });
  });

  it('has the state of the root in the event of an edited reply, and never changes the thread', async () => {
    const { room_id, socket, observer, send } = await setUp();
    await send({ thread: 1 });
    await send({ thread: 1 });
    const { message } = await socket.request('message:edit', { room_id, seq: 3, content: 'edited' });
    expect(message).to.include({ thread: 1 });
    const event = await observer.next('message:changed');
    expect(event.root).to.deep.equal({ seq: 1, replies: { count: 2, last_seq: 4 } });
  });

  it('returns the replies of a thread, or messages without replies, on all transports', async () => {
    const { owner, room, room_id, observer, send, remove } = await setUp();
    for (const fields of [{ thread: 1 }, {}, { thread: 2 }, { thread: 1 }, { thread: 1 }]) await send(fields);
    await remove(6);
    const api = rest(url(), owner.token);
    const seqsOf = async (query: string) => {
      const { body } = await api.get(`/rooms/${room.id}/messages${query}`);
      return body.content.map(({ seq }: Json) => seq);
    };
    expect(await seqsOf('?thread=1')).to.deep.equal([3, 7]);
    expect(await seqsOf('?thread=1&tombstones=true')).to.deep.equal([3, 6, 7]);
    expect(await seqsOf('?thread=1&before=7')).to.deep.equal([3]);
    expect(await seqsOf('?top_level=true')).to.deep.equal([1, 2, 4]);
    expect(await seqsOf('?top_level=false')).to.deep.equal([1, 2, 3, 4, 5, 7]);
    const history = async (query: object) => {
      const { messages, next } = await observer.request('message:history', { room_id, ...query });
      return [messages.map(({ seq }: Json) => seq), next];
    };
    expect(await history({ thread: 1 })).to.deep.equal([[3, 6, 7], null]);
    expect(await history({ thread: 1, limit: 2 })).to.deep.equal([[6, 7], { before: 6 }]);
    expect(await history({ top_level: true, after: 1, limit: 1 })).to.deep.equal([[2], { after: 2 }]);
    const both = await api.get(`/rooms/${room.id}/messages?thread=1&top_level=true`);
    expect(both.body.meta).to.include({ reason: 'BAD_REQUEST' });
  });

  it('counts simultaneous replies, deletions and edits in one thread', async () => {
    const { owner, person, room, room_id, socket, send, remove } = await setUp();
    const second = await join(person, room);
    const replies = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        (n % 2 ? socket : second).request('message:send', { room_id, content: `${n}`, thread: 1 }),
      ),
    );
    const seqs: number[] = replies.map(({ message }) => message.seq).sort((a, b) => a - b);
    await Promise.all([
      ...seqs.slice(0, 4).map((seq) => remove(seq)),
      send({ thread: 1 }),
      ...seqs.slice(4, 8).map((seq) => socket.request('message:edit', { room_id, seq, content: 'edited' })),
    ]);
    expect((await readMessage(owner, room, 1)).replies).to.deep.equal({ count: 9, last_seq: 15 });
  });
});
