import { once } from 'node:events';
import { expect } from 'chai';
import { describeBothDatabases } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoomWithOwner } from '../helpers/rooms.ts';
import { socketClient } from '../helpers/socket-client.ts';

describeBothDatabases('While others send', ({ url }) => {
  it('delivers everything once and in order to a socket that upgrades from polling to WebSocket while others send', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const talker = await socketClient(url(), owner);
    let isOver = false;
    const talk = async () => {
      while (!isOver) await talker.request('message:send', { room_id: room.id, content: 'x' });
    };
    const talking = [talk(), talk(), talk()];
    const listener = await socketClient(url(), owner, { transports: ['polling', 'websocket'] });
    const { engine } = listener.raw.io;
    // The upgrade may already have finished.
    const upgraded = engine.transport.name === 'websocket' ? [] : once(engine as never, 'upgrade');
    const { rev: start } = await listener.request('room:join', { room_id: room.id });
    await upgraded;
    isOver = true;
    await Promise.all(talking);
    const fence = await talker.request('message:send', { room_id: room.id, content: 'fence' });
    const heard = [];
    while (heard.at(-1) !== fence.rev) heard.push((await listener.next('message:new')).rev);
    expect(heard).to.deep.equal(Array.from({ length: fence.rev - start }, (_, n) => start + 1 + n));
  });

  it('answers every join of and send to a deleted room with success or NOT_FOUND', async () => {
    for (let round = 0; round < 5; round++) {
      const { owner, room } = await createRoomWithOwner(url());
      const sockets = await Promise.all(Array.from({ length: 6 }, () => socketClient(url(), owner)));
      const answers = sockets.flatMap((socket) =>
        Array.from({ length: 5 }, (_, n) => [
          socket.request('room:join', { room_id: room.id }),
          socket.request('message:send', { room_id: room.id, content: `${n}` }),
        ]).flat(),
      );
      await answers[round];
      expect((await rest(url(), owner.token).delete(`/rooms/${room.id}`)).status).to.equal(200);
      const codes = (await Promise.all(answers)).map(({ ok, error }) => (ok ? 'ok' : error.code));
      expect(codes.filter((code) => code !== 'ok' && code !== 'NOT_FOUND')).to.deep.equal([]);
    }
  });
});
