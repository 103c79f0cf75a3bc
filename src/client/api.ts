import type { ChatClientError } from './errors.ts';
import type { Message, RemovalCode, RoomInfo, ServerEventPayloads } from './wire.ts';

export interface Timeouts {
  /**
   * How long the client waits for an answer. Then it sends the request again, or gives up if it does not repeat this
   * request.
   */
  answerMs: number;
  /** How long opening a connection may take. */
  connectMs: number;
  /** How long the token function may take. */
  tokenMs: number;
  /** Delay before the first retry. It doubles with each failure; the actual delay is random, between half of it and all of it. */
  backoffMs: number;
  maxBackoffMs: number;
}

export interface ClientOptions {
  /** The URL of the service, with the path under which it is mounted: `https://chat.example/messaging`. */
  url: string;
  /** Returns a JWT that your backend signs. The client calls it before every connection, and before the current token expires. */
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
 * the options, and the client has stopped; call `connect()` to try again. `closed`: final, after `close()`.
 */
export type ConnectionState = 'connecting' | 'connected' | 'unauthorized' | 'closed';

export interface ClientEvents {
  state: ConnectionState;
  /** The connection or the token failed. The client retries, unless its state is now `unauthorized`. */
  error: ChatClientError;
  /**
   * Emitted for every frame in either direction, for example for a debug console. The payload of an answer is the
   * acknowledgement. Tokens are left out.
   */
  frame: { direction: 'in' | 'out'; name: string; payload: unknown };
}

export interface Client {
  readonly state: ConnectionState;
  /**
   * Joins the room now and after every reconnect, until `leave()`. Calls with the same number or UUID return the same
   * object.
   */
  room(room: number | string): ClientRoom;
  /** Returns the function that removes the listener. */
  on<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): () => void;
  /** If the client is `unauthorized`, tries again. If the client is waiting for its next attempt, skips the delay. */
  connect(): void;
  /** Leaves every room. Pending messages fail with `CLOSED`. */
  close(): void;
}

/**
 * `joining`: the join is not answered yet. `joined`: the room receives every change. `reconnecting`: the connection is
 * lost, and the room will be joined again. `rejected`: the service refused the join, see `error`. `removed`: the user
 * was removed from the room, see `removalReason`. `left`: `leave()` or `close()` was called.
 */
export type RoomState = 'joining' | 'joined' | 'reconnecting' | 'rejected' | 'removed' | 'left';

export interface RoomEvents {
  /**
   * Emitted when anything about the room has changed, at most once per microtask. Use it for a view that renders the
   * whole room.
   */
  update: undefined;
  state: RoomState;
  /** Emitted once for each message, in the order of `seq`. */
  message: Message;
  member: ServerEventPayloads['member:changed'];
  room: RoomInfo;
  /** The client missed more changes than the server replays. `messages` now holds only the latest page. */
  reset: undefined;
  /** The oldest messages were removed from `messages`, because there were too many. `loadOlder` loads them again. */
  dropped: readonly Message[];
  /** A message of the outbox has changed its state. */
  outgoing: Outgoing;
}

export interface ClientRoom {
  readonly state: RoomState;
  /** Undefined before the first join. */
  readonly info: RoomInfo | undefined;
  /** The user's rights in the room, as letters of `rwa`. */
  readonly rights: string;
  /** Position in the room's log; 0 before the first join. */
  readonly rev: number;
  /**
   * The latest messages, up to `maxMessages` (more after `loadOlder`), in the order of `seq` and without a gap. Each
   * change creates a new array.
   */
  readonly messages: readonly Message[];
  /**
   * Pending and failed messages in the order of sending. A sent message stays here until `messages` contains it, so a
   * view that shows both arrays never loses the message.
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
   * Sends the message, and repeats it until the service answers. The service stores the message at most once. If the
   * outbox is full, the message fails at once with `LIMIT` and is not kept.
   */
  send(content: string): Outgoing;
  /**
   * Loads the page before `messages[0]` and adds it to the front of `messages`. From then on, the room keeps as many
   * messages as it holds with this page. Rejects with `LIMIT` if the room already holds ten times `maxMessages`.
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
   * Resolves with the stored message, or rejects if the message fails. You may ignore the promise: a rejection that
   * nobody handles is not reported.
   */
  readonly confirmed: Promise<Message>;
  /** Sends a failed message again, under the same `client_msg_id`. */
  retry(): void;
  /** Removes a failed message from the outbox. */
  discard(): void;
}
