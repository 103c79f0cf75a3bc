import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { authenticatedChat } from '../helpers/chat-client.ts';
import { databaseSession } from '../helpers/database-session.ts';
import type { Json } from '../helpers/json.ts';
import { describeOneWiring, describeWirings, embedded, sharded } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { adminToken, createUser, type TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

interface Recipient {
  user: string;
  mentioned: boolean;
  connected: boolean | null;
}

async function findRecipients(url: string, room: { id: number }, seq: number, body: object = {}): Promise<Json> {
  const answer = await rest(url, adminToken).post(`/admin/rooms/${room.id}/messages/${seq}/recipients`, body);
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return answer.body;
}

async function list(url: string, room: { id: number }, seq: number, body: object = {}): Promise<Recipient[]> {
  return (await findRecipients(url, room, seq, body)).content;
}

const toUsers = (recipients: readonly Recipient[]) => recipients.map(({ user }) => user);

/** Sends a message as the user, and returns its `seq`. */
async function send(url: string, person: TestUser, room: { id: number }, more: object = {}): Promise<number> {
  const { status, body } = await rest(url, person.token).post(`/rooms/${room.id}/messages`, {
    content: 'news',
    ...more,
  });
  expect(status).to.equal(201);
  return body.content.seq;
}

describeWirings('The recipients of a message', [embedded, sharded], ({ url, urls }) => {
  it('are those who can read and have neither muted nor read it, with the mentioned ones first', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const [screen, away, muted, mentioned, banned, reader] = await Promise.all(
      [1, 2, 3, 4, 5, 6].map(() => createMember(url(), owner, room)),
    );
    const writeOnly = await createMember(url(), owner, room, 'w');
    await putRule(url(), owner, room, { userUUID: banned!.user, permissions: 'b' });
    await rest(url(), muted!.token).put(`/rooms/${room.id}/personal`, { muted: true });
    // Each of these is connected to another node, if there are several.
    await socketClient(urls().at(-1)!, screen!);
    await authenticatedChat(urls()[0]!, mentioned!);
    const seq = await send(url(), owner, room, { mentions: [mentioned!.user, banned!.user, owner.user] });
    await rest(url(), reader!.token).put(`/rooms/${room.id}/read`, { seq });
    const all = [owner, screen, away, muted, mentioned, banned, reader, writeOnly].map((one) => ({ user: one!.user }));
    for (const body of [{}, { users: [...all, { user: randomUUID() }] }]) {
      for (const node of urls()) {
        const [first, ...others] = await list(node, room, seq, body);
        expect(first).to.deep.equal({ user: mentioned!.user, mentioned: true, connected: true });
        expect(others).to.have.deep.members([
          { user: screen!.user, mentioned: false, connected: true },
          { user: away!.user, mentioned: false, connected: false },
        ]);
      }
    }
    await rest(url(), screen!.token).put(`/rooms/${room.id}/read`, { seq });
    expect(toUsers(await list(url(), room, seq))).to.deep.equal([mentioned!.user, away!.user]);
  });

  it('are connected as long as they have a connection to any node, whichever node is asked', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    const seq = await send(url(), owner, room);
    for (const home of urls()) {
      const [one, other] = [await socketClient(home, member), await authenticatedChat(home, member)];
      one.close();
      await one.closed;
      for (const node of urls()) expect(await list(node, room, seq)).to.have.nested.property('[0].connected', true);
      other.close();
      for (const node of urls()) {
        await waitUntil('the member is away', async () => (await list(node, room, seq))[0]!.connected === false);
      }
    }
  });

  it('are all mentioned by a message that mentions the room, and by one that mentions their organisation', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const entity = randomUUID();
    const colleague = createUser({ entity });
    const stranger = await createMember(url(), owner, room);
    await putRule(url(), owner, room, { userUUID: colleague.user, permissions: 'rw' });
    const everybody = await send(url(), owner, room, { mention_room: true });
    expect((await list(url(), room, everybody)).map(({ mentioned }) => mentioned)).to.deep.equal([true, true]);
    // With the first mark, the service knows the organisation of the user.
    await rest(url(), colleague.token).put(`/rooms/${room.id}/read`, { seq: everybody });
    const seq = await send(url(), owner, room, { mentions: [entity] });
    const expected = [
      { user: colleague.user, mentioned: true, connected: false },
      { user: stranger.user, mentioned: false, connected: false },
    ];
    expect(await list(url(), room, seq)).to.deep.equal(expected);
    const named = [{ user: stranger.user }, { user: colleague.user, entity }];
    expect(await list(url(), room, seq, { users: named })).to.deep.equal(expected);
    const withoutEntity = await list(url(), room, seq, { users: [{ user: colleague.user, entity: null }] });
    expect(withoutEntity[0]).to.include({ mentioned: false });
  });
});

