import type { Socket } from 'socket.io';
import type { WebSocket } from 'ws';
import { closeTimeoutMs } from '../../core/limits/transport-limits.ts';

type Connection = Socket['conn'];

/**
 * Closes the engine's connection, so that the client comes back by itself. What is on its way goes out first, unless
 * the client does not read.
 */
export function closeConnection(connection: Connection): void {
  connection.close();
  const force = setTimeout(() => terminateConnection(connection), closeTimeoutMs).unref();
  connection.once('close', () => clearTimeout(force));
}

/** Ends it at once, with what is unsent. */
export function terminateConnection(connection: Connection): void {
  const { socket } = connection.transport as { socket?: WebSocket };
  connection.close(true);
  socket?.terminate();
}

/** Closes the connection and tells the client not to come back by itself. */
export function disconnectForGood(socket: Pick<Socket, 'conn' | 'disconnect'>): void {
  socket.disconnect(true);
  closeConnection(socket.conn);
}
