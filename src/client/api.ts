import type { ChatClientError } from './errors.ts';
import type { Message, RemovalCode, RoomInfo, ServerEventPayloads } from './wire.ts';

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
  /** How many messages a room keeps, 1,000 by default. The oldest are dropped. */
  maxMessages?: number;
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
   * Joins the room now and after every reconnect, until `leave()` is called. Calls with the same number or UUID return
   * the same object.
   */
  room(room: number | string): ClientRoom;
  /** Returns the function that removes the listener. */
  on<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): () => void;
  /** Tries again if the client is `unauthorized`. Skips the delay if the client is waiting for its next attempt. */
  connect(): void;
  /** Leaves every room. Pending messages fail with `CLOSED`. */
  close(): void;
}

/**
 * `joining`: the service has not answered the join yet. `joined`: the room receives every change. `reconnecting`: the
 * connection is lost, and the room will be joined again. `rejected`: the service refused the join, see `error`.
 * `removed`: the user was removed from the room, see `removalReason`. `left`: `leave()` or `close()` was called.
 */
export type RoomState = 'joining' | 'joined' | 'reconnecting' | 'rejected' | 'removed' | 'left';

export interface RoomEvents {
  /**
   * Emitted after any property of the room has changed. Changes in quick succession cause only one event. Use it for a
   * view that renders the whole room.
   */
  update: undefined;
  state: RoomState;
  /** Emitted once for each message, in the order of `seq`. */
  message: Message;
  member: ServerEventPayloads['member:changed'];
  room: RoomInfo;
  /** Emitted if the client missed more changes than the server replays. `messages` now holds only the latest page. */
  reset: undefined;
  /**
   * Emitted if the oldest messages were removed from `messages`, because there were too many. `loadOlder` loads them
   * again.
   */
  dropped: readonly Message[];
  /** Emitted when a message in the outbox has changed its state. */
  outgoing: Outgoing;
}

export interface ClientRoom {
  readonly state: RoomState;
  /** Undefined before the first join. */
  readonly info: RoomInfo | undefined;
  /** The user's rights in the room, as letters of `rwa`. */
  readonly rights: string;
  /** The position in the room's log. 0 before the first join. */
  readonly rev: number;
  /**
   * The latest messages in the order of `seq`, without a gap: up to `maxMessages`, or more after `loadOlder`. Each change
   * creates a new array.
   */
  readonly messages: readonly Message[];
  /**
   * Pending and failed messages, in the order in which they were sent. A message that is already stored also stays here
   * until `messages` contains it, so a view of both arrays always shows the message.
   */
  readonly outbox: readonly Outgoing[];
  /** Whether the history has messages before `messages[0]`. */
  readonly hasOlder: boolean;
  readonly error: ChatClientError | undefined;
  readonly removalReason: RemovalCode | undefined;
  /**
   * Resolves when the room is joined. Rejects with a `ChatClientError` if the room is rejected, removed or left, or if the
   * client is unauthorized.
   */
  joined(): Promise<void>;
  /**
   * Sends a message, and repeats it until the service answers. The service stores it at most once. If the outbox is full,
   * the message fails at once with `LIMIT` and does not enter the outbox.
   */
  send(content: string): Outgoing;
  /**
   * Loads the page before `messages[0]`, and adds it to the front of `messages`. The room then keeps all of these
   * messages, and its limit rises accordingly if they are more than `maxMessages`. Rejects with `LIMIT` if the room already
   * has ten times `maxMessages`.
   */
  loadOlder(limit?: number): Promise<readonly Message[]>;
  on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): () => void;
  /** Joins again after the room was rejected, removed or left. */
  rejoin(): void;
  leave(): void;
}

export interface Outgoing {
  readonly client_msg_id: string;
  readonly content: string;
  readonly state: 'pending' | 'sent' | 'failed';
  /** Why the message failed. */
  readonly error: ChatClientError | undefined;
  /**
   * Resolves with the stored message, or rejects if the message fails. You need not handle a rejection: it is never
   * reported as an unhandled rejection.
   */
  readonly confirmed: Promise<Message>;
  /** Sends a failed message again, under the same `client_msg_id`. */
  retry(): void;
  /** Removes a failed message from the outbox. */
  discard(): void;
}
