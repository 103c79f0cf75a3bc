import { expect } from 'chai';
import { RoomListItem } from '../../src/core/inbox-item.ts';
import type { Json } from '../helpers/json.ts';
import { describeBothDatabases } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoom, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { createUser, type TestUser } from '../helpers/users.ts';

describeBothDatabases('GET /rooms', ({ url }) => {
  const list = ({ token }: TestUser, query = '') => rest(url(), token).get(`/rooms${query}`);
  const items = async (person: TestUser, query = ''): Promise<Json[]> => (await list(person, query)).body.content;
  const ids = async (person: TestUser, query = ''): Promise<number[]> =>
    (await items(person, query)).map(({ id }) => id);
  const answer = (person: TestUser, room: { id: number }, body: object) =>
    rest(url(), person.token).put(`/rooms/${room.id}/invitation`, body);

  it('answers 200 and an empty array to a user without rooms', async () => {
    const { status, body } = await list(createUser());
    expect(status).to.equal(200);
    expect(body).to.deep.equal({ meta: { code: 200, message: 'OK' }, content: [] });
  });

  it('lists each room once, with the fields of the rule and the room, and the dates of the room', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room, 'r');
    const [item] = await items(guest);
    expect(RoomListItem.strict().parse(item)).to.deep.equal(item);
    expect(item).to.include({
      room_id: room.id,
      entity_UUID: guest.user,
      kind: 'user',
      permissions: 'r',
      accepted: false,
    });
    expect(item).to.deep.include(room);
  });

  it('lists a room with several matching rules once, by the rule of the user before that of the organisation', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = createUser();
    await putRule(url(), owner, room, { entityUUID: guest.entity, permissions: 'r' });
    expect(await items(guest)).to.have.length(1);
    expect((await items(guest))[0]).to.include({ entity_UUID: guest.entity, kind: 'entity', permissions: 'r' });
    await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'rw' });
    expect(await items(guest)).to.have.length(1);
    expect((await items(guest))[0]).to.include({ entity_UUID: guest.user, kind: 'user', permissions: 'rw' });
  });

  it('lists rooms that the user administers as owner, with the permissions rwa', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { level_admin: 200 });
    const [director, manager, clerk] = [200, 100, 99].map((level) => createUser({ entity: owner.entity, level })) as [
      TestUser,
      TestUser,
      TestUser,
    ];
    expect(await items(director)).to.have.length(1);
    expect((await items(director))[0]).to.include({ room_id: room.id, permissions: 'rwa' });
    expect((await items(manager))[0]).to.include({ room_id: room.id, permissions: 'rw', kind: 'entity' });
    expect(await items(clerk)).to.deep.equal([]);
  });

  it('lists the rooms of an owner administrator even if no rule names them', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    await rest(url(), owner.token).delete(`/rooms/${room.id}/members/${owner.entity}`);
    const director = createUser({ entity: owner.entity, level: 100 });
    expect((await items(director))[0]).to.include({ id: room.id, room_id: room.id, permissions: 'rwa' });
  });

  it('lists rooms of the organisation only from the level of its rule', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const { entity } = createUser();
    await putRule(url(), owner, room, { entityUUID: entity, permissions: 'rw', level: 50 });
    expect(await ids(createUser({ entity, level: 49 }))).to.deep.equal([]);
    expect(await ids(createUser({ entity, level: 50 }))).to.deep.equal([room.id]);
  });

  it('never lists a user2user room of colleagues', async () => {
    const owner = createUser({ level: 100 });
    const other = createUser({ entity: owner.entity });
    const room = await createRoom(url(), owner, { type: 'user2user', with: other.user });
    expect(await ids(createUser({ entity: owner.entity, level: 1_000_000 }))).to.deep.equal([]);
    for (const one of [owner, other]) expect(await ids(one)).to.deep.equal([room.id]);
  });

  it('lists rooms with the latest activity first', async () => {
    const owner = createUser({ level: 100 });
    const [a, b, c] = [await createRoom(url(), owner), await createRoom(url(), owner), await createRoom(url(), owner)];
    expect(await ids(owner)).to.deep.equal([c.id, b.id, a.id]);
    await sendMessages(url(), owner, a, 'something new');
    expect(await ids(owner)).to.deep.equal([a.id, c.id, b.id]);
    expect((await items(owner))[0]).to.include({ last_seq: 1 });
  });

  it('lists declined rooms only with accepted=false, and banned ones never', async () => {
    const owner = createUser({ level: 100 });
    const guest = createUser();
    const invite = async (permissions: string) => {
      const room = await createRoom(url(), owner);
      await putRule(url(), owner, room, { userUUID: guest.user, permissions });
      return room;
    };
    const [banned, declined, open] = [await invite('b'), await invite('rw'), await invite('rw')];
    await answer(guest, declined, { accepted: false });
    await answer(guest, open, { accepted: true });
    expect(await ids(guest)).to.deep.equal([open.id]);
    expect(await ids(guest, '?accepted=true')).to.deep.equal([open.id]);
    expect(await ids(guest, '?accepted=false')).to.deep.equal([declined.id]);
    await putRule(url(), owner, open, { entityUUID: guest.entity, permissions: 'b' });
    for (const query of ['', '?accepted=true', '?accepted=false']) {
      expect(await ids(guest, query))
        .to.not.include.members([banned.id])
        .and.not.include.members([open.id]);
    }
    const shown = (await items(guest, '?accepted=false')).find(({ id }) => id === declined.id);
    expect(shown).to.include({ accepted: false, declined: true });
  });

  it('lists a room with an unanswered rule with accepted: false', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    expect(await ids(guest)).to.deep.equal([room.id]);
    expect(await ids(guest, '?accepted=false')).to.deep.equal([room.id]);
    expect(await ids(guest, '?accepted=true')).to.deep.equal([]);
    expect((await items(guest))[0]).to.include({ accepted: false, declined: false });
  });

  it('does not list a room after the user left or was removed, or after its deletion', async () => {
    const owner = createUser({ level: 100 });
    const rooms = [await createRoom(url(), owner), await createRoom(url(), owner), await createRoom(url(), owner)];
    const guest = createUser();
    for (const room of rooms) await putRule(url(), owner, room, { userUUID: guest.user, permissions: 'r' });
    expect(await ids(guest)).to.have.length(3);
    await rest(url(), guest.token).delete(`/rooms/${rooms[0].id}/members/${guest.user}`);
    await rest(url(), owner.token).delete(`/rooms/${rooms[1].id}/members/${guest.user}`);
    await rest(url(), owner.token).delete(`/rooms/${rooms[2].id}`);
    expect(await ids(guest)).to.deep.equal([]);
  });

  it('pages through the list of rooms by limit and offset', async () => {
    const owner = createUser({ level: 100 });
    const made: number[] = [];
    for (let n = 0; n < 5; n++) made.unshift((await createRoom(url(), owner)).id);
    expect(await ids(owner, '?limit=2')).to.deep.equal(made.slice(0, 2));
    expect(await ids(owner, '?limit=2&offset=2')).to.deep.equal(made.slice(2, 4));
    expect(await ids(owner, '?limit=1000&offset=4')).to.deep.equal(made.slice(4));
    expect(await ids(owner, '?offset=5')).to.deep.equal([]);
  });

  for (const query of [
    'limit=-1',
    'limit=1001',
    'limit=abc',
    'limit=1.5',
    'offset=-1',
    'offset=abc',
    'accepted=maybe',
  ]) {
    it(`rejects a list of rooms with ${query} with 400 (the legacy service answered 500)`, async () => {
      expectRefusal(await list(createUser(), `?${query}`), 'BAD_REQUEST', query.split('=')[0]);
    });
  }
});
