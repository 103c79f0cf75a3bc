/**
 * Bare socket.io: rooms by `join` and an acknowledgement, but no rights and no storage. With REDIS_URL it uses the
 * sharded Redis adapter.
 */
import { createServer } from 'node:http';
import { createShardedAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import { draftOf, listening, messageIn } from './plain-chat.ts';

const http = createServer();
const io = new Server(http, { serveClient: false, perMessageDeflate: false, httpCompression: false });
if (process.env.REDIS_URL) {
  const [publishing, hearing] = [
    createClient({ url: process.env.REDIS_URL }),
    createClient({ url: process.env.REDIS_URL }),
  ];
  for (const client of [publishing, hearing]) client.on('error', () => {});
  await Promise.all([publishing.connect(), hearing.connect()]);
  io.adapter(createShardedAdapter(publishing, hearing, { subscriptionMode: 'dynamic' }));
}

io.of('/rooms').on('connection', (socket) => {
  socket.on('room:join', async ({ room_id }, acknowledge) => {
    await socket.join(`room:${room_id}`);
    acknowledge({ ok: true });
  });
  socket.on('message:send', (payload, acknowledge) => {
    const message = messageIn(payload.room_id, draftOf(payload).content);
    io.of('/rooms').to(`room:${payload.room_id}`).emit('message:new', message);
    acknowledge({ ok: true, seq: message.seq });
  });
});
http.listen(0, '127.0.0.1', () => listening(http.address()));
