import { expect } from 'chai';
import { Room } from '../../src/core/room.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';

describeBothDatabases('POST /rooms', ({ url }) => {
  it('answers the creation of a room with 200 and the room, with a numeric id', async () => {
    const owner = createUser({ level: 100 });
    const made = await rest(url(), owner.token).post('/rooms', { name: 'Los Andes', level_admin: 9999, type: 'group' });
    expect(made.status).to.equal(200);
    expect(made.body.meta).to.deep.equal({ code: 200, message: 'OK' });
    const { room } = made.body.content;
    expect(Room.strict().parse(room)).to.deep.equal(room);
    expect(room).to.include({ name: 'Los Andes', type: 'group', level_admin: 9999, last_seq: 0, max_entity_rules: 10 });
    expect(room).to.include({ user_owner: owner.user, entity_owner: owner.entity });
  });

  it('creates a group with level_admin 100 from a name alone', async () => {
    const { room } = await createRoomWithOwner(url());
    expect(room).to.include({ type: 'group', level_admin: 100 });
  });

  it('ignores unknown keys at the creation of a room', async () => {
    const { room } = await createRoomWithOwner(url(), {
      id: 1,
      user_owner: createUser().user,
      last_seq: 7,
      colour: 'red',
    });
    expect(room).to.include({ last_seq: 0 }).and.not.have.property('colour');
    expect(room.id).to.not.equal(1);
  });

  for (const level_admin of ['100', '9999', 0, 2_147_483_647]) {
    it(`creates a room with level_admin ${JSON.stringify(level_admin)}`, async () => {
      const { room } = await createRoomWithOwner(url(), { level_admin });
      expect(room.level_admin).to.equal(Number(level_admin));
    });
  }

  for (const name of ['a', 'a name of more than thirty-two characters', 'x'.repeat(255), '¿qué? 🙂 "<b>\'', ' ']) {
    it(`creates a room with the name ${name.slice(0, 45)} (${name.length} characters) unchanged`, async () => {
      const { owner, room } = await createRoomWithOwner(url(), { name });
      expect((await rest(url(), owner.token).get(`/rooms/${room.id}`)).body.content.room.name).to.equal(name);
    });
  }

  const wrong: Record<string, [object, string]> = {
    'no name (the legacy service answered 500)': [{}, 'name'],
    'an empty name': [{ name: '' }, 'name'],
    'a name of 256 characters': [{ name: 'x'.repeat(256) }, 'name'],
    'a name that is not a string': [{ name: 42 }, 'name'],
    'a name of null': [{ name: null }, 'name'],
    'a name with NUL': [{ name: 'a\0b' }, 'name'],
    'a negative level_admin': [{ name: 'x', level_admin: -1 }, 'level_admin'],
    'level_admin 1.5 (the legacy service answered 500)': [{ name: 'x', level_admin: 1.5 }, 'level_admin'],
    'level_admin "1.5"': [{ name: 'x', level_admin: '1.5' }, 'level_admin'],
    'level_admin "many"': [{ name: 'x', level_admin: 'many' }, 'level_admin'],
    'level_admin ""': [{ name: 'x', level_admin: '' }, 'level_admin'],
    'a level_admin beyond all integers': [{ name: 'x', level_admin: 1e300 }, 'level_admin'],
    'another type': [{ name: 'x', type: 'channel' }, 'type'],
    'open_to_entity that is not a boolean': [{ name: 'x', open_to_entity: 'perhaps' }, 'open_to_entity'],
    'max_entity_rules 0': [{ name: 'x', max_entity_rules: 0 }, 'max_entity_rules'],
    "more max_entity_rules than the server's limit": [{ name: 'x', max_entity_rules: 1_001 }, 'max_entity_rules'],
  };
  for (const [title, [body, field]] of Object.entries(wrong)) {
    it(`rejects a room with ${title} with 400 and the name of the field`, async () => {
      const made = await rest(url(), createUser({ level: 100 }).token).post('/rooms', body);
      expectRefusal(made, 'BAD_REQUEST', field);
    });
  }

  it('requires levelOnEntity 100 to create a room, as a number or as digits', async () => {
    const create = (level: unknown) =>
      rest(url(), createUser({ levelOnEntity: level }).token).post('/rooms', { name: 'mine' });
    for (const level of [99, '99', 0, -100, undefined]) expectRefusal(await create(level), 'FORBIDDEN');
    for (const level of [100, '100', 101]) expect(await create(level)).to.include({ status: 200 });
  });

  it('lets a user of any level create a room with the scope rooms:create', async () => {
    const create = (scope: unknown) => rest(url(), createUser({ scope }).token).post('/rooms', { name: 'mine' });
    for (const scope of ['rooms:create', 'a rooms:create b']) expect(await create(scope)).to.include({ status: 200 });
    for (const scope of ['rooms:created', 'rooms', '', 42]) expectRefusal(await create(scope), 'FORBIDDEN');
  });

  it('grants the creator rwa and their organisation rw from level 100 in a new group', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}/members`);
    const rules = body.content.map(({ entity_UUID, kind, permissions, level }: never) => ({
      ...{ entity_UUID, kind, permissions, level },
    }));
    expect(rules).to.have.deep.members([
      { entity_UUID: owner.user, kind: 'user', permissions: 'rwa', level: 0 },
      { entity_UUID: owner.entity, kind: 'entity', permissions: 'rw', level: 100 },
    ]);
  });

  it('creates a room with one rule if user and organisation have the same UUID (the legacy service left half a room)', async () => {
    const { user } = createUser();
    const owner = createUser({ user, entity: user, level: 100 });
    const room = await createRoom(url(), owner);
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}/members`);
    expect(body.content).to.have.length(1);
    expect(body.content[0]).to.include({ entity_UUID: user, permissions: 'rwa' });
    expect((await rest(url(), owner.token).get('/rooms')).body.content).to.have.length(1);
  });

  it('creates a private group with open_to_entity false, which nobody of the organisation can join', async () => {
    const owner = createUser({ level: 100 });
    const room = await createRoom(url(), owner, { open_to_entity: false });
    expect(room.entity_owner).to.equal(null);
    expect((await rest(url(), owner.token).get(`/rooms/${room.id}/members`)).body.content).to.have.length(1);
    const director = createUser({ entity: owner.entity, level: 1_000_000 });
    expectRefusal(await rest(url(), director.token).get(`/rooms/${room.id}`), 'NOT_FOUND');
  });

  it('creates a room for the user alone if the token names no organisation', async () => {
    const owner = createUser({ level: 100, entityUUID: undefined });
    const room = await createRoom(url(), owner);
    expect(room.entity_owner).to.equal(null);
    expect((await rest(url(), owner.token).get(`/rooms/${room.id}/members`)).body.content).to.have.length(1);
  });
});

