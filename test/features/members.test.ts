import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { PermissionRule } from '../../src/core/room.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, readRev } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';

describeBothDatabases('PUT /rooms/:id/members', ({ url }) => {
  const kinds = { entity_UUID: 'any', userUUID: 'user', entityUUID: 'entity' };
  for (const [field, kind] of Object.entries(kinds)) {
    it(`adds with 201 and changes with 200 a rule of kind ${kind} by ${field}`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      const put = (body: object) => rest(url(), owner.token).put(`/rooms/${room.id}/members`, body);
      const grantee = randomUUID();
      const added = await put({ [field]: grantee, permissions: 'r', level: 7 });
      expect(added.status).to.equal(201);
      expect(PermissionRule.strict().parse(added.body.content)).to.deep.equal(added.body.content);
      const rule = { room_id: room.id, entity_UUID: grantee, kind };
      expect(added.body.content).to.include({ ...rule, permissions: 'r', level: 7, accepted: false, declined: false });
      const changed = await put({ [field]: grantee, permissions: 'rw', level: 8 });
      expect(changed.status).to.equal(200);
      expect(changed.body.content).to.include({ ...rule, permissions: 'rw', level: 8 });
    });
  }

  it('accepts a rule with a trailing slash in the path, a level in digits and unknown keys', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const rule = { entity_UUID: randomUUID(), permissions: 'rw', level: '999', note: 'repeated at every page load' };
    const put = () => rest(url(), owner.token).put(`/rooms/${room.id}/members/`, rule);
    expect(await put()).to.nested.include({ status: 201, 'body.content.level': 999 });
    expect(await put()).to.include({ status: 200 });
  });

  it('stores a rule with level 0 by default, and with UUIDs in lower case', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const grantee = randomUUID();
    const rule = await putRule(url(), owner, room, { userUUID: grantee.toUpperCase(), permissions: 'r' });
    expect(rule).to.include({ entity_UUID: grantee, level: 0 });
  });

  it('accepts any UUID in the hexadecimal form 8-4-4-4-12 as a grantee', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    for (const grantee of ['ffffffff-ffff-ffff-ffff-ffffffffffff', '00000000-0000-0000-0000-000000000001']) {
      expect(await putRule(url(), owner, room, { userUUID: grantee, permissions: 'r' })).to.include({
        entity_UUID: grantee,
      });
    }
  });

  const wrong: Record<string, [object, string | undefined]> = {
    'the permissions false': [{ userUUID: randomUUID(), permissions: false }, 'permissions'],
    'no permissions for a new rule': [{ userUUID: randomUUID() }, 'permissions'],
    'empty permissions': [{ userUUID: randomUUID(), permissions: '' }, 'permissions'],
    'another letter': [{ userUUID: randomUUID(), permissions: 'rwx' }, 'permissions'],
    'capital letters': [{ userUUID: randomUUID(), permissions: 'RW' }, 'permissions'],
    'level 1.5 (the legacy service answered 500)': [{ userUUID: randomUUID(), permissions: 'r', level: 1.5 }, 'level'],
    'level "high"': [{ userUUID: randomUUID(), permissions: 'r', level: 'high' }, 'level'],
    'a level beyond all integers': [{ userUUID: randomUUID(), permissions: 'r', level: 1e300 }, 'level'],
    'an invalid UUID': [{ userUUID: 'me', permissions: 'r' }, 'userUUID'],
    'an empty entity_UUID': [{ entity_UUID: '', permissions: 'r' }, 'entity_UUID'],
    'no grantee': [{ permissions: 'r' }, undefined],
  };
  for (const [title, [body, field]] of Object.entries(wrong)) {
    it(`rejects a rule with ${title} with 400`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      expectRefusal(await rest(url(), owner.token).put(`/rooms/${room.id}/members`, body), 'BAD_REQUEST', field);
    });
  }

  it('keeps the fields of a rule that a request omits', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const userUUID = randomUUID();
    await putRule(url(), owner, room, { userUUID, permissions: 'rw', level: 5 });
    expect(await putRule(url(), owner, room, { userUUID, level: 6 })).to.include({ permissions: 'rw', level: 6 });
    expect(await putRule(url(), owner, room, { userUUID, permissions: 'r' })).to.include({
      permissions: 'r',
      level: 6,
    });
  });

  it('adds no rev to the log for a PUT of an unchanged rule', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const rule = { userUUID: randomUUID(), permissions: 'rw', level: 5 };
    await putRule(url(), owner, room, rule);
    const rev = await readRev(url(), owner, room);
    for (const same of [rule, { userUUID: rule.userUUID, permissions: 'wr' }, { ...rule, level: '5' }]) {
      await putRule(url(), owner, room, same);
    }
    expect(await readRev(url(), owner, room)).to.equal(rev);
    await putRule(url(), owner, room, { ...rule, level: 6 });
    expect(await readRev(url(), owner, room)).to.equal(rev + 1);
  });

  it('keeps the answer of the grantee if a rule changes', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    await rest(url(), guest.token).put(`/rooms/${room.id}/invitation`, { accepted: false });
    const rule = await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'r', accepted: true });
    expect(rule).to.include({ permissions: 'r', accepted: false, declined: true });
  });

  it('lets the creator add members by their letter a, at any level_admin', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { level_admin: 9_999 });
    expect(await createMember(url(), owner, room)).to.include({ level: 0 });
  });

  it('lets only administrators add members', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room, 'rw');
    const put = (token: string) =>
      rest(url(), token).put(`/rooms/${room.id}/members`, { userUUID: randomUUID(), permissions: 'r' });
    expectRefusal(await put(guest.token), 'FORBIDDEN');
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'a' });
    expect((await put(guest.token)).status).to.equal(201);
  });

  it('does not let a banned administrator add members (the legacy service did)', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const banned = await createMember(url(), owner, room, 'rwab');
    const rule = { userUUID: randomUUID(), permissions: 'rwa' };
    expectRefusal(await rest(url(), banned.token).put(`/rooms/${room.id}/members`, rule), 'BANNED');
  });

  it('stores one rule for many concurrent PUT requests, and exposes no SQL', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const rule = { userUUID: randomUUID(), permissions: 'rw' };
    const put = () => rest(url(), owner.token).put(`/rooms/${room.id}/members`, rule);
    const statuses = (await Promise.all(Array.from({ length: 8 }, put))).map(({ status }) => status);
    expect(statuses.sort()).to.deep.equal([200, 200, 200, 200, 200, 200, 200, 201]);
  });
});

