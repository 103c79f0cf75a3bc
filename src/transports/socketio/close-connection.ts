import type { Socket } from 'socket.io';
import type { WebSocket } from 'ws';
import { closeTimeoutMs } from '../../core/limits/transport-limits.ts';

type Connection = Socket['conn'];

/**
 * Closes the engine's connection, after which the client reconnects. Packets in the send buffer are sent first, unless
 * the client does not read them in time.
 */
export function closeConnection(connection: Connection): void {
  connection.close();
  const force = setTimeout(() => terminateConnection(connection), closeTimeoutMs).unref();
  connection.once('close', () => clearTimeout(force));
}

/** Closes the connection at once and discards its send buffer. */
export function terminateConnection(connection: Connection): void {
  const { socket } = connection.transport as { socket?: WebSocket };
  connection.close(true);
  socket?.terminate();
}

/** Closes the connection so that the client does not reconnect by itself. */
export function disconnectForGood(socket: Pick<Socket, 'conn' | 'disconnect'>): void {
  socket.disconnect(true);
  closeConnection(socket.conn);
}
