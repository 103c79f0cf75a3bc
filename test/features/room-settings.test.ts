import { expect } from 'chai';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, readRev, sendMessages } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

describeBothDatabases('settings of rooms', ({ url }) => {
  const patch = async (person: TestUser, room: { id: number }, change: object) => {
    const { status, body } = await rest(url(), person.token).patch(`/rooms/${room.id}`, change);
    expect(status, JSON.stringify(body)).to.equal(200);
    return body.content.room as Json;
  };
  const read = async (person: TestUser, room: { id: number }): Promise<Json> =>
    (await rest(url(), person.token).get(`/rooms/${room.id}`)).body.content.room;

  it('creates a group without settings, and a pair with receipts', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const pair = await createRoom(url(), owner, { type: 'user2user', with: createUser().user });
    for (const field of ['custom', 'receipts', 'readers_react']) expect(room).not.to.have.property(field);
    expect(pair).to.include({ receipts: true });
    expect(await read(owner, pair)).to.deep.equal(pair);
  });

  it('creates a room with the given settings', async () => {
    const settings = { custom: { topic: 'Launch', tags: [1, { deep: 'é🚀' }] }, receipts: true, readers_react: true };
    const { owner, room } = await createRoomWithOwner(url(), settings);
    expect(room).to.deep.include(settings);
    expect(await read(owner, room)).to.deep.equal(room);
    const [listed] = (await rest(url(), owner.token).get('/rooms')).body.content;
    expect(listed).to.deep.include({ ...settings, updatedAt: room.updatedAt });
    const plain = await createRoom(url(), owner, { type: 'user2user', with: createUser().user, receipts: false });
    expect(plain).not.to.have.property('receipts');
  });

  it('changes each setting by itself, moves updatedAt, and sends room:changed with the user', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const admin = await createMember(url(), owner, room, 'a');
    const socket = await socketClient(url(), owner);
    const { cursor } = await socket.request('room:join', { room_id: room.id });
    const changes = [{ custom: { a: 1 } }, { receipts: true }, { readers_react: true }, { custom: { b: [null] } }];
    let expected: Json = room;
    for (const change of changes) {
      const changed = await patch(admin, room, change);
      expected = { ...expected, ...change, updatedAt: changed.updatedAt };
      expect(changed).to.deep.equal(expected);
      expect(await socket.next('room:changed')).to.deep.include({ room: expected, by: admin.user });
      expect(await read(owner, room)).to.deep.equal(expected);
    }
    expect(Date.parse(expected.updatedAt)).to.be.above(Date.parse(room.updatedAt));
    for (const change of [{ custom: null }, { receipts: false }, { readers_react: false }]) {
      const changed = await patch(owner, room, change);
      expect(changed).not.to.have.property(Object.keys(change)[0]!);
      expect(await socket.next('room:changed')).to.deep.include({ room: changed, by: owner.user });
    }
    const replay = await (await socketClient(url(), owner)).request('room:join', { room_id: room.id, since: cursor });
    expect(replay.events.map(({ payload }: Json) => payload.by)).to.deep.equal([
      ...changes.map(() => admin.user),
      ...[owner.user, owner.user, owner.user],
    ]);
    expect(replay.events[3].payload.room).to.deep.equal(expected);
  });

  it('adds no rev if a change repeats what the room has', async () => {
    const settings = { custom: { a: 1 }, receipts: true, readers_react: true };
    const { owner, room } = await createRoomWithOwner(url(), settings);
    const rev = await readRev(url(), owner, room);
    expect(await patch(owner, room, settings)).to.deep.equal(room);
    expect(await readRev(url(), owner, room)).to.equal(rev);
  });

  it('rejects invalid settings and names the field', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    const wrong: [change: object, field: string][] = [
      [{ custom: 'text' }, 'custom'],
      [{ custom: [1] }, 'custom'],
      [{ custom: { text: 'x'.repeat(1_100) } }, 'custom'],
      [{ custom: { text: 'a\0b' } }, 'custom'],
      [{ receipts: 'yes' }, 'receipts'],
      [{ readers_react: 1 }, 'readers_react'],
    ];
    for (const [change, field] of wrong) {
      const { token } = owner;
      expectRefusal(await rest(url(), token).patch(`/rooms/${room.id}`, change), 'BAD_REQUEST', field);
      expectRefusal(await rest(url(), token).post('/rooms', { name: 'a room', ...change }), 'BAD_REQUEST', field);
    }
    expectRefusal(await rest(url(), member.token).patch(`/rooms/${room.id}`, { receipts: true }), 'FORBIDDEN');
    expect(await read(owner, room)).to.deep.equal(room);
  });

  it('sends receipts to all members once the room has them', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const member = await createMember(url(), owner, room);
    const socket = await socketClient(url(), owner);
    await socket.request('room:join', { room_id: room.id });
    await sendMessages(url(), owner, room, 'one', 'two');
    const mark = (seq: number) => rest(url(), member.token).put(`/rooms/${room.id}/read`, { seq });
    await mark(1);
    await patch(owner, room, { receipts: true });
    await mark(2);
    expect((await socket.next('read:changed')).reads).to.deep.equal([{ user: member.user, read_seq: 2, version: 2 }]);
  });

  it('lets readers react only if the room has readers_react', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const reader = await createMember(url(), owner, room, 'r');
    await sendMessages(url(), owner, room, 'one');
    const react = () =>
      rest(url(), reader.token).put(`/rooms/${room.id}/messages/1/reactions/${encodeURIComponent('👍')}`);
    expectRefusal(await react(), 'FORBIDDEN');
    await patch(owner, room, { readers_react: true });
    expect((await react()).status).to.equal(200);
    await patch(owner, room, { readers_react: false });
    expectRefusal(
      await rest(url(), reader.token).delete(`/rooms/${room.id}/messages/1/reactions/${encodeURIComponent('👍')}`),
      'FORBIDDEN',
    );
  });

  it('names the user in member:changed: who invites, who accepts by joining, who bans', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const socket = await socketClient(url(), owner);
    const { cursor } = await socket.request('room:join', { room_id: room.id });
    const guest = await createMember(url(), owner, room, 'r');
    await (await socketClient(url(), guest)).request('room:join', { room_id: room.id });
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'b' });
    const by = [owner.user, guest.user, owner.user];
    for (const user of by) {
      expect(await socket.next('member:changed')).to.include({ entity_UUID: guest.user, by: user });
    }
    const replay = await (await socketClient(url(), owner)).request('room:join', { room_id: room.id, since: cursor });
    expect(replay.events.map(({ payload }: Json) => payload.by)).to.deep.equal(by);
  });

  it('deletes the data of the app with the room', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { custom: { a: 1 } });
    expect((await rest(url(), owner.token).delete(`/rooms/${room.id}`)).status).to.equal(200);
    expectRefusal(await rest(url(), owner.token).get(`/rooms/${room.id}`), 'NOT_FOUND');
  });
});
