import { once } from 'node:events';
import { expect } from 'chai';
import WebSocket from 'ws';
import { closeLater } from '../helpers/cleanup.ts';
import { frameQueue } from '../helpers/frame-queue.ts';
import type { Json } from '../helpers/json.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { nowSeconds, revoke } from '../helpers/revocations.ts';
import { createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';

/** Opens a plain WebSocket that sends and receives the frames in the protocol document for clients without a library. */
async function openConnection(url: string) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
  closeLater(() => socket.terminate());
  const frames = frameQueue<string>();
  socket.on('message', (data) => frames.push(String(data)));
  await once(socket, 'open');
  return {
    send: (packet: string, ...json: unknown[]) => socket.send(packet + json.map((part) => JSON.stringify(part))),
    /** Returns the next packet, and fails if it has another type. */
    async next(packet: string): Promise<Json> {
      const frame = await frames.take(packet);
      expect(frame.slice(0, packet.length), frame).to.equal(packet);
      return frame === packet ? undefined : JSON.parse(frame.slice(packet.length));
    },
  };
}

describeOneWiring('Socket.IO without a library', (node) => {
  it('accepts a client that connects, sends requests and leaves with the frames of the document', async () => {
    const url = node.url();
    const { owner, room } = await createRoomWithOwner(url);
    const connection = await openConnection(url);
    expect(await connection.next('0')).to.include({ pingInterval: 25_000, pingTimeout: 20_000 });
    connection.send('40/rooms,', { token: owner.token });
    expect((await connection.next('40/rooms,')).sid).to.be.a('string');
    connection.send('42/rooms,7', ['room:join', { room_id: room.id }]);
    const [joined] = await connection.next('43/rooms,7');
    expect(joined).to.include({ ok: true, rights: 'rwa' });
    await sendMessages(url, owner, room, 'sent over REST');
    const [event, message] = await connection.next('42/rooms,');
    expect([event, message.content]).to.deep.equal(['message:new', 'sent over REST']);
    connection.send('42/rooms,8', ['message:send', { room_id: 'none' }]);
    const [refused] = await connection.next('43/rooms,8');
    expect(refused).to.nested.include({ ok: false, 'error.code': 'BAD_REQUEST' });
    connection.send('41/rooms,');
    await sendMessages(url, owner, room, 'unheard');
    connection.send('40/rooms,', { token: owner.token });
    await connection.next('40/rooms,');
  });

  it('rejects a connect with the frame of the document', async () => {
    const connection = await openConnection(node.url());
    await connection.next('0');
    connection.send('40/rooms,', { token: 'none' });
    expect(await connection.next('44/rooms,')).to.nested.include({ 'data.code': 'UNAUTHENTICATED' });
  });

  it('disconnects a client without a library when its token is revoked', async () => {
    const person = createUser();
    const connection = await openConnection(node.url());
    await connection.next('0');
    connection.send('40/rooms,', { token: person.token });
    await connection.next('40/rooms,');
    await revoke(node.url(), { userUUID: person.user, issued_before: nowSeconds() });
    await connection.next('41/rooms,');
  });
});
