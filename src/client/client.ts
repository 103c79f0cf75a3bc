import type { Client, ClientEvents, ClientOptions, ClientRoom, ConnectionState } from './api.ts';
import { Connection } from './connection.ts';
import { Emitter } from './emitter.ts';
import type { Change } from './membership.ts';
import { Room } from './room.ts';
import type { Announcements } from './wire.ts';

export type * from './api.ts';
export { ChatClientError, type ClientErrorCode } from './client-error.ts';
export type { Timings } from './timings.ts';
export type { Announcements, ErrorCode, Message, RemovalCode, RoomInfo } from './wire.ts';

/** Connects, and comes back by itself until `close()`. One client per user: close it when another one signs in. */
export function connect(options: ClientOptions): Client {
  return new ChatClient(options);
}

/** Where there is a browser around us; there are no types of the DOM here. */
const surroundings = globalThis as {
  addEventListener?(event: 'online', listener: () => void): void;
  removeEventListener?(event: 'online', listener: () => void): void;
};

class ChatClient implements Client {
  readonly #rooms = new Map<string, Room>();
  readonly #emitter = new Emitter<ClientEvents>();
  readonly #connection: Connection;
  readonly #online = () => this.#connection.hurry();

  constructor(options: ClientOptions) {
    this.#connection = new Connection(options, {
      state: (state) => this.#emitter.emit('state', state),
      error: (error) => this.#emitter.emit('error', error),
      frame: (direction, name, payload) => this.#emitter.emit('frame', { direction, name, payload }),
      up: () => this.#each((room) => room.up()),
      down: () => this.#each((room) => room.down()),
      refused: (why) => this.#each((room) => room.stopWaiting(why)),
      rightsMayDiffer: () => this.#each((room) => room.readRights()),
      heard: (name, payload) => this.#hear(name, payload),
    });
    surroundings.addEventListener?.('online', this.#online);
    this.#connection.dial();
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  on<E extends keyof ClientEvents>(event: E, listener: (what: ClientEvents[E]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  room(ref: number | string): ClientRoom {
    const name = String(ref).toLowerCase();
    const known = this.#rooms.get(name);
    if (known?.state === 'left') known.rejoin();
    if (known) return known;
    const room = new Room(this.#connection, ref, (left) => this.#leave(left));
    this.#rooms.set(name, room);
    return room;
  }

  connect(): void {
    this.#connection.dial();
  }

  close(): void {
    surroundings.removeEventListener?.('online', this.#online);
    this.#connection.close();
    this.#each((room) => room.close());
  }

  #each(tell: (room: Room) => void): void {
    for (const room of [...this.#rooms.values()]) tell(room);
  }

  #hear(name: string, payload: never): void {
    const { room_id, code } = (payload ?? {}) as Announcements['room:removed'];
    this.#each((room) => {
      if (room.id !== room_id) return;
      if (name === 'room:removed') room.removed(code);
      else room.hear({ name, payload } as Change);
    });
  }

  /** A room may be known by its number and by its UUID; the connection is in it once. */
  #leave(left: Room): void {
    const isElsewhere = [...this.#rooms.values()].some(
      // One whose number is not known yet may be the same.
      ({ isWanted, id }) => isWanted && (id === left.id || Number.isNaN(id) || Number.isNaN(left.id)),
    );
    if (!isElsewhere) this.#connection.line?.ask('room:leave', { room_id: left.ref }, () => {});
  }
}
