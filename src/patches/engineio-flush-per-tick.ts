/**
 * Patches: engine.io@6.6.12, ws@8.23.0
 *
 * Change: replaces `flush` of a connection, and reads `writeBuffer` and the transport.
 * Reason: engine.io writes every packet at once, and neither it nor `ws` bounds what waits for a client that does
 * not read.
 * Test: test/unit/patches/engineio-flush-per-tick.test.ts
 */

import type { Socket } from 'socket.io';
import type { WebSocket } from 'ws';
import { getUnreadAnswerBytes } from './engineio-bounded-polling.ts';

type Connection = Socket['conn'];

interface Packet {
  data?: string | Buffer;
  options?: { wsPreEncodedFrame?: Buffer[] };
  /** What it weighs, once that has been asked. */
  bytes?: number;
}

/** python-engineio drops the connection over an answer with more. */
const maxPacketsPerResponse = 16;
/** What a packet weighs beside its text. */
const packetOverheadBytes = 128;

/** What of engine.io's connection its types keep to themselves. */
interface Engine {
  readyState: string;
  flush(): void;
  close(discard: true): void;
  writeBuffer: Packet[];
  transport: {
    name: string;
    writable: boolean;
    send(packets: Packet[]): void;
    socket?: WebSocket & { _socket?: { cork(): void; uncork(): void } };
  };
}

export interface FlushPerTick {
  add(connection: Connection): void;
  /** Closes it if it has too much unsent; its libraries write by themselves, too. */
  check(connection: Connection): void;
}

/**
 * Lets connections write all packets of one tick at once, and closes a connection when more than `maxBytes` (0: any)
 * wait for a client that does not read.
 */
export function createFlushPerTick(maxBytes: number, onSlowConsumer: () => void): FlushPerTick {
  const due = new Set<Engine>();

  /** True if it had to be closed. */
  function closeIfOverLimit(engine: Engine): boolean {
    if (maxBytes === 0 || computeSendBufferBytes(engine) <= maxBytes) return false;
    onSlowConsumer();
    end(engine);
    return true;
  }

  function flushAll(): void {
    const all = [...due];
    due.clear();
    for (const engine of all) {
      try {
        if (!closeIfOverLimit(engine)) flushNow(engine);
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

  return {
    add(connection) {
      (connection as unknown as Engine).flush = flush;
    },
    check(connection) {
      if (connection.readyState === 'open') closeIfOverLimit(connection as unknown as Engine);
    },
  };
}

function flushNow(engine: Engine): void {
  const { transport, writeBuffer } = engine;
  if (transport.name === 'polling' && writeBuffer.length > maxPacketsPerResponse) {
    // The rest goes with the next answers; the engine is told when the last has gone.
    if (transport.writable) transport.send(writeBuffer.splice(0, maxPacketsPerResponse));
    return;
  }
  const socket = transport.socket?._socket;
  socket?.cork();
  try {
    (Object.getPrototypeOf(engine) as Engine).flush.call(engine);
  } finally {
    socket?.uncork();
  }
}

export function getSendBufferBytes(connection: Connection): number {
  return computeSendBufferBytes(connection as unknown as Engine);
}

/** There are none in the engine as long as its transport takes what comes. */
function computeSendBufferBytes({ writeBuffer, transport }: Engine): number {
  const handedOver = transport.socket?.bufferedAmount ?? getUnreadAnswerBytes(transport);
  return transport.writable ? handedOver : writeBuffer.reduce((sum, packet) => sum + computeWeight(packet), handedOver);
}

function computeWeight(packet: Packet): number {
  packet.bytes ??= packetOverheadBytes + countBytes(packet);
  return packet.bytes;
}

function countBytes({ data, options }: Packet): number {
  return options?.wsPreEncodedFrame?.[0]?.length ?? (data === undefined ? 0 : Buffer.byteLength(data));
}

function end(engine: Engine): void {
  const { socket } = engine.transport;
  engine.close(true);
  socket?.terminate();
}
