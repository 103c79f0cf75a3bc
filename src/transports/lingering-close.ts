import type { Duplex } from 'node:stream';

/** How long a client may go on sending after its answer. */
const lingerMs = 1_000;

const closing = new WeakSet<Duplex>();

/** Whether the last answer on this socket has been written. */
export const isClosing = (socket: Duplex): boolean => closing.has(socket);

/**
 * Ends a connection whose client may still be sending. Closing it at once would reset it, and a reset discards the answer
 * that is on its way: to a balancer the node then looks dead. What still arrives is discarded, for at most a second.
 */
export function closeWithLinger(socket: Duplex, lastBytes?: string): void {
  if (closing.has(socket) || socket.destroyed) return;
  closing.add(socket);
  const destroy = () => void socket.destroy();
  // The socket's own errors may have no other listener.
  socket.on('error', destroy);
  const timer = setTimeout(destroy, lingerMs);
  socket.once('close', () => clearTimeout(timer));
  socket.once('end', destroy);
  socket.end(lastBytes);
  if (socket.readableEnded) socket.once('finish', destroy);
  else socket.resume();
}