describeBothDatabases('Permission rules', ({ url }) => {
  it('grants access by a new rule immediately, without an answer', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room, 'rw');
    expect((await rest(url(), guest.token).get(`/rooms/${room.id}/messages`)).status).to.equal(200);
    expect((await rest(url(), guest.token).post(`/rooms/${room.id}/messages`, { content: 'hi' })).status).to.equal(201);
  });

  it('applies the rule of an organisation from its level up (the legacy service ignored the level)', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const entity = randomUUID();
    await putRule(url(), owner, room, { entityUUID: entity, permissions: 'rw', level: 50 });
    const read = (level: unknown) =>
      rest(url(), createUser({ entity, levelOnEntity: level }).token).get(`/rooms/${room.id}`);
    for (const level of [49, '49', undefined]) expectRefusal(await read(level), 'FORBIDDEN');
    for (const level of [50, '50', 51]) expect((await read(level)).body.content.rights).to.equal('rw');
  });

  it('applies the rule of a user at any level of the token', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = createUser({ level: 1 });
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'rw', level: 999_999 });
    expect((await rest(url(), guest.token).get(`/rooms/${room.id}`)).body.content.rights).to.equal('rw');
  });

  it('applies the ban of an organisation at every level', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room, 'rwa');
    await putRule(url(), owner, room, { entityUUID: guest.entity, permissions: 'b', level: 1_000 });
    expectRefusal(await rest(url(), guest.token).get(`/rooms/${room.id}/messages`), 'BANNED');
  });

  it('denies access by a ban despite any grant', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = createUser({ level: 10 });
    await putRule(url(), owner, room, { entityUUID: guest.entity, permissions: 'rwa' });
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'b' });
    for (const path of ['', '/messages', '/members']) {
      expectRefusal(await rest(url(), guest.token).get(`/rooms/${room.id}${path}`), 'BANNED');
    }
    expectRefusal(await rest(url(), guest.token).post(`/rooms/${room.id}/messages`, { content: 'x' }), 'BANNED');
  });

  it('combines r of the organisation with w of the user', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room, 'w');
    await putRule(url(), owner, room, { entityUUID: guest.entity, permissions: 'r' });
    expect((await rest(url(), guest.token).get(`/rooms/${room.id}`)).body.content.rights).to.equal('rw');
  });

  it('includes r and w in a', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room, 'a');
    expect((await rest(url(), guest.token).get(`/rooms/${room.id}`)).body.content.rights).to.equal('rwa');
    expect((await rest(url(), guest.token).post(`/rooms/${room.id}/messages`, { content: 'x' })).status).to.equal(201);
  });

  it('matches rules by kind if a user and an organisation have the same UUID', async () => {
    const uuid = randomUUID();
    const [user, colleague] = [createUser({ user: uuid }), createUser({ entity: uuid })];
    const reach = { userUUID: [200, 404], entityUUID: [404, 200], entity_UUID: [200, 200] };
    for (const [field, statuses] of Object.entries(reach)) {
      const { owner, room } = await createRoomWithOwner(url());
      await putRule(url(), owner, room, { [field]: uuid, permissions: 'r' });
      const reads = [user, colleague].map(({ token }) => rest(url(), token).get(`/rooms/${room.id}/messages`));
      expect(
        (await Promise.all(reads)).map(({ status }) => status),
        field,
      ).to.deep.equal(statuses);
    }
  });

  it('returns rules to readers only', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const members = (token: string) => rest(url(), token).get(`/rooms/${room.id}/members`);
    const reader = await createMember(url(), owner, room, 'r');
    const { status, body } = await members(reader.token);
    expect(status).to.equal(200);
    expect(body.content).to.have.length(3);
    for (const rule of body.content) expect(PermissionRule.strict().parse(rule)).to.deep.equal(rule);
    expectRefusal(await members((await createMember(url(), owner, room, 'w')).token), 'FORBIDDEN');
  });
});

