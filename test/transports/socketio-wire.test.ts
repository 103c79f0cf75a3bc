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

/** A plain WebSocket that speaks Socket.IO by hand, as the protocol document says it is done without a library. */
async function lineTo(url: string) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
  closeLater(() => socket.terminate());
  const frames = frameQueue<string>();
  socket.on('message', (data) => frames.push(String(data)));
  await once(socket, 'open');
  return {
    send: (packet: string, ...json: unknown[]) => socket.send(packet + json.map((part) => JSON.stringify(part))),
    /** What comes next, which must be this kind of packet. */
    async next(packet: string): Promise<Json> {
      const frame = await frames.take(packet);
      expect(frame.slice(0, packet.length), frame).to.equal(packet);
      return frame === packet ? undefined : JSON.parse(frame.slice(packet.length));
    },
  };
}

describeOneWiring('Socket.IO without a library', (node) => {
  it('connects, asks, hears and leaves in the frames of the document', async () => {
    const url = node.url();
    const { owner, room } = await createRoomWithOwner(url);
    const line = await lineTo(url);
    expect(await line.next('0')).to.include({ pingInterval: 25_000, pingTimeout: 20_000 });
    line.send('40/rooms,', { token: owner.token });
    expect((await line.next('40/rooms,')).sid).to.be.a('string');
    line.send('42/rooms,7', ['room:join', { room_id: room.id }]);
    const [joined] = await line.next('43/rooms,7');
    expect(joined).to.include({ ok: true, rights: 'rwa' });
    await sendMessages(url, owner, room, 'said elsewhere');
    const [announcement, message] = await line.next('42/rooms,');
    expect([announcement, message.content]).to.deep.equal(['message:new', 'said elsewhere']);
    line.send('42/rooms,8', ['message:send', { room_id: 'none' }]);
    const [refused] = await line.next('43/rooms,8');
    expect(refused).to.nested.include({ ok: false, 'error.code': 'BAD_REQUEST' });
    line.send('41/rooms,');
    await sendMessages(url, owner, room, 'unheard');
    line.send('40/rooms,', { token: owner.token });
    await line.next('40/rooms,');
  });

  it('is refused in the frame of the document', async () => {
    const line = await lineTo(node.url());
    await line.next('0');
    line.send('40/rooms,', { token: 'none' });
    expect(await line.next('44/rooms,')).to.nested.include({ 'data.code': 'UNAUTHENTICATED' });
  });

  it('is disconnected by the server when its token is revoked', async () => {
    const person = createUser();
    const line = await lineTo(node.url());
    await line.next('0');
    line.send('40/rooms,', { token: person.token });
    await line.next('40/rooms,');
    await revoke(node.url(), { userUUID: person.user, issued_before: nowSeconds() });
    await line.next('41/rooms,');
  });
});
