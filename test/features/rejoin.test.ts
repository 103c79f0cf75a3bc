import { expect } from 'chai';
import { describeEveryWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoomWithOwner } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';

describeEveryWiring('A socket that joins a room again', ({ url }) => {
  it('delivers everything once and in order to a socket that joins a room repeatedly while others send', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const [listener, talker] = [await socketClient(url(), owner), await socketClient(url(), owner)];
    const { rev: start } = await listener.request('room:join', { room_id: room.id });

    const sends = 300;
    const sending = Array.from({ length: sends }, (_, n) =>
      talker.request('message:send', { room_id: room.id, content: `${n}` }),
    );
    const joins = [];
    for (let n = 0; n < 20; n++) joins.push(await listener.request('room:join', { room_id: room.id }));
    await Promise.all(sending);

    const heard = [];
    for (let n = 0; n < sends; n++) heard.push((await listener.next('message:new')).rev);
    expect(heard).to.deep.equal(Array.from({ length: sends }, (_, n) => start + 1 + n));
    expect(joins.every(({ ok, recovered, events }) => ok && !recovered && events.length === 0)).to.equal(true);
  });

  it('recovers the changes since a cursor for a joined socket, up to those already delivered', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const socket = await socketClient(url(), owner);
    const { cursor } = await socket.request('room:join', { room_id: room.id });
    for (const content of ['a', 'b']) {
      await rest(url(), owner.token).post(`/rooms/${room.id}/messages`, { content });
      await socket.next('message:new');
    }
    const again = await socket.request('room:join', { room_id: room.id, since: cursor });
    expect(again).to.include({ recovered: true, rev: 2 });
    expect(again.room.last_seq).to.equal(2);
    expect(again.events.map(({ payload }: { payload: { content: string } }) => payload.content)).to.deep.equal([
      'a',
      'b',
    ]);
  });
});