describeBothDatabases('max_entity_rules', ({ url }) => {
  it('rejects an eleventh rule with 403 TOO_MANY_RULES by default, and accepts changes of existing rules', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const userUUID = randomUUID();
    await putRule(url(), owner, room, { userUUID, permissions: 'r' });
    for (let n = 3; n < 10; n++) await putRule(url(), owner, room, { userUUID: randomUUID(), permissions: 'r' });
    const put = (rule: object) => rest(url(), owner.token).put(`/rooms/${room.id}/members`, rule);
    expectRefusal(await put({ userUUID: randomUUID(), permissions: 'r' }), 'TOO_MANY_RULES');
    expect((await put({ userUUID, permissions: 'rw' })).status).to.equal(200);
    await rest(url(), owner.token).delete(`/rooms/${room.id}/members/${userUUID}`);
    expect((await put({ userUUID: randomUUID(), permissions: 'r' })).status).to.equal(201);
  });

  it('accepts max_entity_rules at the creation of a room', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { max_entity_rules: 3 });
    expect(room.max_entity_rules).to.equal(3);
    const put = () =>
      rest(url(), owner.token).put(`/rooms/${room.id}/members`, { userUUID: randomUUID(), permissions: 'r' });
    expect((await put()).status).to.equal(201);
    expectRefusal(await put(), 'TOO_MANY_RULES');
  });

  it('raises and lowers max_entity_rules by PATCH, down to the number of existing rules', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { max_entity_rules: 2 });
    const patch = (max_entity_rules: unknown, more = {}) =>
      rest(url(), owner.token).patch(`/rooms/${room.id}`, { max_entity_rules, ...more });
    const put = () =>
      rest(url(), owner.token).put(`/rooms/${room.id}/members`, { userUUID: randomUUID(), permissions: 'r' });
    expectRefusal(await put(), 'TOO_MANY_RULES');
    const raised = await patch(4, { name: 'larger' });
    expect(raised.body.content.room).to.include({ name: 'larger', max_entity_rules: 4 });
    expect((await put()).status).to.equal(201);
    expect((await patch('3')).body.content.room).to.include({ max_entity_rules: 3 });
    expectRefusal(await put(), 'TOO_MANY_RULES');
    const rev = await readRev(url(), owner, room);
    expectRefusal(await patch(2, { name: 'too small' }), 'BAD_REQUEST', 'max_entity_rules');
    expect((await patch(3)).status).to.equal(200);
    expect(await readRev(url(), owner, room)).to.equal(rev);
  });

  it('limits max_entity_rules to MAX_RULES_PER_ROOM', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const patch = (body: object) => rest(url(), owner.token).patch(`/rooms/${room.id}`, body);
    expect((await patch({ max_entity_rules: 1_000 })).status).to.equal(200);
    for (const wrong of [1_001, 0, -1, 1.5, 'many', null]) {
      expectRefusal(await patch({ max_entity_rules: wrong }), 'BAD_REQUEST', 'max_entity_rules');
    }
  });

  it('lets the user owner and owner administrators change max_entity_rules, but not administrators by rule', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const admin = await createMember(url(), owner, room, 'rwa');
    const director = createUser({ entity: owner.entity, level: 100 });
    const patch = (token: string, body: object) => rest(url(), token).patch(`/rooms/${room.id}`, body);
    expectRefusal(await patch(admin.token, { name: 'theirs', max_entity_rules: 11 }), 'FORBIDDEN');
    expect((await patch(admin.token, { name: 'theirs', max_entity_rules: 10 })).status).to.equal(200);
    expect((await patch(owner.token, { max_entity_rules: 11 })).status).to.equal(200);
    expect((await patch(director.token, { max_entity_rules: 12 })).status).to.equal(200);
  });

  it('enforces max_entity_rules for concurrent requests', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const put = () =>
      rest(url(), owner.token).put(`/rooms/${room.id}/members`, { userUUID: randomUUID(), permissions: 'r' });
    const statuses = (await Promise.all(Array.from({ length: 12 }, put))).map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).to.have.length(8);
    expect(statuses.filter((status) => status === 403)).to.have.length(4);
  });
});

