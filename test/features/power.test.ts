import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { describeOneWiring } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, readRev } from '../helpers/rooms.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

describeOneWiring('An administrator by rule', ({ url }) => {
  async function administered(wish: object = {}) {
    const { owner, room } = await createRoomWithOwner(url(), wish);
    const admin = await createMember(url(), owner, room, 'rwa');
    const patch = (who: TestUser, body: object) => rest(url(), who.token).patch(`/rooms/${room.id}`, body);
    return { owner, room, admin, patch };
  }

  it('rejects a request of an administrator by rule that changes level_admin, including its other fields', async () => {
    const { owner, room, admin, patch } = await administered();
    const rev = await readRev(url(), owner, room);
    for (const level_admin of [2_147_483_647, 0]) {
      const refused = await patch(admin, { name: 'theirs now', level_admin });
      expectRefusal(refused, 'FORBIDDEN');
      expect(refused.body.meta.detail).to.match(/^level_admin: /);
    }
    expect(await readRev(url(), owner, room)).to.equal(rev);
    const director = createUser({ entity: owner.entity, level: 100 });
    expect((await rest(url(), director.token).get(`/rooms/${room.id}`)).body.content.rights).to.equal('rwa');
  });

  it('lets an administrator by rule send an unchanged level_admin with a new name', async () => {
    const { room, admin, patch } = await administered();
    const { status, body } = await patch(admin, { name: 'another', level_admin: room.level_admin });
    expect(status).to.equal(200);
    expect(body.content.room).to.include({ name: 'another', level_admin: 100 });
  });

  it('does not let an administrator by rule delete a room that an owner still administers', async () => {
    for (const wish of [{}, { open_to_entity: false }]) {
      const { owner, room, admin } = await administered(wish);
      expectRefusal(await rest(url(), admin.token).delete(`/rooms/${room.id}`), 'FORBIDDEN');
      expect((await rest(url(), owner.token).get(`/rooms/${room.id}`)).status).to.equal(200);
    }
  });

  it('lets an administrator by rule delete a private room that its owner has left', async () => {
    const { owner, room, admin } = await administered({ open_to_entity: false });
    await rest(url(), owner.token).delete(`/rooms/${room.id}/members/${owner.user}`);
    expect((await rest(url(), admin.token).delete(`/rooms/${room.id}`)).status).to.equal(200);
  });

  it('does not let an administrator by rule replace the declined rule of the user owner', async () => {
    const { owner, room, admin } = await administered();
    await rest(url(), owner.token).put(`/rooms/${room.id}/invitation`, { accepted: false });
    const path = `/rooms/${room.id}/members`;
    expectRefusal(await rest(url(), admin.token).delete(`${path}/${owner.user}`), 'FORBIDDEN');
    expectRefusal(await rest(url(), admin.token).put(path, { userUUID: owner.user, permissions: 'r' }), 'FORBIDDEN');
  });

  it('does not let an administrator by rule transfer the room to another user', async () => {
    const { owner, room, admin, patch } = await administered();
    for (const field of ['user_owner', 'entity_owner']) {
      await patch(admin, { name: randomUUID(), [field]: admin.user });
      const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}`);
      expect(body.content.room).to.include({ user_owner: owner.user, entity_owner: owner.entity });
    }
  });

  it('lets the user owner remove all rights of an administrator by rule', async () => {
    const { owner, room, admin } = await administered();
    await putRule(url(), owner, room, { userUUID: admin.user, permissions: 'b' });
    expectRefusal(await rest(url(), admin.token).get(`/rooms/${room.id}`), 'BANNED');
  });
});
