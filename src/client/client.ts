import type { Client, ClientEvents, ClientOptions, ClientRoom, ConnectionState } from './api.ts';
import { Connection } from './connection.ts';
import { Emitter } from './emitter.ts';
import type { ClientHost, ClientPart } from './host.ts';
import { Room } from './room.ts';
import type { ChangeEvent, ServerEventPayloads } from './wire.ts';

export type * from './api.ts';
export { ChatClientError, type ClientErrorCode } from './errors.ts';
export type { Message } from './message.ts';
export type {
  CustomData,
  ErrorCode,
  Presence,
  ReactionCount,
  ReadReceipt,
  RemovalCode,
  RoomInfo,
  ServerEventPayloads,
  Typist,
} from './wire.ts';

/**
 * Connects to the service, and reconnects until `close()`. A client belongs to one user: close it when another user
 * signs in.
 */
export function connect(options: ClientOptions): Client {
  return new ChatClient(options);
}

/**
 * Functions that exist only in browsers. They are declared here, because the project compiles without the types of the
 * DOM.
 */
const browserGlobals = globalThis as {
  addEventListener?(event: 'online', listener: () => void): void;
  removeEventListener?(event: 'online', listener: () => void): void;
};

class ChatClient implements Client, ClientHost {
  readonly #parts = new Set<ClientPart>();
  readonly #rooms = new Map<string, Room>();
  readonly #emitter = new Emitter<ClientEvents>();
  readonly connection: Connection;
  readonly #onOnline = () => this.connection.retryNow();

  constructor(options: ClientOptions) {
    this.connection = new Connection(options, {
      onState: (state) => this.#emitter.emit('state', state),
      onError: (error) => this.#emitter.emit('error', error),
      onFrame: (direction, name, payload) => this.#emitter.emit('frame', { direction, name, payload }),
      onConnect: () => {
        this.#forEachRoom((room) => room.handleConnect());
        this.#forEachPart((part) => part.onConnect());
      },
      onDisconnect: () => {
        this.#forEachRoom((room) => room.handleDisconnect());
        this.#forEachPart((part) => part.onDisconnect());
      },
      onUnauthorized: (error) => this.#forEachRoom((room) => room.handleUnauthorized(error)),
      onClaimsChanged: () => this.#forEachRoom((room) => room.refreshRights()),
      onEvent: (name, payload) => {
        this.#handleEvent(name, payload);
        this.#forEachPart((part) => part.onEvent(name, payload));
      },
    });
    browserGlobals.addEventListener?.('online', this.#onOnline);
    this.connection.connect();
  }

  get state(): ConnectionState {
    return this.connection.state;
  }

  on<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  room(ref: number | string): ClientRoom {
    const key = String(ref).toLowerCase();
    const known = this.#rooms.get(key);
    known?.handleOpened();
    if (known?.state === 'left') known.rejoin();
    if (known) return known;
    const room = new Room(this.connection, ref, (left) => this.#handleLeft(left));
    this.#rooms.set(key, room);
    return room;
  }

  connect(): void {
    this.connection.connect();
  }

  close(): void {
    browserGlobals.removeEventListener?.('online', this.#onOnline);
    this.connection.close();
    this.#forEachRoom((room) => room.close());
    this.#forEachPart((part) => part.onClose());
  }

  attach(part: ClientPart): () => void {
    this.#parts.add(part);
    return () => void this.#parts.delete(part);
  }

  #forEachPart(action: (part: ClientPart) => void): void {
    for (const part of [...this.#parts]) action(part);
  }

  #forEachRoom(action: (room: Room) => void): void {
    for (const room of [...this.#rooms.values()]) action(room);
  }

  #handleEvent(name: string, payload: never): void {
    const { room_id, code } = (payload ?? {}) as ServerEventPayloads['room:removed'];
    this.#forEachRoom((room) => {
      if (room.id !== room_id) return;
      if (name === 'room:removed') room.handleRemoval(code);
      else room.handle({ name, payload } as ChangeEvent);
    });
  }

  /**
   * Leaves a room on the server. An application can have two `Room` objects for the same room, one by its number and one
   * by its UUID. They share one subscription on the server, so it ends only when none of them needs it any more.
   */
  #handleLeft(left: Room): void {
    const isShared = [...this.#rooms.values()].some(
      // If the number of an object is not known yet, the object may represent the same room.
      ({ isWanted, id }) => isWanted && (id === left.id || Number.isNaN(id) || Number.isNaN(left.id)),
    );
    if (!isShared) this.connection.link?.request('room:leave', { room_id: left.ref }, () => {});
  }
}
