import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, putRule } from '../helpers/rooms.ts';
import { createUser, withClaims } from '../helpers/users.ts';

describeBothDatabases('An administrator of a private group', ({ url }) => {
  /** Creates a room with its owner and a second administrator, who belongs to another organisation. */
  async function privateGroup() {
    const [owner, second] = [createUser({ level: 100 }), createUser()];
    const room = await createRoom(url(), owner, { open_to_entity: false });
    const put = (who: typeof owner, rule: object) => rest(url(), who.token).put(`/rooms/${room.id}/members`, rule);
    return { owner, second, room, put };
  }

  it('does not let an administrator lock out the owner by banning the old or new organisation of the owner', async () => {
    const { owner, second, room, put } = await privateGroup();
    await putRule(url(), owner, room, { userUUID: second.user, permissions: 'a' });
    const moved = withClaims(owner, { entityUUID: randomUUID() });
    for (const [name, { entity }] of [
      ['entityUUID', owner],
      ['entity_UUID', moved],
    ] as const) {
      expect((await put(second, { [name]: entity, permissions: 'b' })).status).to.equal(201);
      expectRefusal(await rest(url(), createUser({ entity }).token).get(`/rooms/${room.id}`), 'BANNED');
    }
    for (const { token } of [owner, moved]) {
      expect((await rest(url(), token).get(`/rooms/${room.id}`)).body.content.rights).to.equal('rwa');
    }
  });

  it('rejects a ban of the organisation of the last administrator with LAST_ADMIN', async () => {
    const { owner, second, room, put } = await privateGroup();
    await putRule(url(), owner, room, { userUUID: second.user, permissions: 'a' });
    expect((await rest(url(), owner.token).delete(`/rooms/${room.id}/members/${owner.user}`)).status).to.equal(200);
    expectRefusal(await put(second, { entityUUID: second.entity, permissions: 'b' }), 'LAST_ADMIN');
    expect((await rest(url(), second.token).get(`/rooms/${room.id}/members`)).body.content).to.have.lengthOf(1);
  });

  it('does not turn the rule of a user into a rule of an organisation, or vice versa', async () => {
    const { owner, second, room, put } = await privateGroup();
    await putRule(url(), owner, room, { userUUID: second.user, permissions: 'rw' });
    await putRule(url(), owner, room, { entityUUID: second.entity, permissions: 'r' });
    for (const rule of [{ entityUUID: second.user }, { userUUID: second.entity }, { entityUUID: owner.user }]) {
      const refused = await put(owner, { ...rule, permissions: 'rwa' });
      expect(refused.body.meta).to.include({ code: 400, reason: 'BAD_REQUEST' });
      expect(refused.body.meta.detail).to.match(new RegExp(`^${Object.keys(rule)[0]}: `));
    }
  });

  it('accepts rules up to the limit in a room that starts with fewer', async () => {
    const owner = createUser({ level: 100 });
    const made = await rest(url(), owner.token).post('/rooms', { name: 'one rule', max_entity_rules: 1 });
    expect(made.body.meta).to.include({ code: 400 });
    expect(made.body.meta.detail).to.match(/^max_entity_rules: /);
    await createRoom(url(), owner, { max_entity_rules: 1, open_to_entity: false });
  });
});

describeBothDatabases('A pair', ({ url }) => {
  it('lets a user return to a pair even if their level does not allow creating rooms', async () => {
    const [one, other] = [createUser({ level: 100 }), createUser()];
    const room = await createRoom(url(), one, { type: 'user2user', with: other.user });
    const asOther = rest(url(), other.token);
    expect((await asOther.delete(`/rooms/${room.id}/members/${other.user}`)).status).to.equal(200);
    expect((await asOther.get(`/rooms/${room.id}`)).status).to.equal(404);
    const again = await asOther.post('/rooms', { name: 'again', type: 'user2user', with: one.user });
    expect(again.body.content.room.id).to.equal(room.id);
    expect((await asOther.get(`/rooms/${room.id}`)).body.content.rights).to.equal('rwa');
    const stranger = await asOther.post('/rooms', { name: 'new', type: 'user2user', with: createUser().user });
    expect(stranger.status).to.equal(403);
  });
});