describeOneWiring('Recipients', ({ url, startNode }) => {
  it('have the rights that their organisation and their level give them', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(url(), owner);
    const entity = randomUUID();
    await putRule(url(), owner, room, { entity_UUID: entity, permissions: 'r', level: 5 });
    const seq = await send(url(), owner, room);
    const [low, high, unknown] = [randomUUID(), randomUUID(), randomUUID()];
    const users = [{ user: low, entity, level: 4 }, { user: high, entity, level: 5 }, { user: unknown }];
    expect(toUsers(await list(url(), room, seq, { users }))).to.deep.equal([]);
    // Only users whom the service has seen before have something unread by a rule of their organisation.
    for (const user of [low, high]) await rest(url(), createUser({ user, entity, level: 9 }).token).get('/rooms');
    await waitUntil('the users are seen', async () => {
      const next = await send(url(), owner, room);
      return toUsers(await list(url(), room, next, { users })).includes(high);
    });
    const next = await send(url(), owner, room);
    expect(toUsers(await list(url(), room, next, { users }))).to.deep.equal([high]);
    await putRule(url(), owner, room, { entity_UUID: entity, permissions: 'b' });
    expect(toUsers(await list(url(), room, next, { users }))).to.deep.equal([]);
  });

  it('are none of a deleted, a silent or an imported message', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await createMember(url(), owner, room);
    const deleted = await send(url(), owner, room);
    await rest(url(), owner.token).delete(`/rooms/${room.id}/messages/${deleted}`);
    expect(await list(url(), room, deleted)).to.deep.equal([]);
    expect(await list(url(), room, await send(url(), owner, room, { silent: true }))).to.deep.equal([]);
    expect(await list(url(), room, await send(url(), owner, room))).to.have.length(1);
    const messages = [{ emitter: owner.user, content: 'old', createdAt: new Date().toISOString() }];
    await waitUntil('the message is imported', async () => {
      const { status } = await rest(url(), adminToken).post(`/admin/rooms/${room.id}/messages`, { messages });
      return status === 201;
    });
    expect(await list(url(), room, 4)).to.deep.equal([]);
  });

  it('include those who are mentioned in a reply, and everybody for a message of the service', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    await rest(url(), adminToken).post(`/admin/rooms/${room.id}/messages`, { messages: [{ content: 'system' }] });
    expect(toUsers(await list(url(), room, 1))).to.have.members([owner.user, member.user]);
    const seq = await send(url(), owner, room, { thread: 1, mentions: [member.user] });
    expect(await list(url(), room, seq)).to.deep.equal([{ user: member.user, mentioned: true, connected: false }]);
  });

  it('come page by page, each once, with the mentioned ones first', async () => {
    const DATABASE_URL = await freshDatabase();
    const { url: node } = await startNode({ DATABASE_URL });
    const { owner, room } = await createRoomWithOwner(node);
    const session = await databaseSession(DATABASE_URL);
    const { rows } = await session.query(
      `insert into permission_rules (room_id, grantee, kind, permissions, level, from_seq, created_at, updated_at)
       select $1, gen_random_uuid(), 'user', 'r', 0, 0, now(), now() from generate_series(1, 2500) returning grantee`,
      [room.id],
    );
    const users: string[] = rows.map(({ grantee }) => grantee);
    const mentioned = [users[2_400]!, users[10]!];
    const seq = await send(node, owner, room, { mentions: mentioned });
    const pages: Recipient[][] = [];
    let after: string | null | undefined;
    do {
      const { content, meta } = await findRecipients(node, room, seq, { after });
      pages.push(content);
      after = meta.next;
    } while (after);
    const all = pages.flat();
    expect(pages.length).to.be.within(3, 4);
    expect(toUsers(all)).to.have.length(2_500).and.have.members(users);
    expect(toUsers(all.slice(0, 2))).to.have.members(mentioned);
    expect(all.filter((one) => one.mentioned)).to.have.length(2);
    const small = await findRecipients(node, room, seq, { limit: 1 });
    expect(small.content).to.have.length(1);
    const second = await findRecipients(node, room, seq, { limit: 1, after: small.meta.next });
    expect(toUsers([...small.content, ...second.content])).to.have.members(mentioned);
    const third = await findRecipients(node, room, seq, { limit: 1, after: second.meta.next });
    expect(mentioned).to.not.include(third.content[0]?.user);
  });

  it('are refused for a message or a room that does not exist, and for invalid parameters', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'one');
    const ask = (path: string, body?: object) => rest(url(), adminToken).post(`/admin/rooms/${path}/recipients`, body);
    expectRefusal(await ask(`${room.id}/messages/2`, {}), 'NO_MESSAGE', 'seq');
    const withoutBody = await ask(`${room.id}/messages/1`);
    expectRefusal(withoutBody, 'BAD_REQUEST');
    expect(withoutBody.body.meta.detail).to.equal('the body is missing: send a JSON object, or {} for the defaults');
    expectRefusal(await ask('999999/messages/1', {}), 'NOT_FOUND');
    expectRefusal(await ask(`${room.id}/messages/0`, {}), 'BAD_REQUEST', 'seq');
    expectRefusal(await ask(`${room.id}/messages/1`, { after: 'x' }), 'BAD_REQUEST', 'after');
    expectRefusal(await ask(`${room.id}/messages/1`, { users: ['ana'] }), 'BAD_REQUEST', 'users.0');
    const mistyped = { users: [{ user: randomUUID(), Entity: null }] };
    expectRefusal(await ask(`${room.id}/messages/1`, mistyped), 'BAD_REQUEST', 'users.0.Entity');
    const tooMany = Array.from({ length: 1_001 }, () => ({ user: randomUUID() }));
    expectRefusal(await ask(`${room.id}/messages/1`, { users: tooMany }), 'BAD_REQUEST', 'users');
  });
});

