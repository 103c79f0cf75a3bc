/**
 * Patches: engine.io@6.6.12, ws@8.23.0
 *
 * Change: replaces `flush` of a connection, and reads `writeBuffer` and the transport.
 * Reason: engine.io writes every packet to the socket separately, and neither engine.io nor `ws` limits the amount of
 * unsent data for a client that does not read.
 * Test: test/unit/patches/engineio-flush-per-tick.test.ts
 */

import type { Socket } from 'socket.io';
import type { WebSocket } from 'ws';
import { getUnreadAnswerBytes } from './engineio-bounded-polling.ts';

type Connection = Socket['conn'];

interface Packet {
  data?: string | Buffer;
  options?: { wsPreEncodedFrame?: Buffer[] };
  /** The memory that the packet uses; set when it is first computed. */
  bytes?: number;
}

/** If a response contains more packets, the client library python-engineio closes the connection. */
const maxPacketsPerResponse = 16;
/** The memory that a packet uses in addition to its data (an estimate). */
const packetOverheadBytes = 128;

/** The private members of engine.io's connection that are used here. */
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
  /**
   * Closes the connection if it has too much unsent data. Call this periodically: engine.io and `ws` also write packets
   * themselves, such as pongs, and these cause no flush.
   */
  check(connection: Connection): void;
}

/**
 * Makes connections write all packets of one tick together. If a client does not read, and more than `maxBytes` are
 * unsent, its connection is closed. 0 means no limit.
 */
export function createFlushPerTick(maxBytes: number, onSlowConsumer: () => void): FlushPerTick {
  const due = new Set<Engine>();

  /** Returns true if the connection was over the limit and is closed now. */
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
        // The connection may have lost packets, so it is closed. The remaining connections are still flushed.
        end(engine);
      }
    }
  }

  // Replaces the `flush` of engine.io. All connections share this one function, which saves memory.
  function flush(this: Engine): void {
    // If the connection is closing, it is flushed at once, because engine.io may close the transport right afterwards.
    if (this.readyState === 'closing') return flushNow(this);
    // `nextTick` runs after all packets of this tick are in the buffers, so responses and broadcasts share one write.
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
    // The remaining packets follow in the next responses. Only the last response uses the `flush` of engine.io, which
    // emits the events `flush` and `drain`.
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

/**
 * If the transport is writable, the packets in `writeBuffer` are not counted, because the next flush passes them to the
 * transport.
 */
function computeSendBufferBytes({ writeBuffer, transport }: Engine): number {
  const handedOver = transport.socket?.bufferedAmount ?? getUnreadAnswerBytes(transport);
  return transport.writable ? handedOver : writeBuffer.reduce((sum, packet) => sum + computeBytes(packet), handedOver);
}

function computeBytes(packet: Packet): number {
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
