import type { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { closeWithLinger } from '../lingering-close.ts';

/**
 * Closes the connection of a request that is answered before its body has come, as most refusals are. Node.js would wait
 * for the rest as long as for any request, and where the answer says `Connection: close` reset the connection at once.
 */
export function closeAfterUnreadBody(request: IncomingMessage, response: ServerResponse): void {
  if (request.complete || !hasBody(request)) return;
  const { socket } = request;
  socket.destroySoon = () => {
    if (request.complete) Socket.prototype.destroySoon.call(socket);
    else closeWithLinger(socket);
  };
  response.once('finish', () => {
    if (!request.complete) closeWithLinger(socket);
  });
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
