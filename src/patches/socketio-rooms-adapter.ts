/**
 * Patches: socket.io@4.8.4, socket.io-adapter@2.5.8, engine.io@6.6.12
 *
 * Change: overrides `broadcast` of the in-memory adapter, and writes encoded frames to the engine.io connection of a
 * socket.
 * Reason: the adapter of Socket.IO encodes and writes each packet separately. It drops a volatile packet whenever the
 * transport is not writable, so a client between two polls would never receive one.
 * Test: test/unit/patches/socketio-rooms-adapter.test.ts
 */

import type { Namespace, Socket } from 'socket.io';
import { Adapter, type BroadcastOptions, type Room } from 'socket.io-adapter';
import { congestedBytes } from '../core/ephemeral.ts';
import { BroadcastBatcher, encodeFrame, type WrittenBatch } from '../transports/broadcast-batcher.ts';
import { closeConnection } from '../transports/socketio/close-connection.ts';
import { getSendBufferBytes } from './engineio-flush-per-tick.ts';

type Packet = Parameters<Adapter['broadcast']>[0];

/** The members of an engine.io connection that are used here. A frame in `wsPreEncodedFrame` is sent unchanged. */
interface Engine {
  transport: { name: string };
  write(data: string, options: { compress: boolean; wsPreEncodedFrame?: Buffer[] }): void;
}

/** An interface, because the class has private members and its type cannot be exported in a declaration file. */
interface RoomsAdapter extends Adapter {
  catchUp(id: string, room: Room): void;
  finish(room: Room): void;
}
type RoomsAdapterClass = (new (namespace: Namespace) => RoomsAdapter) & typeof Adapter;

/**
 * Creates an in-memory adapter that encodes each packet of a room only once for all sockets, and writes the packets of
 * one tick together. In the meantime, a packet to a single socket may overtake packets of its rooms; `catchUp` prevents
 * this. A socket that leaves a room still receives the packets that were emitted before. A volatile
 * packet is written at once, and only to connections that are not congested.
 */
export function createRoomsAdapter(onError: (error: unknown) => void): RoomsAdapterClass {
  return class extends Adapter {
    readonly #batcher: BroadcastBatcher<Room, string>;
    dropped = 0;

    constructor(namespace: Namespace) {
      super(namespace);
      this.#batcher = new BroadcastBatcher<Room, string>({
        listSubscribers: (room) => this.rooms.get(room) ?? nobody,
        write: (id, written) => {
          const socket = this.#socket(id);
          if (socket?.connected) writeToEngine(socket.conn as unknown as Engine, written);
        },
        onError: (id, error) => this.#fail(id, error),
      });
    }

    #fail(id: string, error: unknown): void {
      onError(error);
      const socket = this.#socket(id);
      if (socket) closeConnection(socket.conn);
    }

    override broadcast(packet: Packet, options: BroadcastOptions): void {
      const [room, ...others] = options.rooms;
      if (room === undefined || others.length > 0 || options.except?.size) return super.broadcast(packet, options);
      packet.nsp = this.nsp.name;
      for (const encoded of this.nsp.server.encoder.encode(packet)) {
        if (options.flags?.volatile) this.#writeVolatile(room, `4${encoded}`);
        else this.#batcher.append(room, `4${encoded}`);
      }
    }

    #writeVolatile(room: Room, text: string): void {
      const written: WrittenBatch = { texts: [text], frames: [encodeFrame(text)] };
      for (const id of this.rooms.get(room) ?? []) {
        const socket = this.#socket(id);
        if (!socket?.connected) continue;
        try {
          if (getSendBufferBytes(socket.conn) > congestedBytes) this.dropped += 1;
          else writeToEngine(socket.conn as unknown as Engine, written);
        } catch (error) {
          this.#fail(id, error);
        }
      }
    }

    get deliveries(): number {
      return this.#batcher.deliveries;
    }

    override addAll(id: string, rooms: Set<Room>): void {
      for (const room of rooms) if (!this.rooms.get(room)?.has(id)) this.#batcher.skipPending(room, id);
      super.addAll(id, rooms);
    }

    override del(id: string, room: Room): void {
      this.catchUp(id, room);
      super.del(id, room);
    }

    /** Writes the pending packets of the room to this socket, so that they precede the next packet to the socket. */
    catchUp(id: string, room: Room): void {
      if (this.rooms.get(room)?.has(id)) this.#batcher.catchUp(room, id);
    }

    /** Writes the pending packets of the room to all its sockets. */
    finish(room: Room): void {
      this.#batcher.finish(room);
    }

    #socket(id: string): Socket | undefined {
      return this.nsp.sockets.get(id) as Socket | undefined;
    }
  };
}

const nobody: ReadonlySet<string> = new Set();

interface RoomSocket {
  id: string;
  nsp: { adapter: unknown };
}

/**
 * Writes the pending packets of the room to the socket. Call this before a response that contains the current position
 * of the room, because the packets up to that position must precede it.
 */
export function catchUp({ id, nsp }: RoomSocket, room: Room): void {
  (nsp.adapter as { catchUp(id: string, room: Room): void }).catchUp(id, room);
}

/** Writes the pending packets of the room to all its sockets. Call this before a volatile packet that must not overtake them. */
export function finishWriting({ adapter }: { adapter: unknown }, room: Room): void {
  (adapter as { finish(room: Room): void }).finish(room);
}

/** Returns how many packets have been written so far. A packet counts once for every connection that received it. */
export function countDeliveries({ adapter }: { adapter: unknown }): number {
  return (adapter as { deliveries: number }).deliveries;
}

/** Returns how many volatile packets were not written, because the connection was congested. */
export function countDropped({ adapter }: { adapter: unknown }): number {
  return (adapter as { dropped: number }).dropped;
}

/**
 * Writes a batch to one connection. Each text is an encoded engine.io packet, whose first character is its type, and each
 * frame contains such a text. The type is removed here, because `engine.write` adds it again.
 */
function writeToEngine(engine: Engine, { frames, texts }: WrittenBatch): void {
  if (engine.transport.name === 'websocket') {
    // Each frame needs a separate write, because engine.io treats every write as one packet.
    for (const [n, frame] of frames.entries()) {
      engine.write(texts[n]!.slice(1), { compress: false, wsPreEncodedFrame: [frame] });
    }
  } else {
    for (const text of texts) engine.write(text.slice(1), { compress: false });
  }
}