describeBothDatabases('GET /rooms/:id', ({ url }) => {
  it('returns a room and the rights of the caller', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const reader = await createMember(url(), owner, room, 'r');
    const read = await rest(url(), reader.token).get(`/rooms/${room.id}`);
    expect(read.status).to.equal(200);
    expect(read.body.content).to.deep.equal({ room, rights: 'r' });
    expect((await rest(url(), owner.token).get(`/rooms/${room.id}`)).body.content.rights).to.equal('rwa');
  });

  it('returns a room by its number, or by its UUID in upper or lower case', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    for (const name of [room.id, room.uuid, room.uuid.toUpperCase()]) {
      expect((await rest(url(), owner.token).get(`/rooms/${name}`)).body.content.room).to.deep.equal(room);
    }
  });

  it('answers 404 for a room that the caller neither owns nor has a rule in', async () => {
    const { room } = await createRoomWithOwner(url());
    const stranger = rest(url(), createUser({ level: 1_000_000 }).token);
    for (const path of ['', '/members', '/messages']) {
      expectRefusal(await stranger.get(`/rooms/${room.id}${path}`), 'NOT_FOUND');
    }
    expectRefusal(await stranger.patch(`/rooms/${room.id}`, { name: 'mine' }), 'NOT_FOUND');
    expectRefusal(await stranger.delete(`/rooms/${room.id}`), 'NOT_FOUND');
    expectRefusal(await stranger.post(`/rooms/${room.id}/messages`, { content: 'hello' }), 'NOT_FOUND');
    expectRefusal(await stranger.put(`/rooms/${room.id}/invitation`, { accepted: true }), 'NOT_FOUND');
    const rule = { userUUID: createUser().user, permissions: 'r' };
    expectRefusal(await stranger.put(`/rooms/${room.id}/members`, rule), 'NOT_FOUND');
  });

  it('answers the same 404 for a room that does not exist', async () => {
    const { room } = await createRoomWithOwner(url());
    const stranger = rest(url(), createUser().token);
    const [hidden, missing] = [await stranger.get(`/rooms/${room.id}`), await stranger.get('/rooms/9007199254740991')];
    expect(missing.body).to.deep.equal(hidden.body);
  });

  for (const id of [
    'abc',
    '-1',
    '1.5',
    '1e3',
    '0',
    '99999999999999999999999',
    '%00',
    "1'--",
    '1%20or%201=1',
    '[1,2]',
  ]) {
    it(`rejects the room id ${id} with an error of the client (the legacy service answered 500)`, async () => {
      const { status, body } = await rest(url(), createUser().token).get(`/rooms/${id}`);
      expect(status).to.be.oneOf([400, 404]);
      expect(body.meta.code).to.equal(status);
    });
  }

  it('rejects a room number with a leading zero (the legacy service accepted it)', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    expect((await rest(url(), owner.token).get(`/rooms/0${room.id}`)).status).to.be.oneOf([400, 404]);
  });
});

