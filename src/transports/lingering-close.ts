import type { Duplex } from 'node:stream';

/** How long the server discards what the client still sends, before it closes the connection. */
const lingerMs = 1_000;

const closing = new WeakSet<Duplex>();

/** Returns true if `closeWithLinger` was called for this socket, so nothing more may be written to it. */
export const isClosing = (socket: Duplex): boolean => closing.has(socket);

/**
 * Closes a connection whose client may still be sending. If the server closed it at once, TCP would reset the connection
 * and could discard the answer before the client reads it. A balancer would then treat the node as dead. So the server
 * discards what still arrives, for at most a second, and closes the connection afterwards.
 */
export function closeWithLinger(socket: Duplex, lastBytes?: string): void {
  if (closing.has(socket) || socket.destroyed) return;
  closing.add(socket);
  const destroy = () => void socket.destroy();
  // The socket may have no other listener, and an unhandled 'error' event would end the process.
  socket.on('error', destroy);
  const timer = setTimeout(destroy, lingerMs);
  socket.once('close', () => clearTimeout(timer));
  socket.once('end', destroy);
  socket.end(lastBytes);
  if (socket.readableEnded) socket.once('finish', destroy);
  else socket.resume();
}
