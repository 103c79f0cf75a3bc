import { expect } from 'chai';
import { PermissionRule } from '../../src/core/room.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, readRev } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';

describeBothDatabases('PUT /rooms/:id/invitation', ({ url }) => {
  const answer = (token: string, room: { id: number }, body: object) =>
    rest(url(), token).put(`/rooms/${room.id}/invitation`, body);

  it('accepts the rule of an invitation', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const yes = await answer(guest.token, room, { accepted: true });
    expect(yes.status).to.equal(200);
    expect(PermissionRule.strict().parse(yes.body.content)).to.deep.equal(yes.body.content);
    expect(yes.body.content).to.include({ entity_UUID: guest.user, accepted: true, declined: false });
  });

  it('declines the rule of an invitation, which then grants nothing until it is accepted again', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const no = await answer(guest.token, room, { accepted: false });
    expect(no.body.content).to.include({ accepted: false, declined: true, permissions: 'rw' });
    expectRefusal(await rest(url(), guest.token).get(`/rooms/${room.id}/messages`), 'FORBIDDEN');
    expectRefusal(await rest(url(), guest.token).post(`/rooms/${room.id}/messages`, { content: 'x' }), 'FORBIDDEN');
    await answer(guest.token, room, { accepted: true });
    expect((await rest(url(), guest.token).get(`/rooms/${room.id}/messages`)).status).to.equal(200);
  });

  it('adds no change to the log if the answer to an invitation is the same', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    await answer(guest.token, room, { accepted: true });
    const rev = await readRev(url(), owner, room);
    expect((await answer(guest.token, room, { accepted: true })).status).to.equal(200);
    expect(await readRev(url(), owner, room)).to.equal(rev);
  });

  it('answers an invitation with 404 if no rule exists, even for owner administrators (the legacy service answered 500)', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    for (const who of [createUser(), createUser({ entity: owner.entity, level: 100 })]) {
      expectRefusal(await answer(who.token, room, { accepted: true }), 'NOT_FOUND');
    }
    expectRefusal(await answer(createUser().token, { id: 9_007_199_254_740_991 }, { accepted: true }), 'NOT_FOUND');
  });

  it('answers an invitation for the user only, and leaves the rule of the organisation unanswered', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = createUser({ level: 500 });
    await putRule(url(), owner, room, { entityUUID: guest.entity, permissions: 'rw' });
    expectRefusal(await answer(guest.token, room, { accepted: false }), 'NOT_FOUND');
    expect((await rest(url(), guest.token).get(`/rooms/${room.id}`)).status).to.equal(200);
  });

  const levels: [number, number, 'may' | 'may not'][] = [
    [0, 99, 'may not'],
    [0, 100, 'may'],
    [50, 100, 'may'],
    [150, 149, 'may not'],
    [150, 150, 'may'],
  ];
  for (const [ruleLevel, level, permission] of levels) {
    it(`decides that a user of level ${level} ${permission} answer the invitation of an organisation from level ${ruleLevel}`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      const guest = createUser({ level });
      await putRule(url(), owner, room, { entityUUID: guest.entity, permissions: 'rw', level: ruleLevel });
      const answered = await answer(guest.token, room, { accepted: true, use_parent_entity: true });
      if (permission === 'may not') return expectRefusal(answered, 'FORBIDDEN');
      expect(answered.status).to.equal(200);
      expect(answered.body.content).to.include({ entity_UUID: guest.entity, accepted: true });
    });
  }

  it('closes the room to all members of an organisation that declines its invitation', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const [director, colleague] = [createUser({ level: 100 }), createUser()];
    await putRule(url(), owner, room, { entityUUID: director.entity, permissions: 'rw' });
    colleague.token = createUser({ user: colleague.user, entity: director.entity }).token;
    expect((await rest(url(), colleague.token).get(`/rooms/${room.id}`)).status).to.equal(200);
    await answer(director.token, room, { accepted: false, use_parent_entity: true });
    expectRefusal(await rest(url(), colleague.token).get(`/rooms/${room.id}`), 'FORBIDDEN');
  });

  it('answers an invitation with use_parent_entity with 404 if the organisation has no rule', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const director = createUser({ user: guest.user, level: 100 });
    expectRefusal(await answer(director.token, room, { accepted: true, use_parent_entity: true }), 'NOT_FOUND');
  });

  for (const body of [{}, { accepted: null }, { accepted: 'perhaps' }, { accepted: 1 }]) {
    it(`rejects the answer ${JSON.stringify(body)} to an invitation with 400`, async () => {
      const { owner, room } = await createRoomWithOwner(url());
      const guest = await createMember(url(), owner, room);
      expectRefusal(await answer(guest.token, room, body), 'BAD_REQUEST', 'accepted');
    });
  }
});
