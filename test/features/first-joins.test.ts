import { expect } from 'chai';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, readRev } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

const guests = 12;

describeBothDatabases('A first join', ({ url }) => {
  it('delivers the first joins of many users at once to each subscriber, once and in one order', async () => {
    const { owner, room } = await createRoomWithOwner(url(), { max_entity_rules: guests + 1, open_to_entity: false });
    const people = [];
    for (let n = 0; n < guests; n++) people.push(await createMember(url(), owner, room));
    const before = await readRev(url(), owner, room);
    const witness = await socketClient(url(), owner);
    await witness.request('room:join', { room_id: room.id });
    const sockets = await Promise.all(people.map((person) => socketClient(url(), person)));
    const joined = await Promise.all(sockets.map((socket) => socket.request('room:join', { room_id: room.id })));
    expect(joined.map(({ ok }) => ok)).to.deep.equal(people.map(() => true));
    const fence = await witness.request('message:send', { room_id: room.id, content: 'fence' });
    expect(fence.rev).to.equal(before + guests + 1);
    for (const [n, socket] of [witness, ...sockets].entries()) {
      const from = n === 0 ? before : joined[n - 1]!.rev;
      const revs = [];
      while (revs.at(-1) !== fence.rev) revs.push((await socket.nextOfAny()).payload.rev);
      expect(revs).to.deep.equal(Array.from({ length: fence.rev - from }, (_, i) => from + 1 + i));
    }
    const { body } = await rest(url(), owner.token).get(`/rooms/${room.id}/members`);
    expect(body.content.filter(({ accepted }: { accepted: boolean }) => !accepted)).to.deep.equal([]);
  });

  it('stores one change for the first joins of a user on two connections at once', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const guest = await createMember(url(), owner, room);
    const before = await readRev(url(), owner, room);
    const sockets = await Promise.all([guest, guest, guest].map((one) => socketClient(url(), one)));
    const joined = await Promise.all(sockets.map((socket) => socket.request('room:join', { room_id: room.id })));
    for (const { ok, rev } of joined) expect({ ok, rev }).to.deep.equal({ ok: true, rev: before + 1 });
    expect(await readRev(url(), owner, room)).to.equal(before + 1);
  });

  it('rejects the first join of a user who may not read, and does not accept their invitation', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const [writer, banned] = [await createMember(url(), owner, room, 'w'), createUser()];
    await putRule(url(), owner, room, { userUUID: banned.user, permissions: 'rw' });
    await putRule(url(), owner, room, { entityUUID: banned.entity, permissions: 'b' });
    const before = await readRev(url(), owner, room);
    for (const [who, code] of [
      [writer, 'FORBIDDEN'],
      [banned, 'BANNED'],
    ] as const) {
      const socket = await socketClient(url(), who);
      const { ok, error } = await socket.request('room:join', { room_id: room.id });
      expect({ ok, code: error.code }).to.deep.equal({ ok: false, code });
    }
    expect(await readRev(url(), owner, room)).to.equal(before);
  });

  it('admits a first join that races with a removal or ban, or rejects it for that reason, and delivers nothing afterwards', async () => {
    for (let round = 0; round < 6; round++) {
      const { owner, room } = await createRoomWithOwner(url());
      const guest = await createMember(url(), owner, room);
      const socket = await socketClient(url(), guest);
      const isBan = round % 2 === 0;
      const taken = isBan
        ? rest(url(), owner.token).put(`/rooms/${room.id}/members`, { userUUID: guest.user, permissions: 'b' })
        : rest(url(), owner.token).delete(`/rooms/${room.id}/members/${guest.user}`);
      const joining = socket.request('room:join', { room_id: room.id });
      expect((await taken).status).to.be.below(300);
      const { ok, error } = await joining;
      if (ok) {
        const removed = await socket.next('room:removed');
        expect(removed.code).to.equal(isBan ? 'BANNED' : 'RULE_REMOVED');
      } else {
        expect(error.code).to.equal(isBan ? 'BANNED' : 'NOT_FOUND');
      }
    }
  });
});