describeBothDatabases('DELETE /rooms/:id/members/:uuid', ({ url }) => {
  it('lets users leave a room by deleting their own rule', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room, 'r');
    const left = await rest(url(), guest.token).delete(`/rooms/${room.id}/members/${guest.user.toUpperCase()}`);
    expect(left.status).to.equal(200);
    expect(left.body.content).to.equal(null);
    expectRefusal(await rest(url(), guest.token).get(`/rooms/${room.id}`), 'NOT_FOUND');
  });

  it('lets only administrators delete the rules of others', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const [one, other] = [await createMember(url(), owner, room), await createMember(url(), owner, room)];
    const path = `/rooms/${room.id}/members/${other.user}`;
    expectRefusal(await rest(url(), one.token).delete(path), 'FORBIDDEN');
    expect((await rest(url(), owner.token).delete(path)).status).to.equal(200);
    expectRefusal(await rest(url(), other.token).get(`/rooms/${room.id}`), 'NOT_FOUND');
    expectRefusal(await rest(url(), owner.token).delete(path), 'NOT_FOUND');
  });

  it('does not let banned users delete their own ban', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const banned = await createMember(url(), owner, room, 'b');
    const path = `/rooms/${room.id}/members/${banned.user}`;
    expect((await rest(url(), banned.token).delete(path)).status).to.equal(403);
    expectRefusal(await rest(url(), banned.token).get(`/rooms/${room.id}`), 'BANNED');
    expect((await rest(url(), owner.token).delete(path)).status).to.equal(200);
  });

  it('lets only administrators delete the rule of an organisation, not its members', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = createUser({ level: 100 });
    await putRule(url(), owner, room, { entityUUID: guest.entity, permissions: 'rw' });
    const path = `/rooms/${room.id}/members/${guest.entity}`;
    expectRefusal(await rest(url(), guest.token).delete(path), 'FORBIDDEN');
    expect((await rest(url(), owner.token).delete(path)).status).to.equal(200);
  });

  it('rejects the deletion of a rule by an invalid UUID', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    expectRefusal(await rest(url(), owner.token).delete(`/rooms/${room.id}/members/me`), 'BAD_REQUEST');
  });
});

