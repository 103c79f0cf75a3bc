import { expect } from 'chai';
import { Message } from '../../src/core/log/message.ts';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, readRev, sendMessages } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';

describeBothDatabases('POST /rooms/:id/messages', ({ url }) => {
  const post = (token: string, room: { id: number }, body: unknown, headers?: Record<string, string>) =>
    rest(url(), token).post(`/rooms/${room.id}/messages`, body, headers);
  const history = async (token: string, room: { id: number }): Promise<Json[]> =>
    (await rest(url(), token).get(`/rooms/${room.id}/messages`)).body.content;

  it('answers a sent message with 201, the message, its rev and cursor', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const { status, body } = await post(owner.token, room, { content: 'Fueled up and ready to go' });
    expect(status).to.equal(201);
    expect(Message.strict().parse(body.content)).to.deep.equal(body.content);
    const message = { room_id: room.id, seq: 1, emitter: owner.user, client_msg_id: null };
    expect(body.content).to.include({ ...message, content: 'Fueled up and ready to go' });
    expect(body.meta).to.include({ code: 201, rev: await readRev(url(), owner, room) });
    expect(body.meta.cursor).to.be.a('string');
    expect(await history(owner.token, room)).to.deep.equal([body.content]);
  });

  it('numbers the messages of each room with seq 1, 2, 3, and updates last_seq', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const said = await sendMessages(url(), owner, room, 'a', 'b', 'c');
    expect(said.map(({ seq }) => seq)).to.deep.equal([1, 2, 3]);
    expect((await rest(url(), owner.token).get(`/rooms/${room.id}`)).body.content.room.last_seq).to.equal(3);
  });

  it('numbers 100 concurrent messages without gaps, with createdAt that never decreases', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const sends = Array.from({ length: 100 }, (_, n) => post(owner.token, room, { content: `${n}` }));
    const sent = (await Promise.all(sends)).map(({ body }) => body.content);
    const kept = await history(owner.token, room);
    expect(kept.map(({ seq }) => seq)).to.deep.equal(Array.from({ length: 100 }, (_, n) => n + 1));
    expect(kept).to.deep.equal(sent.sort((a, b) => a.seq - b.seq));
    const times = kept.map(({ createdAt }) => createdAt);
    expect(times).to.deep.equal([...times].sort());
  });

  const contents: Record<string, string> = {
    emoji: '👩‍👩‍👧‍👦 🇨🇱 ñandú',
    quotes: `it's "quoted" \`so\` \\n \\u0000 $1`,
    HTML: '<script>alert("&amp;")</script>',
    SQL: "'); drop table messages; --",
    'white space': ' \t\r\n ',
    'text that is not in Unicode normal form': 'e\u0301 \u200b\ufeff\u202e',
    'one character': 'x',
    '8 KiB': 'x'.repeat(8_192),
    '8 KiB of UTF-8': '🙂'.repeat(2_048),
  };
  for (const [title, content] of Object.entries(contents)) {
    it(`stores a message with ${title} exactly as sent`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      expect((await post(owner.token, room, { content })).body.content.content).to.equal(content);
      expect((await history(owner.token, room))[0].content).to.equal(content);
    });
  }

  const notContent: Record<string, unknown> = {
    ...{ nothing: undefined, 'an empty string': '', NUL: 'a\0b', null: null },
    ...{ '42 (the original stored it)': 42, 'true (the original stored it)': true },
    ...{ 'an object (it ended the original)': { text: 'x' }, 'a list': ['x'] },
  };
  for (const [title, content] of Object.entries(notContent)) {
    it(`rejects a message with ${title} with 400`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      expectRefusal(await post(owner.token, room, { content }), 'BAD_REQUEST', 'content');
      expect(await history(owner.token, room)).to.deep.equal([]);
    });
  }

  it('rejects a message of more than 8 KiB of UTF-8 with 413 TOO_LARGE', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    for (const content of ['x'.repeat(8_193), '🙂'.repeat(2_049)]) {
      expectRefusal(await post(owner.token, room, { content }), 'TOO_LARGE');
    }
  });

  it('requires w for a message', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const send = async (permissions: string) =>
      post((await createMember(url(), owner, room, permissions)).token, room, { content: 'x' });
    expectRefusal(await send('r'), 'FORBIDDEN');
    expectRefusal(await send('b'), 'BANNED');
    for (const permissions of ['w', 'a']) expect((await send(permissions)).status).to.equal(201);
    expectRefusal(await post(createUser({ level: 100 }).token, room, { content: 'x' }), 'NOT_FOUND');
  });

  it('answers a message with the same client_msg_id with 200, the first message and meta.duplicate', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const draft = { content: 'once', client_msg_id: 'a-Z_0' };
    const first = await post(owner.token, room, draft);
    expect(first.status).to.equal(201);
    expect(first.body.content.client_msg_id).to.equal('a-Z_0');
    expect(first.body.meta).to.not.have.property('duplicate');
    const again = await post(owner.token, room, draft);
    expect(again.status).to.equal(200);
    expect(again.body.meta).to.include({ code: 200, duplicate: true, rev: first.body.meta.rev });
    expect(again.body.content).to.deep.equal(first.body.content);
    expect(await history(owner.token, room)).to.have.length(1);
    expect(await readRev(url(), owner, room)).to.equal(first.body.meta.rev);
  });

  it('stores one message for twenty concurrent requests with one client_msg_id', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const send = () => post(owner.token, room, { content: 'once', client_msg_id: 'one' });
    const answers = await Promise.all(Array.from({ length: 20 }, send));
    expect(answers.filter(({ status }) => status === 201)).to.have.length(1);
    expect(answers.filter(({ status, body }) => status === 200 && body.meta.duplicate)).to.have.length(19);
    expect(await history(owner.token, room)).to.have.length(1);
  });

  it('accepts the client_msg_id in the header Idempotency-Key', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const send = (body: object, headers = {}) => post(owner.token, room, { content: 'once', ...body }, headers);
    const first = await send({}, { 'Idempotency-Key': 'key-1' });
    expect(first).to.nested.include({ status: 201, 'body.content.client_msg_id': 'key-1' });
    expect(await send({}, { 'Idempotency-Key': 'key-1' })).to.include({ status: 200 });
    expect(await send({ client_msg_id: 'key-1' })).to.include({ status: 200 });
    expectRefusal(await send({}, { 'Idempotency-Key': 'not a key' }), 'BAD_REQUEST');
  });

  it('rejects a client_msg_id that was used with another content with 409 ID_REUSED', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await post(owner.token, room, { content: 'one', client_msg_id: 'id' });
    expectRefusal(await post(owner.token, room, { content: 'two', client_msg_id: 'id' }), 'ID_REUSED');
    expect(await history(owner.token, room)).to.have.length(1);
  });

  it('accepts the same client_msg_id in another room and from another emitter', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const other = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const draft = { content: 'mine', client_msg_id: '1' };
    const sends = [
      post(owner.token, room, draft),
      post(guest.token, room, draft),
      post(other.owner.token, other.room, draft),
    ];
    for (const sent of await Promise.all(sends)) expect(sent.status).to.equal(201);
  });

  it('answers a retry of a message even if the sender may no longer write', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const draft = { content: 'last words', client_msg_id: 'last' };
    const first = await post(guest.token, room, draft);
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'b' });
    const again = await post(guest.token, room, draft);
    expect(again.status).to.equal(200);
    expect(again.body.content).to.deep.equal(first.body.content);
    expectRefusal(await post(guest.token, room, { content: 'more', client_msg_id: 'more' }), 'BANNED');
  });

  for (const client_msg_id of ['', 'a b', 'ñ', 'x'.repeat(65), 'a.b', 7, {}]) {
    it(`rejects the client_msg_id ${JSON.stringify(client_msg_id).slice(0, 20)} with 400`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      expectRefusal(await post(owner.token, room, { content: 'x', client_msg_id }), 'BAD_REQUEST', 'client_msg_id');
    });
  }

  it('accepts a client_msg_id of 64 characters, and null for none', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const long = await post(owner.token, room, { content: 'x', client_msg_id: 'x'.repeat(64) });
    expect(long.body.content.client_msg_id).to.have.length(64);
    for (let n = 0; n < 2; n++) {
      expect(await post(owner.token, room, { content: 'x', client_msg_id: null })).to.include({ status: 201 });
    }
  });
});
