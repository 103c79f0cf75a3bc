import type { Socket } from 'socket.io';
import type { WebSocket } from 'ws';

type Connection = Socket['conn'];

interface Packet {
  data?: string | Buffer;
  options?: { wsPreEncodedFrame?: Buffer[] };
}

/** What of engine.io's connection its types keep to themselves. */
interface Engine {
  readyState: string;
  flush(): void;
  close(discard: true): void;
  writeBuffer: Packet[];
  transport: { writable: boolean; socket?: WebSocket & { _socket?: { cork(): void; uncork(): void } } };
}

/**
 * Lets connections write what they have to say in one turn of the event loop at once, and closes one when more than
 * `most` bytes (0: any) wait for a client that does not read: neither the engine nor `ws` bounds them.
 */
export function flushingPerTurn(most: number, closedUnread: () => void): (connection: Connection) => void {
  const due = new Set<Engine>();

  function flushAll(): void {
    const all = [...due];
    due.clear();
    for (const engine of all) {
      try {
        if (most > 0 && unsentBytes(engine) > most) {
          closedUnread();
          end(engine);
        } else flushNow(engine);
      } catch {
        // It has missed something, and the others must not.
        end(engine);
      }
    }
  }

  // In the place of the engine's own; one function for all connections.
  function flush(this: Engine): void {
    // The engine may close the transport next.
    if (this.readyState === 'closing') return flushNow(this);
    // After the turn's answers, so that they share a write with what else the connection is told.
    if (due.size === 0) process.nextTick(flushAll);
    due.add(this);
  }

  return (connection) => {
    (connection as unknown as Engine).flush = flush;
  };
}

function flushNow(engine: Engine): void {
  const socket = engine.transport.socket?._socket;
  socket?.cork();
  try {
    (Object.getPrototypeOf(engine) as Engine).flush.call(engine);
  } finally {
    socket?.uncork();
  }
}

export function unsentBytesOf(connection: Connection): number {
  return unsentBytes(connection as unknown as Engine);
}

/** There are none in the engine as long as its transport takes what comes. */
function unsentBytes({ writeBuffer, transport }: Engine): number {
  const handedOver = transport.socket?.bufferedAmount ?? 0;
  return transport.writable ? handedOver : writeBuffer.reduce((sum, packet) => sum + bytesOf(packet), handedOver);
}

function bytesOf({ data, options }: Packet): number {
  return options?.wsPreEncodedFrame?.[0]?.length ?? data?.length ?? 0;
}

function end(engine: Engine): void {
  const { socket } = engine.transport;
  engine.close(true);
  socket?.terminate();
}