describeBothDatabases('PATCH /rooms/:id', ({ url }) => {
  it('changes name and level_admin of a room, together or alone', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const patch = (body: object) => rest(url(), owner.token).patch(`/rooms/${room.id}`, body);
    expect((await patch({ name: 'another' })).status).to.equal(200);
    expect((await patch({ level_admin: '90' })).status).to.equal(200);
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}`);
    expect(body.content.room).to.include({ name: 'another', level_admin: 90, uuid: room.uuid });
  });

  it('does not change the type or the owners of a room', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const wish = {
      name: 'new',
      type: 'user2user',
      user_owner: createUser().user,
      entity_owner: createUser().user,
      id: 1,
    };
    await rest(url(), owner.token).patch(`/rooms/${room.id}`, wish);
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}`);
    expect(body.content.room).to.deep.include({ ...room, name: 'new', updatedAt: body.content.room.updatedAt });
  });

  it('lets only administrators change a room: by the letter a, or by level in the owning organisation', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { level_admin: 200 });
    const patch = (token: string) => rest(url(), token).patch(`/rooms/${room.id}`, { name: 'changed' });
    expectRefusal(await patch((await createMember(url(), owner, room, 'rw')).token), 'FORBIDDEN');
    expectRefusal(await patch(createUser({ entity: owner.entity, level: 199 }).token), 'FORBIDDEN');
    expect((await patch((await createMember(url(), owner, room, 'a')).token)).status).to.equal(200);
    expect((await patch(createUser({ entity: owner.entity, level: 200 }).token)).status).to.equal(200);
  });

  it('rejects a change of a room with invalid values with 400', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const patch = (body: object) => rest(url(), owner.token).patch(`/rooms/${room.id}`, body);
    expectRefusal(await patch({ name: '' }), 'BAD_REQUEST', 'name');
    expectRefusal(await patch({ level_admin: -1 }), 'BAD_REQUEST', 'level_admin');
    expectRefusal(await patch({ level_admin: 'high' }), 'BAD_REQUEST', 'level_admin');
  });

  it('removes the administration of lower levels as soon as level_admin is raised', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const manager = createUser({ entity: owner.entity, level: 150 });
    const patch = (body: object) => rest(url(), manager.token).patch(`/rooms/${room.id}`, body);
    const colleague = createUser({ entity: owner.entity, level: 149 });
    const rename = () => rest(url(), colleague.token).patch(`/rooms/${room.id}`, { name: 'mine' });
    expect((await rename()).status).to.equal(200);
    expectRefusal(await patch({ level_admin: 151 }), 'FORBIDDEN');
    expect((await patch({ level_admin: 150 })).status).to.equal(200);
    expectRefusal(await rename(), 'FORBIDDEN');
  });
});

describeBothDatabases('DELETE /rooms/:id', ({ url }) => {
  it('deletes a room with its rules and messages', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'the last word');
    const removed = await rest(url(), owner.token).delete(`/rooms/${room.id}`);
    expect(removed.status).to.equal(200);
    expect(removed.body.content).to.equal(null);
    for (const path of ['', '/members', '/messages']) {
      expectRefusal(await rest(url(), owner.token).get(`/rooms/${room.id}${path}`), 'NOT_FOUND');
    }
    expect((await rest(url(), owner.token).get('/rooms')).body.content).to.deep.equal([]);
    expectRefusal(await rest(url(), owner.token).delete(`/rooms/${room.id}`), 'NOT_FOUND');
  });

  it('lets only administrators delete a room', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    expectRefusal(
      await rest(url(), (await createMember(url(), owner, room)).token).delete(`/rooms/${room.id}`),
      'FORBIDDEN',
    );
    const director = createUser({ entity: owner.entity, level: 100 });
    expect((await rest(url(), director.token).delete(`/rooms/${room.id}`)).status).to.equal(200);
  });

  it('lets owner administrators delete a room even if a rule bans them', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const director = createUser({ entity: owner.entity, level: 100 });
    await putRule(url(), owner, room, { userUUID: director.user, permissions: 'b' });
    expect((await rest(url(), director.token).get(`/rooms/${room.id}`)).body.content.rights).to.equal('rwa');
    expect((await rest(url(), director.token).delete(`/rooms/${room.id}`)).status).to.equal(200);
  });
});
