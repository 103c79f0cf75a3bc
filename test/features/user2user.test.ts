import { expect } from 'chai';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, sendMessages } from '../helpers/rooms.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

describeBothDatabases('A user2user room', ({ url }) => {
  /** Creates users of one organisation. */
  const colleagues = (): [TestUser, TestUser, TestUser] => {
    const { entity } = createUser();
    return [createUser({ entity, level: 100 }), createUser({ entity, level: 100 }), createUser({ entity, level: 100 })];
  };
  const pairRoom = (one: TestUser, other: TestUser) => createRoom(url(), one, { type: 'user2user', with: other.user });
  const put = (who: TestUser, room: { id: number }, rule: object) =>
    rest(url(), who.token).put(`/rooms/${room.id}/members`, rule);
  const read = (who: TestUser, room: { id: number }) => rest(url(), who.token).get(`/rooms/${room.id}/messages`);

  it('creates a user2user room without an organisation: entity_owner is null, and only users have rules', async () => {
    const [ana, ben] = colleagues();
    const room = await pairRoom(ana, ben);
    expect(room).to.include({ type: 'user2user', user_owner: ana.user, entity_owner: null });
    const { body } = await rest(url(), ana.token).get(`/rooms/${room.id}/members`);
    expect(body.content.map((rule: { kind: string }) => rule.kind)).to.deep.equal(['user', 'user']);
    expect(body.content.map((rule: { entity_UUID: string }) => rule.entity_UUID)).to.have.members([ana.user, ben.user]);
  });

  it('admits only the two users to a user2user room, and no colleague of any level', async () => {
    const [ana, ben] = colleagues();
    const room = await pairRoom(ana, ben);
    await sendMessages(url(), ana, room, 'between us');
    expect((await read(ben, room)).body.content[0].content).to.equal('between us');
    expect((await rest(url(), ben.token).post(`/rooms/${room.id}/messages`, { content: 'yes' })).status).to.equal(201);
    expectRefusal(await read(createUser({ entity: ana.entity, level: 2_000_000 }), room), 'NOT_FOUND');
  });

  it('stores rules by entity_UUID as rules of users in a user2user room', async () => {
    const [ana, ben] = colleagues();
    const room = await createRoom(url(), ana, { type: 'user2user' });
    expect((await put(ana, room, { entity_UUID: ben.user, permissions: 'rw' })).status).to.equal(201);
    expect((await read(ben, room)).status).to.equal(200);
    expectRefusal(await read(createUser({ entity: ben.user, level: 1_000 }), room), 'NOT_FOUND');
  });

  it('rejects a rule for an organisation in a user2user room', async () => {
    const [ana] = colleagues();
    const room = await createRoom(url(), ana, { type: 'user2user' });
    const { status } = await put(ana, room, { entityUUID: ana.entity, permissions: 'rw' });
    expect(status).to.be.within(400, 409);
    expect((await rest(url(), ana.token).get(`/rooms/${room.id}/members`)).body.content).to.have.length(1);
  });

  it('accepts the second user of a user2user room by PUT, and rejects a third with 409 ROOM_FULL', async () => {
    const [ana, ben, eve] = colleagues();
    const room = await createRoom(url(), ana, { type: 'user2user' });
    expect((await put(ana, room, { userUUID: ben.user, permissions: 'rw' })).status).to.equal(201);
    expect((await put(ana, room, { userUUID: ben.user, permissions: 'rw' })).status).to.equal(200);
    for (const rule of [{ userUUID: eve.user }, { entity_UUID: eve.user }]) {
      expectRefusal(await put(ana, room, { ...rule, permissions: 'rw' }), 'ROOM_FULL');
    }
  });

  it('accepts one of two users who are added to a user2user room at the same time', async () => {
    const [ana, ben, eve] = colleagues();
    const room = await createRoom(url(), ana, { type: 'user2user' });
    const puts = [ben, eve].map(({ user }) => put(ana, room, { userUUID: user, permissions: 'rw' }));
    expect((await Promise.all(puts)).map(({ status }) => status)).to.have.members([201, 409]);
  });

  it('rejects a user2user room of a user with themselves with 400', async () => {
    const [ana] = colleagues();
    const wish = { name: 'me', type: 'user2user', with: ana.user };
    expectRefusal(await rest(url(), ana.token).post('/rooms', wish), 'BAD_REQUEST', 'with');
    const room = await createRoom(url(), ana, { type: 'user2user' });
    expectRefusal(await put(ana, room, { userUUID: ana.user, permissions: 'rw' }), 'BAD_REQUEST');
  });

  it('does not let either user of a user2user room ban or remove the other', async () => {
    const [ana, ben] = colleagues();
    const room = await pairRoom(ana, ben);
    for (const [one, other] of [
      [ana, ben],
      [ben, ana],
    ] as const) {
      for (const permissions of ['b', 'rwb']) {
        expect((await put(one, room, { userUUID: other.user, permissions })).status).to.equal(403);
      }
      const remove = rest(url(), one.token).delete(`/rooms/${room.id}/members/${other.user}`);
      expect((await remove).status).to.equal(403);
      expect((await read(other, room)).status).to.equal(200);
    }
  });

  it('keeps the other user in a user2user room after a user leaves, and admits only the same user again', async () => {
    const [ana, ben, eve] = colleagues();
    const room = await pairRoom(ana, ben);
    const left = await rest(url(), ben.token).delete(`/rooms/${room.id}/members/${ben.user}`);
    expect(left.status).to.equal(200);
    expectRefusal(await read(ben, room), 'NOT_FOUND');
    expect((await read(ana, room)).status).to.equal(200);
    expectRefusal(await put(ana, room, { userUUID: eve.user, permissions: 'rw' }), 'ROOM_FULL');
    expect((await put(ana, room, { userUUID: ben.user, permissions: 'rw' })).status).to.equal(201);
    expect((await read(ben, room)).status).to.equal(200);
  });

  it('returns the same user2user room for the same two users, from either side', async () => {
    const [ana, ben, eve] = colleagues();
    const room = await pairRoom(ana, ben);
    expect(await pairRoom(ana, ben)).to.include({ id: room.id, name: room.name });
    expect(await pairRoom(ben, ana)).to.include({ id: room.id });
    expect(await pairRoom(ana, eve)).to.not.include({ id: room.id });
  });

  it('restores the access of a caller who left, if they create the user2user room again', async () => {
    const [ana, ben] = colleagues();
    const room = await pairRoom(ana, ben);
    await sendMessages(url(), ana, room, 'still here');
    await rest(url(), ben.token).delete(`/rooms/${room.id}/members/${ben.user}`);
    expect(await pairRoom(ben, ana)).to.include({ id: room.id });
    expect((await read(ben, room)).body.content.map(({ content }: { content: string }) => content)).to.deep.equal([
      'still here',
    ]);
  });

  /** Creates the room of a pair, in which the second user may only read. */
  async function pairWithReader() {
    const [ana, ben] = colleagues();
    const room = await createRoom(url(), ana, { type: 'user2user' });
    await put(ana, room, { userUUID: ben.user, permissions: 'r' });
    const leave = () => rest(url(), ben.token).delete(`/rooms/${room.id}/members/${ben.user}`);
    const rights = async () => (await rest(url(), ben.token).get(`/rooms/${room.id}`)).body.content.rights;
    return { ana, ben, room, leave, rights };
  }

  it('grants a reader who left only r, if they create the user2user room again', async () => {
    const { ana, ben, room, leave, rights } = await pairWithReader();
    for (let n = 0; n < 2; n++) {
      expect((await leave()).status).to.equal(200);
      expect(await pairRoom(ben, ana)).to.include({ id: room.id });
      expect(await rights()).to.equal('r');
    }
    expectRefusal(await rest(url(), ben.token).delete(`/rooms/${room.id}`), 'FORBIDDEN');
  });

  it('grants a caller who left the rights that the other user has set since, if they create the user2user room again', async () => {
    const { ana, ben, room, leave, rights } = await pairWithReader();
    await put(ana, room, { userUUID: ben.user, permissions: 'rw' });
    await leave();
    await pairRoom(ben, ana);
    expect(await rights()).to.equal('rw');
    await leave();
    await put(ana, room, { userUUID: ben.user, permissions: 'r' });
    await pairRoom(ben, ana);
    expect(await rights()).to.equal('r');
  });

  it('grants a reader who declined and left only r, if they create the user2user room again', async () => {
    const { ana, ben, room, leave, rights } = await pairWithReader();
    await rest(url(), ben.token).put(`/rooms/${room.id}/invitation`, { accepted: false });
    await leave();
    await pairRoom(ben, ana);
    expect(await rights()).to.equal('r');
  });

  it('restores the access of a caller who declined, if they create the user2user room again', async () => {
    const [ana, ben] = colleagues();
    const room = await pairRoom(ana, ben);
    await rest(url(), ben.token).put(`/rooms/${room.id}/invitation`, { accepted: false });
    expect((await read(ben, room)).status).to.equal(403);
    await pairRoom(ben, ana);
    expect((await read(ben, room)).status).to.equal(200);
  });

  it('creates one user2user room if both users create it at the same time', async () => {
    const [ana, ben] = colleagues();
    const made = await Promise.all([pairRoom(ana, ben), pairRoom(ben, ana), pairRoom(ana, ben), pairRoom(ben, ana)]);
    expect(new Set(made.map(({ id }) => id)).size).to.equal(1);
  });

  it('rejects a second user with 409 PAIR_EXISTS if the pair already has a room', async () => {
    const [ana, ben] = colleagues();
    await pairRoom(ben, ana);
    const room = await createRoom(url(), ana, { type: 'user2user' });
    expectRefusal(await put(ana, room, { userUUID: ben.user, permissions: 'rw' }), 'PAIR_EXISTS');
    expectRefusal(await read(ben, room), 'NOT_FOUND');
  });

  it('creates a new user2user room after the previous one was deleted', async () => {
    const [ana, ben] = colleagues();
    const room = await pairRoom(ana, ben);
    expect((await rest(url(), ana.token).delete(`/rooms/${room.id}`)).status).to.equal(200);
    expect(await pairRoom(ben, ana)).to.not.include({ id: room.id });
  });

  it('requires the level or the scope to create a user2user room, as for every room', async () => {
    const wish = { name: 'us', type: 'user2user', with: createUser().user };
    expectRefusal(await rest(url(), createUser({ level: 99 }).token).post('/rooms', wish), 'FORBIDDEN');
  });

  it('rejects a user2user room whose field with is not a UUID', async () => {
    const [ana] = colleagues();
    const wish = { name: 'us', type: 'user2user', with: 'ben' };
    expectRefusal(await rest(url(), ana.token).post('/rooms', wish), 'BAD_REQUEST', 'with');
  });
});
