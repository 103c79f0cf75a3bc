/**
 * Patches: socket.io@4.8.4, socket.io-adapter@2.5.8, engine.io@6.6.12
 *
 * Change: overrides `broadcast` of the in-memory adapter, and writes encoded frames to the engine of a socket.
 * Reason: the adapter of Socket.IO encodes and writes each packet on its own.
 * Test: test/unit/patches/socketio-rooms-adapter.test.ts
 */

import type { Namespace, Socket } from 'socket.io';
import { Adapter, type BroadcastOptions, type Room } from 'socket.io-adapter';
import { BroadcastBatcher, type WrittenBatch } from '../transports/broadcast-batcher.ts';
import { closeConnection } from '../transports/socketio/close-connection.ts';

type Packet = Parameters<Adapter['broadcast']>[0];

/** What `Client.writeToEngine` writes to; engine.io sends frames that were made before as they are. */
interface Engine {
  transport: { name: string };
  write(data: string, options: { compress: boolean; wsPreEncodedFrame?: Buffer[] }): void;
}

/** Its class has private parts, which a declaration cannot have. */
interface RoomsAdapter extends Adapter {
  catchUp(id: string, room: Room): void;
}
type RoomsAdapterClass = (new (namespace: Namespace) => RoomsAdapter) & typeof Adapter;

/**
 * The in-memory adapter, which encodes the packets of a room once and writes them once per tick. A packet to a single
 * socket may overtake them; a socket that leaves a room has received the packets that were emitted before.
 */
export function createRoomsAdapter(onError: (error: unknown) => void): RoomsAdapterClass {
  return class extends Adapter {
    readonly #batcher: BroadcastBatcher<Room, string>;

    constructor(namespace: Namespace) {
      super(namespace);
      this.#batcher = new BroadcastBatcher<Room, string>({
        listSubscribers: (room) => this.rooms.get(room) ?? [],
        write: (id, written) => {
          const socket = this.#socket(id);
          if (socket?.connected) writeToEngine(socket.conn as unknown as Engine, written);
        },
        onError: (id, error) => {
          onError(error);
          const socket = this.#socket(id);
          if (socket) closeConnection(socket.conn);
        },
      });
    }

    override broadcast(packet: Packet, options: BroadcastOptions): void {
      const [room, ...others] = options.rooms;
      if (room === undefined || others.length > 0 || options.except?.size) return super.broadcast(packet, options);
      packet.nsp = this.nsp.name;
      for (const encoded of this.nsp.server.encoder.encode(packet)) this.#batcher.append(room, `4${encoded}`);
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

    /** What has been said in the room goes before what this socket is sent now. */
    catchUp(id: string, room: Room): void {
      if (this.rooms.get(room)?.has(id)) this.#batcher.catchUp(room, id);
    }

    #socket(id: string): Socket | undefined {
      return this.nsp.sockets.get(id) as Socket | undefined;
    }
  };
}

interface RoomSocket {
  id: string;
  nsp: { adapter: unknown };
}

/** For an answer that tells the socket how far the room has come. */
export function catchUp({ id, nsp }: RoomSocket, room: Room): void {
  (nsp.adapter as { catchUp(id: string, room: Room): void }).catchUp(id, room);
}

/** How often something that was said in a room has been written to a connection. */
export function countDeliveries({ adapter }: { adapter: unknown }): number {
  return (adapter as { deliveries: number }).deliveries;
}

/** Each text is a packet of the engine's, with its type before it; a frame of it holds that, too. */
function writeToEngine(engine: Engine, { frames, texts }: WrittenBatch): void {
  if (engine.transport.name === 'websocket') {
    // Of several packets in one buffer the engine knows the first.
    for (const [n, frame] of frames.entries()) {
      engine.write(texts[n]!.slice(1), { compress: false, wsPreEncodedFrame: [frame] });
    }
  } else {
    for (const text of texts) engine.write(text.slice(1), { compress: false });
  }
}