describeOneWiring('GET /admin/users/:uuid/rooms', ({ url }) => {
  it('lists the rooms of a user with what an inbox shows, for a digest', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    const other = await createRoom(url(), owner, { name: 'another room' });
    await putRule(url(), owner, other, { userUUID: member.user, permissions: 'r' });
    await sendMessages(url(), owner, room, 'one', 'two', 'three');
    await send(url(), owner, room, { mentions: [member.user] });
    await rest(url(), member.token).put(`/rooms/${room.id}/read`, { seq: 1 });
    const ask = (query: string) => rest(url(), adminToken).get(`/admin/users/${member.user}/rooms?${query}`);
    const { body } = await ask('inbox=true');
    expect(body.content.map(({ id }: Json) => id)).to.deep.equal([room.id, other.id]);
    expect(body.content[0]).to.include({ unread: 3, unread_mentions: 1, read_seq: 1 });
    expect(body.meta).to.deep.include({ next: null, unread_rooms: [room.id] });
    const own = await rest(url(), member.token).get('/rooms?inbox=true');
    expect(own.body.content).to.deep.equal(body.content);
    const first = await ask('inbox=true&limit=1');
    const second = await ask(`inbox=true&limit=1&after=${first.body.meta.next}`);
    expect([...first.body.content, ...second.body.content]).to.deep.equal(body.content);
    const plain = await ask('');
    expect(plain.body.content).to.deep.equal((await rest(url(), member.token).get('/rooms')).body.content);
  });

  it('lists the rooms of the organisation that the call names, and none for an unknown user', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(url(), owner);
    const user = randomUUID();
    const ask = (query: string) => rest(url(), adminToken).get(`/admin/users/${user}/rooms?inbox=true${query}`);
    expect((await ask('')).body.content).to.deep.equal([]);
    const { content } = (await ask(`&entity=${owner.entity}&level=100`)).body;
    expect(content.map(({ id }: Json) => id)).to.deep.equal([room.id]);
  });
});
