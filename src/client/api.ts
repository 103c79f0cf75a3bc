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
  timeouts?: Partial<Timeouts>;
}

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
   */
  room(room: number | string): ClientRoom;
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
}
