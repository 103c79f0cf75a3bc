/** Bare `ws`: rooms in a Map, no rights, no storage. Each message is stringified once and sent as a string. */
import { type WebSocket, WebSocketServer } from 'ws';
import { draftOf, listening, messageIn } from './plain-chat.ts';

const rooms = new Map<number, Set<WebSocket>>();
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });

server.on('connection', (socket) => {
  let room = 0;
  socket.on('message', (data) => {
    const text = data.toString();
    const { join, content } = draftOf(JSON.parse(text));
    if (join !== undefined) {
      room = join;
      rooms.set(room, (rooms.get(room) ?? new Set()).add(socket));
      return socket.send('{"joined":true}');
    }
    const frame = JSON.stringify(messageIn(room, content));
    for (const member of rooms.get(room) ?? []) member.send(frame);
  });
  socket.on('close', () => void rooms.get(room)?.delete(socket));
});
server.on('listening', () => listening(server.address()));
