import type { Socket } from 'socket.io';

const graceMs = 2_000;

/**
 * Closes the engine's connection, so that the client comes back by itself. What is on its way goes out first, unless
 * the client does not read.
 */
export function endConnection(connection: Socket['conn']): void {
  connection.close();
  const force = setTimeout(() => connection.close(true), graceMs).unref();
  connection.once('close', () => clearTimeout(force));
}

/** Closes the connection and tells the client not to come back by itself. */
export function sendAway(socket: Pick<Socket, 'conn' | 'disconnect'>): void {
  socket.disconnect(true);
  endConnection(socket.conn);
}
