import type { Client, ClientEvents, ClientOptions, ClientRoom, ClientStorage, ConnectionState } from './api.ts';
import { Connection } from './connection.ts';
import { Emitter } from './emitter.ts';
import type { ClientHost, ClientPart } from './host.ts';
import { Room } from './room.ts';

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
  const client = createClient(options);
  client.connect();
  return client;
}

/**
 * Creates a client that has no effect until its `connect()` is called, for frameworks that may render a view and never
 * show it.
 */
export function createClient(options: ClientOptions): Client {
  return new ChatClient(options);
}

type BrowserEvent = 'online' | 'pageshow' | 'visibilitychange';
type BrowserTarget = Partial<
  Record<'addEventListener' | 'removeEventListener', (event: BrowserEvent, listener: () => void) => void>
>;

/** What exists only in browsers. It is declared here, because the project compiles without the types of the DOM. */
const browser = globalThis as BrowserTarget & { document?: BrowserTarget & { visibilityState: string } };

class ChatClient extends Emitter<ClientEvents> implements Client, ClientHost {
  readonly connection: Connection;
  readonly rooms = new Map<string, Room>();
  readonly #parts = new Set<ClientPart>();
  readonly #onWake = () => this.connection.wake();
  readonly #onVisible = () => {
    if (browser.document!.visibilityState === 'visible') this.#onWake();
  };
  readonly #options: ClientOptions;
  #storage: ReturnType<ClientStorage> | undefined;
  /** Whether what is stored is restored. */
  #isReady: boolean;

  constructor(options: ClientOptions) {
    super();
    const { storage, user } = options;
    if (storage && !user) throw new TypeError('storage needs user, the UUID of the user whom the app has signed in');
    this.connection = new Connection(options, {
      onState: (state) => this.emit('state', state),
      onError: (error) => this.emit('error', error),
      onFrame: (direction, name, payload) => this.emit('frame', { direction, name, payload }),
      ...{ onConnect: this.#call('onConnect'), onDisconnect: this.#call('onDisconnect') },
      ...{ onUnauthorized: this.#call('onUnauthorized'), onClaimsChanged: this.#call('onClaimsChanged') },
      onEvent: this.#call('onEvent'),
    });
    this.#options = options;
    this.#isReady = !storage;
  }

  get state(): ConnectionState {
    return this.connection.state;
  }

  room(ref: number | string, { since }: { since?: string | undefined } = {}): ClientRoom {
    const key = String(ref).toLowerCase();
    let room = this.rooms.get(key);
    if (!room) {
      room = new Room(this.connection, ref, {
        onLeft: (left) => this.#handleLeft(left),
        onOwnState: this.#call('onOwnState'),
      });
      this.rooms.set(key, room);
      this.attach(room);
    }
    if (since) room.restore({ cursor: since });
    return room;
  }

  connect(): void {
    if (this.state === 'closed') return;
    // Adding the same listeners again has no effect.
    this.#listen('addEventListener');
    if (this.#isReady) return this.connection.connect();
    if (this.#storage) return;
    // The rooms continue at their stored positions.
    void this.#openStorage().opened.then(() => {
      this.#isReady = true;
      this.connection.connect();
    });
  }

  close(): void {
    this.#listen('removeEventListener');
    this.connection.close();
    this.#call('close')();
  }

  async logout(): Promise<void> {
    const cleared = this.#options.storage && this.#openStorage().clear();
    this.close();
    await cleared;
  }

  attach(part: ClientPart): () => void {
    this.#parts.add(part);
    this.#storage?.adopt(part);
    return () => void this.#parts.delete(part);
  }

  #openStorage() {
    if (!this.#storage) {
      const { storage, user } = this.#options;
      this.#storage = storage!(this, user!.toLowerCase());
      for (const part of this.#parts) this.#storage.adopt(part);
    }
    return this.#storage;
  }

  #listen(method: keyof BrowserTarget): void {
    browser[method]?.('online', this.#onWake);
    browser[method]?.('pageshow', this.#onWake);
    browser.document?.[method]?.('visibilitychange', this.#onVisible);
  }

  /** Returns a function that calls this method of every room and part. */
  #call(method: keyof ClientPart) {
    return (...args: unknown[]): void => {
      for (const part of [...this.#parts])
        (part[method] as ((...given: unknown[]) => void) | undefined)?.apply(part, args);
    };
  }

  /**
   * Leaves a room on the server. An application can have two `Room` objects for the same room, one by its number and one
   * by its UUID. They share one subscription on the server, so it ends only when none of them needs it any more.
   */
  #handleLeft(left: Room): void {
    const isShared = [...this.rooms.values()].some(
      // If the number of an object is not known yet, the object may represent the same room.
      ({ isWanted, id }) => isWanted && (id === left.id || Number.isNaN(id) || Number.isNaN(left.id)),
    );
    if (!isShared) this.connection.link?.request('room:leave', { room_id: left.ref }, () => {});
  }
}
