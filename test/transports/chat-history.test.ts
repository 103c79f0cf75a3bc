import { expect } from 'chai';
import { authenticatedChat, type ChatClient, chatInRoom, type Frame } from '../helpers/chat-client.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser } from '../helpers/users.ts';

describeBothDatabases('/chat get_past_messages', ({ url }) => {
  /** Creates a room with `count` messages, and connects its owner. */
  async function roomWith(messages: number) {
    const owner = createUser({ level: 100 });
    const { room } = (await rest(url(), owner.token).post('/rooms', { name: 'history' })).body.content;
    const chat = await chatInRoom(url(), owner, room.id);
    const live: Frame[] = [];
    for (let n = 1; n <= messages; n++) chat.send({ type: 'message', content: `message ${n}` });
    for (let n = 1; n <= messages; n++) live.push(await chat.next());
    return { chat, live };
  }

  /** Returns the frames before the end mark. */
  async function history(chat: ChatClient, command: object) {
    chat.send({ type: 'get_past_messages', ...command, id: 'end' });
    const frames = [];
    for (let frame = await chat.next(); ; frame = await chat.next()) {
      if (frame.id === 'end') return { frames, end: frame };
      frames.push(frame);
    }
  }

  it('answers get_past_messages with message frames that have `history`, oldest first, and an end mark', async () => {
    const { chat, live } = await roomWith(3);
    const { frames, end } = await history(chat, {});
    expect(frames).to.deep.equal(live.map((frame) => ({ ...frame, history: true })));
    const { cursor, ...mark } = end;
    expect(mark).to.deep.equal({ type: 'status', data: 'HISTORY', count: 3, has_more: false, rev: 3, id: 'end' });
    expect(cursor).to.equal(live[2]!.cursor);
  });

  it('sends no end mark to a get_past_messages without an id', async () => {
    const { chat } = await roomWith(1);
    chat.send({ type: 'get_past_messages' });
    chat.send({ type: 'message', content: 'fence' });
    expect(await chat.next()).to.include({ history: true });
    expect(await chat.next()).to.nested.include({ 'data.content': 'fence' });
  });

  it('returns the latest 100 messages by default and pages backwards with `before`', async () => {
    const { chat } = await roomWith(230);
    const sizes = [];
    let before: number | undefined;
    for (let more = true; more; ) {
      const { frames, end } = await history(chat, { before });
      const seqs = frames.map(({ data }) => data.seq);
      const newest = (before ?? 231) - 1;
      expect(seqs).to.deep.equal(Array.from(seqs, (_, n) => newest - seqs.length + 1 + n));
      expect(end.count).to.equal(seqs.length);
      sizes.push(seqs.length);
      before = seqs[0];
      more = end.has_more;
    }
    expect(sizes).to.deep.equal([100, 100, 30]);
  });

  it('accepts a limit as a number or as digits', async () => {
    const { chat } = await roomWith(5);
    for (const limit of [2, '2']) {
      const { frames, end } = await history(chat, { limit });
      expect(frames.map(({ data }) => data.seq)).to.deep.equal([4, 5]);
      expect(end).to.include({ count: 2, has_more: true });
    }
    const { end } = await history(chat, { limit: 5 });
    expect(end, 'exactly all').to.include({ count: 5, has_more: false });
  });

  it('names the next page in the end mark of a connection with events', async () => {
    const { chat, live } = await roomWith(3);
    expect((await history(chat, { limit: 2 })).end).to.not.have.property('next');
    chat.send({ type: 'select_room', room_id: live[0]!.data.room_id, events: true });
    await chat.next();
    expect((await history(chat, { limit: 2 })).end.next).to.deep.equal({ before: 2 });
    expect((await history(chat, { limit: 3 })).end)
      .to.include({ has_more: false })
      .and.not.have.property('next');
  });

  it('sends an end mark alone if the room has no messages', async () => {
    const { chat } = await roomWith(0);
    expect((await history(chat, {})).end).to.include({ data: 'HISTORY', count: 0, has_more: false });
  });

  for (const wrong of [
    { limit: 0 },
    { limit: -1 },
    { limit: 501 },
    { limit: 1.5 },
    { limit: 'all' },
    { before: 'x' },
  ]) {
    it(`rejects get_past_messages with ${JSON.stringify(wrong)}`, async () => {
      const { chat } = await roomWith(0);
      expect((await history(chat, wrong)).end).to.include({ data: 'ERROR', reason: 'BAD_REQUEST' });
    });
  }

  it('answers get_past_messages outside a room with SELECTROOM?', async () => {
    const chat = await authenticatedChat(url(), createUser({ level: 100 }));
    chat.send({ type: 'get_past_messages', id: 3 });
    expect(await chat.next()).to.deep.equal({ type: 'query', data: 'SELECTROOM?', id: 3 });
  });

  it('returns messages that were sent earlier in the same burst', async () => {
    const { chat } = await roomWith(0);
    for (const content of ['one', 'two']) chat.send({ type: 'message', content });
    chat.send({ type: 'get_past_messages', id: 'end' });
    const frames = [];
    for (let n = 0; n < 5; n++) frames.push(await chat.next());
    expect(frames.map(({ history: past, data }) => [past, data.content ?? data])).to.deep.equal([
      ...[
        [undefined, 'one'],
        [undefined, 'two'],
      ],
      ...[
        [true, 'one'],
        [true, 'two'],
      ],
      [undefined, 'HISTORY'],
    ]);
  });
});