describeBothDatabases('The administration of a room', ({ url }) => {
  it('does not let another member with a remove the administration of the user owner', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const admin = await createMember(url(), owner, room, 'rwa');
    const path = `/rooms/${room.id}/members`;
    for (const permissions of ['rw', 'b', 'rwab']) {
      expectRefusal(await rest(url(), admin.token).put(path, { userUUID: owner.user, permissions }), 'FORBIDDEN');
    }
    expectRefusal(await rest(url(), admin.token).delete(`${path}/${owner.user}`), 'FORBIDDEN');
    expect((await rest(url(), owner.token).get(`/rooms/${room.id}`)).body.content.rights).to.equal('rwa');
  });

  it('lets an owner administrator or the user owner remove the administration of the user owner', async () => {
    const owner = createUser({ level: 100 });
    for (const who of [owner, createUser({ entity: owner.entity, level: 9_999 })]) {
      const room = await createRoom(url(), owner, { level_admin: 9_999 });
      await createMember(url(), owner, room, 'rwa');
      const put = await rest(url(), who.token).put(`/rooms/${room.id}/members`, {
        userUUID: owner.user,
        permissions: 'r',
      });
      expect(put.status).to.equal(200);
    }
  });

  it('rejects the removal of the last rule with a with 409 LAST_ADMIN', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const path = `/rooms/${room.id}/members`;
    const putOwn = (permissions: string) => rest(url(), owner.token).put(path, { userUUID: owner.user, permissions });
    expectRefusal(await rest(url(), owner.token).delete(`${path}/${owner.user}`), 'LAST_ADMIN');
    for (const permissions of ['rw', 'rwab']) expectRefusal(await putOwn(permissions), 'LAST_ADMIN');
    const decline = rest(url(), owner.token).put(`/rooms/${room.id}/invitation`, { accepted: false });
    expectRefusal(await decline, 'LAST_ADMIN');
    await createMember(url(), owner, room, 'a');
    expect((await putOwn('rw')).status).to.equal(200);
  });

  it('does not count a banned or declined rule as a remaining administrator', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await createMember(url(), owner, room, 'rwab');
    const declined = await createMember(url(), owner, room, 'rwa');
    await rest(url(), declined.token).put(`/rooms/${room.id}/invitation`, { accepted: false });
    expectRefusal(await rest(url(), owner.token).delete(`/rooms/${room.id}/members/${owner.user}`), 'LAST_ADMIN');
  });

  it('keeps an administrator if two administrators leave at the same time', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { open_to_entity: false });
    const admin = await createMember(url(), owner, room, 'rwa');
    const leave = ({ user, token }: typeof admin) => rest(url(), token).delete(`/rooms/${room.id}/members/${user}`);
    const statuses = (await Promise.all([leave(owner), leave(admin)])).map(({ status }) => status);
    expect(statuses.sort()).to.deep.equal([200, 409]);
  });
});
