import type { Client, ClientEvents, ClientOptions, ClientRoom, ConnectionState } from './api.ts';
import { Connection } from './connection.ts';
import { Emitter } from './emitter.ts';
import type { ChangeEvent } from './membership.ts';
import { Room } from './room.ts';
import type { ServerEventPayloads } from './wire.ts';

export type * from './api.ts';
export { ChatClientError, type ClientErrorCode } from './client-error.ts';
export type { Timeouts } from './timeouts.ts';
export type { ErrorCode, Message, RemovalCode, RoomInfo, ServerEventPayloads } from './wire.ts';

/** Connects, and comes back by itself until `close()`. One client per user: close it when another one signs in. */
export function connect(options: ClientOptions): Client {
  return new ChatClient(options);
}

/** Where there is a browser around us; there are no types of the DOM here. */
const browserGlobals = globalThis as {
  addEventListener?(event: 'online', listener: () => void): void;
  removeEventListener?(event: 'online', listener: () => void): void;
};

class ChatClient implements Client {
  readonly #rooms = new Map<string, Room>();
  readonly #emitter = new Emitter<ClientEvents>();
  readonly #connection: Connection;
  readonly #onOnline = () => this.#connection.retryNow();

  constructor(options: ClientOptions) {
    this.#connection = new Connection(options, {
      onState: (state) => this.#emitter.emit('state', state),
      onError: (error) => this.#emitter.emit('error', error),
      onFrame: (direction, name, payload) => this.#emitter.emit('frame', { direction, name, payload }),
      onConnect: () => this.#forEachRoom((room) => room.handleConnect()),
      onDisconnect: () => this.#forEachRoom((room) => room.handleDisconnect()),
      onUnauthorized: (why) => this.#forEachRoom((room) => room.rejectWaiting(why)),
      onClaimsChanged: () => this.#forEachRoom((room) => room.refreshRights()),
      onEvent: (name, payload) => this.#handleEvent(name, payload),
    });
    browserGlobals.addEventListener?.('online', this.#onOnline);
    this.#connection.connect();
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  on<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  room(ref: number | string): ClientRoom {
    const name = String(ref).toLowerCase();
    const known = this.#rooms.get(name);
    if (known?.state === 'left') known.rejoin();
    if (known) return known;
    const room = new Room(this.#connection, ref, (left) => this.#leaveRoom(left));
    this.#rooms.set(name, room);
    return room;
  }

  connect(): void {
    this.#connection.connect();
  }

  close(): void {
    browserGlobals.removeEventListener?.('online', this.#onOnline);
    this.#connection.close();
    this.#forEachRoom((room) => room.close());
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

  /** A room may be known by its number and by its UUID; the connection is in it once. */
  #leaveRoom(left: Room): void {
    const isElsewhere = [...this.#rooms.values()].some(
      // One whose number is not known yet may be the same.
      ({ isWanted, id }) => isWanted && (id === left.id || Number.isNaN(id) || Number.isNaN(left.id)),
    );
    if (!isElsewhere) this.#connection.link?.request('room:leave', { room_id: left.ref }, () => {});
  }
}
