import type { Duplex } from 'node:stream';
import { TickQueue } from '../core/tick-queue.ts';

/**
 * Limited, because each handshake also leads to a token and a join. If thousands of clients reconnect in the same second,
 * Node.js would otherwise handle all their requests before it runs any timer.
 */
export const maxHandshakesPerTick = 20;

/** Starts the handshakes of all live transports in the order of their requests, a few per tick. */
export interface HandshakeQueue {
  /** Starts it later, unless the client has gone by then. */
  add(socket: Duplex, start: () => void): void;
}

export function createHandshakeQueue(): HandshakeQueue {
  const queue = new TickQueue<{ socket: Duplex; start: () => void }>(maxHandshakesPerTick, ({ socket, start }) => {
    if (socket.destroyed) return;
    socket.off('error', destroyOnError);
    start();
  });
  return {
    add(socket, start) {
      // Nobody else listens yet to the socket of an upgrade, and an unhandled 'error' event would end the process.
      socket.on('error', destroyOnError);
      queue.add({ socket, start });
    },
  };
}

function destroyOnError(this: Duplex): void {
  this.destroy();
}
