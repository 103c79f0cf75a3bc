import { expect } from 'chai';
import { chatInRoom } from '../helpers/chat-client.ts';
import { databaseSession, lockRoom } from '../helpers/database-session.ts';
import { describeBothDatabases, describeOneWiring, postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { startRedis } from '../helpers/redis.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, readRev } from '../helpers/rooms.ts';
import { expectConnectError, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

/** Counts the rooms that the user can create until the request limit rejects the next. */
async function roomsUntilLimited(url: string, { token }: TestUser): Promise<number> {
  for (let made = 0; ; made++) {
    const { status, body } = await rest(url, token).post('/rooms', { name: 'one more' });
    if (status === 200) continue;
    expect(body.meta).to.include({ code: 429, reason: 'RATE_LIMITED' });
    return made;
  }
}

describeOneWiring('REQUEST_RATE', ({ startNode }) => {
  it('rejects requests with RATE_LIMITED and retry_after on every transport, for this user only, and keeps the connections', async () => {
    // The limit is enough for a room, a member, a connect and a join.
    const { url } = await startNode({ REQUEST_RATE: 1, REQUEST_BURST: 60 });
    const { owner, room } = await createRoomWithOwner(url);
    const room_id: number = room.id;
    const other = await createMember(url, owner, room);
    const socket = await socketClient(url, owner);
    expect(await socket.request('room:join', { room_id })).to.include({ ok: true });
    const chat = await chatInRoom(url, owner, room_id);
    const api = rest(url, owner.token);
    const answered = await api.get(`/rooms/${room_id}`);
    const { status, headers, body } = await api.patch(`/rooms/${room_id}`, { name: 'late' });
    expect([answered.status, status, body.meta.reason]).to.deep.equal([200, 429, 'RATE_LIMITED']);
    expect(body.meta.retry_after_ms).to.be.within(10_000, 25_000);
    expect(Number(headers.get('Retry-After'))).to.equal(Math.ceil(body.meta.retry_after_ms / 1_000));
    const { error } = await socket.request('message:history', { room_id, limit: 500 });
    expect(error).to.include({ code: 'RATE_LIMITED' });
    expect(error.retry_after_ms).to.be.within(1, 25_000);
    chat.send({ type: 'get_past_messages', limit: 500, id: 1 });
    const refused = await chat.skipTo(({ id }) => id === 1);
    expect(refused).to.include({ data: 'ERROR', reason: 'RATE_LIMITED' });
    expect(refused.retry_after_ms).to.be.within(1, 25_000);
    // Messages have a separate limit, so they are still accepted.
    expect(await socket.request('message:send', { room_id, content: 'still here' })).to.include({ ok: true });
    expect((await chat.skipTo(({ type }) => type === 'message')).data.content).to.equal('still here');
    expect((await rest(url, other.token).get('/rooms')).status).to.equal(200);
  });

  it('rejects a connect beyond the request limit, with the time of the next attempt', async () => {
    const { url } = await startNode({ REQUEST_RATE: 1, REQUEST_BURST: 5 });
    const guest = createUser();
    await socketClient(url, guest);
    const { data } = await expectConnectError(url, { token: guest.token });
    expect(data).to.include({ code: 'RATE_LIMITED' });
    expect(data.retry_after_ms).to.be.within(1, 5_000);
  });

  it('charges rejected requests and messages, so that a user who retries denied requests is soon limited', async () => {
    const { url } = await startNode({ REQUEST_RATE: 1, REQUEST_BURST: 50 });
    const { room } = await createRoomWithOwner(url);
    const outsider = rest(url, createUser().token);
    const statuses: number[] = [];
    for (let n = 0; n < 3; n++) statuses.push((await outsider.patch(`/rooms/${room.id}`, { name: 'mine' })).status);
    expect(statuses).to.deep.equal([404, 404, 429]);
    const writer = rest(url, createUser().token);
    const sent: number[] = [];
    for (let n = 0; n < 12; n++) sent.push((await writer.post(`/rooms/${room.id}/messages`, { content: 'x' })).status);
    expect(sent.slice(0, 10)).to.deep.equal(Array(10).fill(404));
    expect(sent.at(-1)).to.equal(429);
  });
});

describe('The requests of a user on two nodes', () => {
  /** Starts two nodes. A room costs a fifth of a full bucket. */
  async function twoNodes() {
    const redis = await startRedis();
    const settings = { DATABASE_URL: await freshDatabase(), REDIS_URL: redis.url };
    const limits = { REQUEST_RATE: 1, REQUEST_BURST: 100 };
    const nodes = [
      await startNode(postgres, { ...settings, ...limits }),
      await startNode(postgres, { ...settings, ...limits }),
    ];
    return { redis, urls: nodes.map(({ url }) => url) as [string, string] };
  }

  it('counts the requests of a user on two nodes together over Redis, and separately without waiting while Redis is down', async () => {
    const { redis, urls } = await twoNodes();
    const user = createUser({ level: 100 });
    expect(await roomsUntilLimited(urls[0], user)).to.be.within(5, 6);
    // This node may accept one more request before it learns what the other node spent.
    expect(await roomsUntilLimited(urls[1], user)).to.be.lessThan(3);
    redis.freeze();
    const other = createUser({ level: 100 });
    for (const url of urls) expect(await roomsUntilLimited(url, other)).to.be.within(5, 6);
    redis.thaw();
  });
});

describe('Requests that are refused', () => {
  it('rejects requests without waiting for a lock of their room, and without a write to it', async () => {
    const DATABASE_URL = await freshDatabase();
    const { url } = await startNode(postgres, { DATABASE_URL });
    const { owner, room } = await createRoomWithOwner(url);
    const [reader, outsider, banned] = [
      await createMember(url, owner, room, 'r'),
      createUser(),
      await createMember(url, owner, room, 'b'),
    ];
    const rev = await readRev(url, owner, room);
    const other = await databaseSession(DATABASE_URL);
    await lockRoom(other, room);
    const path = `/rooms/${room.id}`;
    const statuses: Record<string, number[]> = {};
    for (const [name, { token }] of Object.entries({ reader, outsider, banned })) {
      const api = rest(url, token);
      const answers = [
        await api.patch(path, { name: 'mine' }),
        await api.delete(path),
        await api.put(`${path}/members`, { userUUID: createUser().user, permissions: 'r' }),
        await api.delete(`${path}/members/${owner.user}`),
        await api.put(`${path}/invitation`, { accepted: true, use_parent_entity: true }),
        await api.post(`${path}/messages`, { content: 'x' }),
      ];
      statuses[name] = answers.map(({ status }) => status);
    }
    expect(statuses).to.deep.equal({
      reader: [403, 403, 403, 403, 404, 403],
      outsider: [404, 404, 404, 404, 404, 404],
      banned: [403, 403, 403, 403, 404, 403],
    });
    await other.query('commit');
    expect(await readRev(url, owner, room)).to.equal(rev);
  });

  it('answers rejected requests and requests without effect without waiting for a lock', async () => {
    const DATABASE_URL = await freshDatabase();
    const { url } = await startNode(postgres, { DATABASE_URL });
    const { owner, room } = await createRoomWithOwner(url);
    const wish = { name: 'pair', type: 'user2user', with: createUser().user };
    const pair = await createRoom(url, owner, wish);
    const guest = await createMember(url, owner, room, 'r');
    const answer = { accepted: true };
    await rest(url, guest.token).put(`/rooms/${room.id}/invitation`, answer);
    const other = await databaseSession(DATABASE_URL);
    await other.query('begin');
    await other.query('select 1 from rooms for update');
    const same = await rest(url, owner.token).patch(`/rooms/${room.id}`, { name: room.name });
    expect(same.body.content.room).to.deep.equal(room);
    const again = await rest(url, guest.token).put(`/rooms/${room.id}/invitation`, answer);
    expect(again.body.content).to.include(answer);
    expect((await createRoom(url, owner, wish)).id).to.equal(pair.id);
    await other.query('commit');
  });
});

describeBothDatabases('Changes of one’s own rule', ({ url }) => {
  it('limits repeated changes of a user’s own rule, so that others can still recover missed changes', async () => {
    const at = url();
    const { owner, room } = await createRoomWithOwner(at);
    const reader = await createMember(at, owner, room, 'r');
    const victim = await socketClient(at, owner);
    const { cursor } = await victim.request('room:join', { room_id: room.id });
    victim.close();
    const rev = await readRev(at, owner, room);
    let last = 200;
    for (let n = 0; n < 30; n++) {
      const toggle = { accepted: n % 2 === 0 };
      const { status } = await rest(at, reader.token).put(`/rooms/${room.id}/invitation`, toggle);
      // A rejected request changes nothing. The next request then may be one without effect, which is accepted.
      if (status === 429) last = status;
    }
    expect(last).to.equal(429);
    // The first answer is not counted, and the second node may not know yet what the first node counted last.
    expect((await readRev(at, owner, room)) - rev).to.be.within(11, 12);
    const back = await socketClient(at, owner);
    expect(await back.request('room:join', { room_id: room.id, since: cursor })).to.include({ recovered: true });
  });

  it('limits repeatedly leaving a pair and returning to it', async () => {
    const at = url();
    const [owner, other] = [createUser({ level: 100 }), createUser()];
    const wish = { name: 'pair', type: 'user2user', with: other.user };
    const pair = await createRoom(at, owner, wish);
    const statuses = new Set<number>();
    for (let n = 0; n < 8; n++) {
      statuses.add((await rest(at, owner.token).delete(`/rooms/${pair.id}/members/${owner.user}`)).status);
      statuses.add((await rest(at, owner.token).post('/rooms', wish)).status);
    }
    expect(statuses).to.include(429);
    expect(await readRev(at, other, pair)).to.be.within(10, 12);
  });
});

describeOneWiring('RULE_RATE', ({ startNode }) => {
  it('limits the rooms that a user is added to, to half of them by the same administrator, and never changes of existing rules', async () => {
    const { url } = await startNode({ RULE_RATE: 1, RULE_BURST: 4 });
    const [stranger, giver, second, third] = [0, 1, 2, 3].map(() => createUser({ level: 100 })) as [
      TestUser,
      TestUser,
      TestUser,
      TestUser,
    ];
    const rule = { userUUID: stranger.user, permissions: 'r' };
    const give = async (by: TestUser) => {
      const room = await createRoom(url, by);
      return (await rest(url, by.token).put(`/rooms/${room.id}/members`, rule)).status;
    };
    expect([await give(giver), await give(giver), await give(giver)]).to.deep.equal([201, 201, 429]);
    const pair = { name: 'pair', type: 'user2user', with: stranger.user };
    const refused = await rest(url, giver.token).post('/rooms', pair);
    expect(refused.body.meta).to.include({ reason: 'RATE_LIMITED' });
    expect(refused.body.meta.retry_after_ms).to.be.within(60_000, 120_000);
    expect([await give(second), await give(third), await give(third)]).to.deep.equal([201, 201, 429]);
    const room = await createRoom(url, giver);
    await putRule(url, giver, room, { userUUID: createUser().user, permissions: 'r' });
    expect((await rest(url, stranger.token).get('/rooms')).body.content).to.have.length(4);
    const [{ room_id }] = (await rest(url, stranger.token).get('/rooms')).body.content;
    const admins = [giver, second, third].map(({ token }) => rest(url, token));
    const changed = await Promise.all(
      admins.map((api) => api.put(`/rooms/${room_id}/members`, { ...rule, permissions: 'rw' })),
    );
    expect(changed.map(({ status }) => status)).to.include(200);
  });
});

describeBothDatabases('MAX_ROOMS_PER_CREATOR', ({ startNode }) => {
  it('enforces MAX_ROOMS_PER_CREATOR for concurrent requests until a room is deleted, and still returns existing pairs', async () => {
    const { url } = await startNode({ MAX_ROOMS_PER_CREATOR: 3 });
    const [owner, other] = [createUser({ level: 100 }), createUser()];
    const api = rest(url, owner.token);
    const pair = { name: 'pair', type: 'user2user', with: other.user };
    const { id } = await createRoom(url, owner, pair);
    const made = await Promise.all([1, 2, 3, 4, 5].map((n) => api.post('/rooms', { name: `room ${n}` })));
    const refused = made.filter(({ status }) => status !== 200);
    expect(refused.map(({ body }) => body.meta.reason)).to.deep.equal(Array(3).fill('TOO_MANY_ROOMS'));
    expect((await api.post('/rooms', pair)).body.content.room.id).to.equal(id);
    expect((await api.post('/rooms', { ...pair, with: createUser().user })).status).to.equal(429);
    await createRoom(url, createUser({ level: 100 }));
    await api.delete(`/rooms/${id}`);
    await createRoom(url, owner);
  });
});
