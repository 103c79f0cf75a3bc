import type { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { closeWithLinger } from '../lingering-close.ts';

/**
 * Closes the connection if the request is answered before its whole body has arrived, as most rejected requests are.
 * Node.js itself would wait for the rest of the body until the request times out. If the answer has the header
 * `Connection: close`, Node.js would close the socket at once, and the client might not receive the answer.
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
