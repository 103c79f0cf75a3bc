import type { ClientRoom } from './api-room.ts';
import type { ChatClientError } from './errors.ts';

export type * from './api-room.ts';

export interface Timeouts {
  /**
   * How long the client waits for an answer to a request. After that, the request fails with `TIMEOUT` or is repeated.
   */
  answerMs: number;
  /** How long opening a connection may take. */
  connectMs: number;
  /** How long the token function may take. */
  tokenMs: number;
  /**
   * Delay before the first retry. It doubles with each failure. The actual delay is a random part of it, at least half.
   */
  backoffMs: number;
  /** The delay stops doubling at this value. */
  maxBackoffMs: number;
}

export interface ClientOptions {
  /** The URL of the service, with the path under which it is mounted: `https://chat.example/messaging`. */
  url: string;
  /**
   * Returns a JWT from your backend. The client calls it before every connection, and before the current token expires.
   */
  token: () => string | Promise<string>;
  /** The transports that socket.io-client may use; both by default. */
  transports?: ('polling' | 'websocket')[];
  /** How many messages a room, a thread or a window keeps, 1,000 by default. */
  keep?: number;
  /** How many pending or failed messages a room keeps in its outbox, 1,000 by default. */
  maxOutbox?: number;
  /**
   * A message that could not be sent for this many hours, 24 by default, fails with `EXPIRED` instead of being sent when
   * the client connects.
   */
  outboxHours?: number;
  /**
   * The UUID of the user whom the app has signed in. The client ends with `WRONG_USER` if it gets a token of another user.
   */
  user?: string;
  /** `offline()` of `nano-messaging-client/storage`: keeps rooms and unsent messages. Requires `user`. */
  storage?: ClientStorage;
  timeouts?: Partial<Timeouts>;
}

/**
 * Restores the parts of a client, and stores what changes. `offline()` creates it; an application only passes it on. Called
 * with the client and its user.
 */
export type ClientStorage = (
  client: object,
  user: string,
) => {
  /** Resolves when everything is restored that is stored, or when that has failed. */
  readonly opened: Promise<void>;
  /** Called with each new part of the client. */
  adopt(part: object): void;
  /** Stops storing at once, and deletes everything. */
  clear(): Promise<void>;
};

/**
 * `ok`: changes are stored. `memory`: the storage does not work, so nothing survives a reload. `full`: there is space only
 * for messages that are not sent yet, if at all.
 */
export type StorageState = 'ok' | 'memory' | 'full';

/**
 * `connecting`: the client is connecting, or will retry by itself. `unauthorized`: the service rejected the tokens or
 * the options, and the client has stopped; call `connect()` to try again. `closed`: `close()` was called; this state is
 * final.
 */
export type ConnectionState = 'connecting' | 'connected' | 'unauthorized' | 'closed';

export interface ClientEvents {
  state: ConnectionState;
  /** The connection or the token failed. The client retries, unless its state is now `unauthorized`. */
  error: ChatClientError;
  /** Emitted when the storage has been opened, and when its state has changed. */
  storage: StorageState;
  /**
   * Emitted for every frame that is sent or received, for example for a debug console. An answer has the name of its
   * request, and the acknowledgement as its payload. Tokens are left out.
   */
  frame: { direction: 'in' | 'out'; name: string; payload: unknown };
}

export interface Client {
  readonly state: ConnectionState;
  /**
   * Returns the room, the same object for the same number or UUID. This has no effect on the service until something
   * listens to the room.
   *
   * `since` is for programs that keep their own state: the `cursor` of the last change that they have handled. The room
   * then emits `message` for everything that was missed, or `reset` if that is more than the service replays. It has no
   * effect on a room that already has a position.
   */
  room(room: number | string, options?: { since?: string | undefined }): ClientRoom;
  /** Returns the function that removes the listener. */
  on<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): () => void;
  /**
   * Connects a client of `createClient`. Tries again if the client is `unauthorized`. Skips the delay if the client is
   * waiting for its next attempt. Checks the connection if the client is connected, and reconnects at once if it is dead;
   * browsers need not call it for that.
   */
  connect(): void;
  /** Leaves every room. Pending messages fail with `CLOSED`. */
  close(): void;
  /**
   * Closes this client and the clients of the same user in other tabs, and deletes what they have stored. Rejects if
   * the storage cannot delete it.
   */
  logout(): Promise<void>;
}
