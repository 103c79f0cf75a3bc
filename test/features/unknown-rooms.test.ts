import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { newKey, putKeyedRoom } from '../helpers/admin-rooms.ts';
import { authenticatedChat } from '../helpers/chat-client.ts';
import type { RequestName } from '../helpers/contracts.ts';
import type { Json } from '../helpers/json.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, createRoomWithOwner, putRule } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

describeOneWiring('A room that the user has no access to', ({ url, startNode }) => {
  /** The number, the UUID and the key of rooms, each with a number, UUID or key that no room has. */
  async function names(): Promise<[there: number | string, missing: number | string][]> {
    const { owner, room } = await createRoomWithOwner(url(), { open_to_entity: false });
    await putRule(url(), owner, room, { userUUID: randomUUID(), permissions: 'rwb' });
    return [
      [room.id, 9_007_199_254_740_991],
      [room.uuid, randomUUID()],
      [`key:${(await putKeyedRoom(url())).key}`, `key:${newKey()}`],
    ];
  }

  const member = randomUUID();
  const asked: [method: string, path: string, body?: object][] = [
    ['GET', ''],
    ['PATCH', '', { name: 'x' }],
    ['PATCH', '', { level_admin: 2_147_483_647 }],
    ['PATCH', '', { max_entity_rules: 1 }],
    ['DELETE', ''],
    ['GET', '/members'],
    ['PUT', '/members', { userUUID: member, permissions: 'r' }],
    ['PUT', '/members', { userUUID: member }],
    ['DELETE', `/members/${member}`],
    ['PUT', '/invitation', { accepted: true }],
    ['PUT', '/invitation', { accepted: false, use_parent_entity: true }],
    ['GET', '/messages'],
    ['GET', '/messages?around=1'],
    ['POST', '/messages', { content: 'x', client_msg_id: 'm1' }],
  ];
  for (const [method, path, body] of asked) {
    it(`answers ${method} /rooms/:id${path} ${body ? `with ${JSON.stringify(body).replace(member, '…')} ` : ''}alike for an inaccessible and a nonexistent room`, async () => {
      const { token } = createUser({ level: 100 });
      for (const [there, missing] of await names()) {
        const [one, other] = [there, missing].map((name) =>
          rest(url(), token).request(method, `/rooms/${name}${path}`, { body }),
        );
        const { status, body: answer } = await one!;
        expect({ status, answer }).to.deep.equal({ status: 404, answer: (await other!).body });
      }
    });
  }

  const requests: [name: RequestName, payload: object, ok: boolean][] = [
    ['room:join', {}, false],
    ['room:join', { since: '1.0.1' }, false],
    ['room:leave', {}, true],
    ['message:send', { content: 'x' }, false],
    ['message:history', {}, false],
  ];
  for (const [name, payload, ok] of requests) {
    it(`answers ${name} with ${JSON.stringify(payload)} alike for an inaccessible and a nonexistent room`, async () => {
      const socket = await socketClient(url(), createUser());
      for (const [there, missing] of await names()) {
        const answer = await socket.request(name, { ...payload, room_id: there });
        expect(answer).to.deep.equal(await socket.request(name, { ...payload, room_id: missing }));
        expect(answer.ok).to.equal(ok);
      }
    });
  }

  it('answers room:join alike for an inaccessible and a nonexistent room on a connection with the maximum number of rooms', async () => {
    const node = await startNode({ MAX_ROOMS_PER_CONNECTION: 1 });
    const [me, owner] = [createUser({ level: 100 }), createUser({ level: 100 })];
    const [mine, other] = [await createRoom(node.url, me), await createRoom(node.url, owner)];
    const socket = await socketClient(node.url, me);
    await socket.request('room:join', { room_id: mine.uuid });
    for (const room_id of [other.uuid, randomUUID(), other.id, 9_007_199_254_740_991]) {
      expect((await socket.request('room:join', { room_id })).error.code).to.equal('TOO_MANY_ROOMS');
    }
    expect(await socket.request('room:join', { room_id: mine.uuid })).to.include({ ok: true });
  });

  it('answers select_room on /chat alike for an inaccessible and a nonexistent room', async () => {
    const chat = await authenticatedChat(url(), createUser());
    for (const pair of await names()) {
      const frames: Json[] = [];
      for (const room_id of pair) {
        chat.send({ type: 'select_room', room_id });
        frames.push(await chat.next());
      }
      expect(frames[0]).to.include({ data: 'NOTAUTHORIZED', reason: 'NOT_FOUND' }).and.deep.equal(frames[1]);
    }
  });
});
