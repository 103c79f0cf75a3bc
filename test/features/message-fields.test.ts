import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';

describeBothDatabases('Fields of a message', ({ url }) => {
  async function setUp() {
    const { owner, room } = await createRoomWithOwner(url());
    const room_id: number = room.id;
    const api = rest(url(), owner.token);
    const post = (draft: unknown) => api.post(`/rooms/${room_id}/messages`, draft);
    /** Sends the draft on Socket.IO. */
    const socket = await socketClient(url(), owner);
    expect(await socket.request('room:join', { room_id })).to.include({ ok: true });
    const send = (draft: object) => socket.request('message:send', { room_id, content: 'text', ...draft });
    const history = async () => (await api.get(`/rooms/${room_id}/messages`)).body.content as Json[];
    return { owner, room, room_id, api, post, socket, send, history };
  }

  it('stores mentions, custom data and silent, and delivers and returns them on all transports', async () => {
    const { owner, room_id, post, socket, history } = await setUp();
    const chat = await chatInRoom(url(), owner, room_id);
    const mentions = [randomUUID(), owner.entity];
    const fields = { mentions, mention_room: true, custom: { type: 'card', rows: [1, null, 'ü'] }, silent: true };
    const { status, body } = await post({ content: 'text', ...fields });
    expect(status).to.equal(201);
    expect(body.content).to.deep.include({ content: 'text', ...fields });
    const { rev, cursor } = body.meta;
    expect(await socket.next('message:new')).to.deep.equal({ ...body.content, rev, cursor });
    expect(await chat.next()).to.deep.equal({ type: 'message', rev, cursor, data: body.content });
    expect(await history()).to.deep.equal([body.content]);
    chat.send({ type: 'message', content: 'chat', ...fields, id: 1 });
    expect((await chat.next()).data).to.deep.include({ content: 'chat', ...fields });
  });

  it('omits fields that are empty, null or false', async () => {
    const { post, history } = await setUp();
    const empty = { mentions: [], mention_room: false, custom: null, silent: false, reply_to: null, thread: null };
    const { body } = await post({ content: 'text', ...empty });
    expect(body.content).to.not.have.any.keys(...Object.keys(empty));
    expect(await history()).to.deep.equal([body.content]);
  });

  it('accepts empty content with custom data only, and then also on /chat without content', async () => {
    const { owner, room_id, post, send } = await setUp();
    expectRefusal(await post({ content: '' }), 'BAD_REQUEST', 'content');
    expectRefusal(await post({ content: '', custom: null }), 'BAD_REQUEST', 'content');
    expectRefusal(await post({ custom: { a: 1 } }), 'BAD_REQUEST', 'content');
    expect((await send({ content: '', custom: {} })).message).to.deep.include({ content: '', custom: {} });
    const chat = await chatInRoom(url(), owner, room_id);
    chat.send({ type: 'message', custom: { a: 1 }, id: 1 });
    expect((await chat.next()).data).to.deep.include({ content: '', custom: { a: 1 } });
  });

  it('returns custom data exactly as JSON.stringify writes it: keys in order, numbers without rounding', async () => {
    const { api, room_id, owner } = await setUp();
    const text = '{"z":1,"a":{"é":1e308,"b":-0.1,"c":[1e-7,12345678901234567000]},"empty":"","__x":true,"9":0}';
    const written = JSON.stringify(JSON.parse(text));
    const sent = `{"content":"","custom":${text}}`;
    const headers = { Authorization: `Bearer ${owner.token}`, 'Content-Type': 'application/json' };
    const path = `${url()}/rooms/${room_id}/messages`;
    const answer = await (await fetch(path, { method: 'POST', body: sent, headers })).text();
    expect(answer).to.include(`"custom":${written}`);
    const page = await (await fetch(path, { headers })).text();
    expect(page).to.include(`"custom":${written}`);
    const edited = await api.patch(`/rooms/${room_id}/messages/1`, { custom: JSON.parse(text), content: 'x' });
    expect(edited.body.meta).to.include({ changed: true });
    const again = await api.patch(`/rooms/${room_id}/messages/1`, { custom: JSON.parse(text) });
    expect(again.body.meta, 'the same custom data').to.include({ changed: false });
  });

  it('rejects custom data that is not an object, too large, or has NUL, lone surrogates or __proto__ at any depth', async () => {
    const { post, send, socket } = await setUp();
    for (const custom of [1, 'x', [1], true])
      expectRefusal(await post({ content: 'x', custom }), 'BAD_REQUEST', 'custom');
    const notStorable = [
      '{"a":[{"b":"\\u0000"}]}',
      '{"a":{"\\ud800":1}}',
      '{"a":["\\udc00"]}',
      '{"a":{"__proto__":1}}',
    ];
    const tooDeep = `{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`;
    for (const text of [...notStorable, '{"__proto__":{"a":1}}', tooDeep])
      expectRefusal(await post(`{"content":"x","custom":${text}}`), 'BAD_REQUEST', 'custom');
    expect((await send({ custom: { a: { b: ['\0'] } } })).error).to.include({ code: 'BAD_REQUEST', field: 'custom' });
    const fits = { a: 'x'.repeat(4_096 - '{"a":""}'.length) };
    expect((await send({ custom: fits })).message.custom).to.deep.equal(fits);
    const large = { a: `${fits.a}x` };
    expect((await send({ custom: large })).error).to.include({ code: 'TOO_LARGE', field: 'custom' });
    expectRefusal(await post({ content: 'x', custom: large }), 'TOO_LARGE', 'custom');
    expect(socket.raw.connected).to.equal(true);
  });

  it('accepts 50 mentions in either case, each once', async () => {
    const { send } = await setUp();
    const mentions = Array.from({ length: 50 }, () => randomUUID());
    const upper = mentions.map((id) => id.toUpperCase());
    expect((await send({ mentions: upper })).message.mentions).to.deep.equal(mentions);
    expect((await send({ mentions: [mentions[0], upper[0]] })).message.mentions).to.deep.equal([mentions[0]]);
    expect((await send({ mentions: [...mentions, randomUUID()] })).error).to.include({ field: 'mentions' });
    expect((await send({ mentions: ['x'] })).error.field).to.match(/^mentions/);
    expect((await send({ mentions: 'x' })).error).to.include({ code: 'BAD_REQUEST', field: 'mentions' });
    for (const name of ['silent', 'mention_room'])
      expect((await send({ [name]: 'yes' })).error).to.include({ code: 'BAD_REQUEST', field: name });
  });

  it('answers a retry as a duplicate if all contents are equal, and otherwise with ID_REUSED', async () => {
    const { owner, room, send } = await setUp();
    await sendMessages(url(), owner, room, 'root');
    const draft = { client_msg_id: 'a', custom: { a: 1, b: 2 }, mentions: [owner.user], thread: 1, reply_to: 1 };
    const first = await send(draft);
    expect(await send(draft)).to.deep.equal({ ...first, duplicate: true });
    for (const other of [
      { content: 'other' },
      { custom: { a: 1, b: 3 } },
      { custom: null },
      { mentions: [] },
      { mentions: [randomUUID()] },
      { mention_room: true },
      { thread: null },
      { reply_to: null },
    ])
      expect((await send({ ...draft, ...other })).error).to.include({ code: 'ID_REUSED', field: 'client_msg_id' });
    await send({ client_msg_id: 'plain' });
    expect((await send({ client_msg_id: 'plain', custom: { a: 1 } })).error).to.include({ code: 'ID_REUSED' });
    expect((await send({ client_msg_id: 'plain' })).duplicate).to.equal(true);
    expect((await send({ client_msg_id: 'a' })).error).to.include({ code: 'ID_REUSED' });
  });

  it('answers a retry of a changed message with its version and the position of that version', async () => {
    const { room_id, socket, send } = await setUp();
    const draft = { client_msg_id: 'a', custom: { a: 1 } };
    for (const fields of [draft, { client_msg_id: 'b' }]) {
      const { message } = await send(fields);
      const edit = await socket.request('message:edit', { room_id, seq: message.seq, content: 'edited' });
      await socket.request('reaction:add', { room_id, seq: message.seq, emoji: '👍' });
      await send({ thread: message.seq });
      const again = await send({ ...fields, content: 'whatever' });
      const { changed: _, ...position } = edit;
      expect(again).to.deep.equal({ ...position, duplicate: true });
    }
  });
});
