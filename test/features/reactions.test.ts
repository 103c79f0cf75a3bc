import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { rawRequest } from '../helpers/raw-request.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, readRev, sendMessages } from '../helpers/rooms.ts';
import { type SocketClient, socketClient } from '../helpers/socket-client.ts';
import type { TestUser } from '../helpers/users.ts';

const heart = '\u2764';
const redHeart = '\u2764\uFE0F';

describeBothDatabases('Reactions', ({ url }) => {
  async function setUp(permissions = 'rw') {
    const { owner, room } = await createRoomWithOwner(url());
    const person = await createMember(url(), owner, room, permissions);
    await sendMessages(url(), owner, room, 'one');
    const [socket, observer] = [await join(person, room), await join(owner, room)];
    const react = (emoji: unknown, name: 'add' | 'remove' = 'add', seq = 1, by: SocketClient = socket) =>
      by.request(`reaction:${name}`, { room_id: room.id, seq, emoji });
    return { owner, person, room, room_id: room.id as number, socket, observer, react };
  }

  async function join(user: TestUser, room: { id: number }) {
    const socket = await socketClient(url(), user);
    expect(await socket.request('room:join', { room_id: room.id })).to.include({ ok: true });
    return socket;
  }

  const path = ({ id }: { id: number }, emoji = '', seq = 1) => `/rooms/${id}/messages/${seq}/reactions${emoji}`;

  async function readReactions(user: TestUser, room: { id: number }, seq = 1): Promise<Json> {
    const { body } = await rest(url(), user.token).get(`/rooms/${room.id}/messages?seqs=${seq}`);
    return body.content[0].reactions;
  }

  it('delivers the whole list and the change to every member, and marks `mine` only in answers for one caller', async () => {
    const { owner, person, room, room_id, socket, observer, react } = await setUp();
    const ack = await react('👍');
    expect(ack).to.deep.include({ ok: true, changed: true, reactions: [{ emoji: '👍', count: 1, mine: true }] });
    const changes = [{ user: person.user, emoji: '👍', added: true }];
    const event = {
      ...{ room_id, seq: 1, reactions: [{ emoji: '👍', count: 1 }], changes, rev: ack.rev, cursor: ack.cursor },
    };
    for (const member of [socket, observer]) expect(await member.next('reaction:changed')).to.deep.equal(event);
    expect(await readReactions(person, room)).to.deep.equal(ack.reactions);
    expect(await readReactions(owner, room)).to.deep.equal([{ emoji: '👍', count: 1 }]);
    const { version } = (await observer.request('message:history', { room_id })).messages[0];
    expect(version, 'a reaction is no new version').to.be.below(ack.rev);
  });

  it('answers a repeated reaction with changed: false and no new rev, and removes a reaction once', async () => {
    const { owner, room, react } = await setUp();
    const first = await react('👍');
    expect(await react('👍')).to.deep.include({ ok: true, changed: false, reactions: first.reactions });
    expect(await readRev(url(), owner, room)).to.equal(first.rev);
    const removed = await react('👍', 'remove');
    expect(removed).to.deep.include({ changed: true, reactions: [], rev: first.rev + 1 });
    expect(await react('👍', 'remove')).to.deep.include({ changed: false, reactions: [] });
    expect(await readRev(url(), owner, room)).to.equal(first.rev + 1);
    expect(await readReactions(owner, room)).to.equal(undefined);
  });

  it('treats spellings that differ in a variation selector as one emoji, and keeps the first', async () => {
    const { owner, person, room, observer, react } = await setUp();
    await react(heart);
    const ack = await react(redHeart, 'add', 1, observer);
    expect(ack.reactions).to.deep.equal([{ emoji: heart, count: 2, mine: true }]);
    expect(await react(redHeart)).to.include({ changed: false });
    const { body } = await rest(url(), person.token).delete(path(room, `/${encodeURIComponent(redHeart)}`));
    expect(body.content).to.deep.equal([{ emoji: heart, count: 1 }]);
    expect(await readReactions(owner, room)).to.deep.equal([{ emoji: heart, count: 1, mine: true }]);
  });

  it('allows 20 different emojis for each message, in the order in which they appeared', async () => {
    const { owner, room, observer, react } = await setUp();
    const emojis = Array.from({ length: 20 }, (_, n) => String.fromCodePoint(0x1f600 + n));
    for (const emoji of emojis) expect(await react(emoji)).to.include({ ok: true });
    expect((await react('👍')).error).to.include({ code: 'TOO_MANY_REACTIONS' });
    expectRefusal(await rest(url(), owner.token).put(path(room, `/${encodeURIComponent('👍')}`)), 'TOO_MANY_REACTIONS');
    expect(await react(emojis[3], 'add', 1, observer)).to.include({ ok: true });
    expect((await readReactions(owner, room)).map(({ emoji }: Json) => emoji)).to.deep.equal(emojis);
    await react(emojis[0], 'remove');
    expect((await react('👍')).reactions.map(({ emoji }: Json) => emoji)).to.deep.equal([...emojis.slice(1), '👍']);
  });

  it('stores simultaneous reactions to a message as one entry of the log', async () => {
    const { owner, person, room, observer, react } = await setUp();
    await sendMessages(url(), owner, room, 'two');
    const before = await readRev(url(), owner, room);
    // The first reaction is stored at once; those of the following 100 ms are stored together.
    const acks = await Promise.all([
      react('1'),
      ...['2', '3', '4'].map((emoji) => react(emoji)),
      ...['2', '5'].map((emoji) => react(emoji, 'add', 1, observer)),
      react('2', 'add', 2),
    ]);
    const revs = new Set(acks.map(({ rev }) => rev));
    expect(await readRev(url(), owner, room)).to.equal(before + revs.size);
    const events: Json[] = [];
    while (events.length < revs.size) events.push(await observer.next('reaction:changed'));
    expect(events.map(({ rev }) => rev)).to.deep.equal([...revs].sort((a, b) => a - b));
    const changes = events.filter(({ seq }) => seq === 1).flatMap((event) => event.changes);
    expect(changes.map(({ user, emoji }) => `${user} ${emoji}`)).to.have.members([
      ...['1', '2', '3', '4'].map((emoji) => `${person.user} ${emoji}`),
      ...['2', '5'].map((emoji) => `${owner.user} ${emoji}`),
    ]);
    const last = events.findLast(({ seq }) => seq === 1);
    const counts = (list: Json[]) => list.map(({ emoji, count }) => `${emoji} ${count}`);
    expect(counts(await readReactions(owner, room))).to.deep.equal(counts(last.reactions));
  });

  it('gathers the reactions of a room on one node for 100 ms', async () => {
    const node = url();
    const { owner, room } = await createRoomWithOwner(node);
    await sendMessages(node, owner, room, 'one');
    const socket = await socketClient(node, owner);
    const react = (emoji: string) => socket.raw.emitWithAck('reaction:add', { room_id: room.id, seq: 1, emoji });
    const startedAt = performance.now();
    const acks: Json[] = await Promise.all(['1', '2', '3', '4', '5', '6'].map(react));
    const revs = [...new Set(acks.map(({ rev }) => rev))].sort((a, b) => a - b);
    expect(revs).to.deep.equal(revs.map((_, n) => acks[0].rev + n));
    // The first is stored at once, and then once per 100 ms what has arrived; usually that is everything. A timer of
    // 100 ms may elapse a little earlier.
    expect(revs.length).to.be.within(2, 1 + Math.floor((performance.now() - startedAt + 5) / 100));
    for (const { rev, reactions } of acks)
      expect(reactions, 'of one moment').to.have.length(acks.filter((ack) => ack.rev <= rev).length);
    const remove = (emoji: string) => socket.raw.emitWithAck('reaction:remove', { room_id: room.id, seq: 1, emoji });
    const [, removed, again] = await Promise.all([remove('1'), remove('1'), react('1')]);
    expect([removed.changed, again.changed], 'in the order of the requests').to.deep.equal([false, true]);
  });

  const wrong: [string, unknown][] = [
    ['an empty string', ''],
    ['white space', 'a b'],
    ['a no-break space', 'a\u00a0b'],
    ['a control character', 'a\u0007'],
    ['NUL', '\0'],
    ['a slash', 'a/b'],
    ['a backslash', '\\'],
    ['.', '.'],
    ['..', '..'],
    ['a lone surrogate', '\ud83d'],
    ['a variation selector alone', '\ufe0f'],
    ['65 bytes', 'x'.repeat(65)],
    ['66 bytes in 33 characters', 'é'.repeat(33)],
    ['a number', 7],
    ['nothing', undefined],
  ];
  it('rejects an invalid emoji with the name of the field, and the connection survives', async () => {
    const { socket, react } = await setUp();
    for (const [title, emoji] of wrong) {
      expect((await react(emoji)).error, title).to.include({ code: 'BAD_REQUEST', field: 'emoji' });
    }
    for (const emoji of ['x'.repeat(64), '...', '%', ':party-parrot:', '👨‍👩‍👧‍👦', '<b>', "'"])
      expect(await react(emoji), emoji).to.include({ ok: true });
    expect(socket.raw.connected).to.equal(true);
  });

  it('decodes an emoji in a URL once, and never takes dots or slashes for another path', async () => {
    const { owner, room, react } = await setUp();
    const api = rest(url(), owner.token);
    for (const emoji of ['👍', '%', '%2e', '?', '#', '50%25'])
      expect((await api.put(path(room, `/${encodeURIComponent(emoji)}`))).body.content.at(-1)).to.deep.equal({
        ...{ emoji, count: 1, mine: true },
      });
    // `fetch` would resolve encoded dots itself.
    for (const [segment, status] of [
      ['%2e%2e', 400],
      ['%2E', 400],
      ['%2F', 400],
      ['a%2F..%2F..', 400],
      ['%5C', 400],
      ['%ff', 400],
      ['%', 400],
    ] as const) {
      const head = `DELETE ${path(room, `/${segment}`)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`;
      const answer = await rawRequest(url(), `${head}Authorization: Bearer ${owner.token}\r\n\r\n`);
      expect(answer.status, segment).to.equal(status);
    }
    const { body } = await api.get(`/rooms/${room.id}/messages?seqs=1`);
    expect(body.content[0]).to.include({ content: 'one' });
    expect(await react('👍', 'remove')).to.include({ changed: false });
  });

  it('needs `w`, or `r` in a room with readers_react', async () => {
    const { owner, person, room, react } = await setUp('r');
    expect((await react('👍')).error).to.include({ code: 'FORBIDDEN' });
    await putRule(url(), owner, room, { userUUID: person.user, permissions: 'rw' });
    expect(await react('👍')).to.include({ changed: true });
    await putRule(url(), owner, room, { userUUID: person.user, permissions: 'r' });
    expect(await react('👍'), 'a retry').to.include({ ok: true, changed: false });
    expect((await react('👍', 'remove')).error).to.include({ code: 'FORBIDDEN' });
    await putRule(url(), owner, room, { userUUID: person.user, permissions: 'rwb' });
    expect((await react('👎')).error).to.include({ code: 'BANNED' });
  });

  it('rejects a reaction to a missing or deleted message', async () => {
    const { owner, room, react } = await setUp();
    expect((await react('👍', 'add', 9)).error).to.include({ code: 'NO_MESSAGE', field: 'seq' });
    await react('👍');
    await rest(url(), owner.token).delete(`/rooms/${room.id}/messages/1`);
    expect((await react('👍', 'add')).error).to.include({ code: 'DELETED', field: 'seq' });
    expect((await react('👍', 'remove')).error).to.include({ code: 'DELETED', field: 'seq' });
  });

  it('removes the reactions of a deleted message, also from the log', async () => {
    const { owner, person, room, room_id, react } = await setUp();
    const { cursor } = await (await socketClient(url(), owner)).request('room:join', { room_id });
    await react('🤐');
    await react('👍');
    await rest(url(), owner.token).delete(`/rooms/${room_id}/messages/1`);
    expect(await readReactions(owner, room)).to.equal(undefined);
    const listed = await rest(url(), person.token).get(path(room));
    expect(listed.body).to.deep.include({ content: [] });
    const late = await socketClient(url(), person);
    const replay = await late.request('room:join', { room_id, since: cursor });
    expect(replay.recovered).to.equal(true);
    expect(JSON.stringify(replay)).to.not.include('🤐');
  });

  it('lists who reacted, by emoji and user, page by page, to readers only', async () => {
    const { owner, person, room, observer, react } = await setUp();
    for (const emoji of ['b', 'a', '👍']) {
      await react(emoji);
      await react(emoji, 'add', 1, observer);
    }
    const users = [owner.user, person.user].sort();
    const expected = ['a', 'b', '👍'].flatMap((emoji) => users.map((user) => ({ emoji, user })));
    const api = rest(url(), person.token);
    const all: Json[] = [];
    let after = '';
    for (let more = true; more; ) {
      const { body } = await api.get(path(room, `?limit=4${after}`));
      all.push(...body.content);
      more = body.meta.next !== null;
      after = `&after=${encodeURIComponent(body.meta.next)}`;
    }
    expect(all).to.deep.equal(expected);
    expect((await api.get(path(room, '?limit=6'))).body.meta.next).to.equal(null);
    expectRefusal(await api.get(path(room, '', 9)), 'NO_MESSAGE', 'seq');
    for (const query of ['?after=x', '?after=', '?limit=0', '?limit=501'])
      expectRefusal(await api.get(path(room, query)), 'BAD_REQUEST', query.slice(1, query.indexOf('=')));
    const writer = await createMember(url(), owner, room, 'w');
    expectRefusal(await rest(url(), writer.token).get(path(room)), 'FORBIDDEN');
  });

  it('takes the command react on /chat, which receives no frames about reactions', async () => {
    const { person, owner, room_id } = await setUp();
    const chat = await chatInRoom(url(), person, room_id);
    const silent = await chatInRoom(url(), owner, room_id);
    chat.send({ type: 'react', seq: 1, emoji: '👍', id: 1 });
    const frame = await chat.next();
    expect(frame).to.deep.include({ type: 'status', data: 'OK', id: 1, changed: true });
    expect(frame.reactions).to.deep.equal([{ emoji: '👍', count: 1, mine: true }]);
    chat.send({ type: 'react', seq: 1, emoji: '👍', remove: true, id: 2 });
    expect(await chat.next()).to.deep.include({ id: 2, changed: true, reactions: [] });
    chat.send({ type: 'react', seq: 9, emoji: '👍', id: 3 });
    expect(await chat.next()).to.deep.include({ data: 'ERROR', reason: 'NO_MESSAGE', id: 3 });
    chat.send({ type: 'message', content: 'fence' });
    expect((await silent.next()).data.content).to.equal('fence');
  });
});
