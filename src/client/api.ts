import type { ChatClientError } from './errors.ts';
import type { Message, RemovalCode, RoomInfo, ServerEventPayloads } from './wire.ts';

export interface Timeouts {
  /** How long the client waits for an answer before it sends the request again, or gives up a request that it does not repeat. */
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
  /** The transports of socket.io-client; both by default. */
  transports?: ('polling' | 'websocket')[];
  /** How many messages a room keeps, 1,000 by default. The oldest are dropped. */
  maxMessages?: number;
  /** How many pending or failed messages a room keeps in its outbox, 1,000 by default. */
  maxOutbox?: number;
  timeouts?: Partial<Timeouts>;
}

/**
 * `connecting`: the client connects, or will retry by itself. `unauthorized`: the service rejects the tokens or the options;
 * `connect()` tries again. `closed`: final, after `close()`.
 */
export type ConnectionState = 'connecting' | 'connected' | 'unauthorized' | 'closed';

export interface ClientEvents {
  state: ConnectionState;
  /** A failure of the connection or the token. The client retries, unless it is `unauthorized` now. */
  error: ChatClientError;
  /** Every frame in either direction, for a console: its name, and its payload or acknowledgement. Tokens are left out. */
  frame: { direction: 'in' | 'out'; name: string; payload: unknown };
}

export interface Client {
  readonly state: ConnectionState;
  /** Joins the room, now and after every reconnect, until `leave()`. Returns the same object for the same number or UUID. */
  room(room: number | string): ClientRoom;
  /** Returns the function that removes the listener. */
  on<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): () => void;
  /** Tries again if the client is `unauthorized`; skips the delay if it waits for its next attempt. */
  connect(): void;
  /** Leaves every room. Pending messages fail with `CLOSED`. */
  close(): void;
}

/**
 * `joining`: the join is not answered yet. `joined`: the room receives every change. `reconnecting`: the connection is lost,
 * and the room will join again. `rejected`: the service refused the join, see `error`. `removed`: see `removalReason`.
 * `left`: after `leave()` or `close()`.
 */
export type RoomState = 'joining' | 'joined' | 'reconnecting' | 'rejected' | 'removed' | 'left';

export interface RoomEvents {
  /** Something about the room has changed; at most once per microtask. For a view that renders the whole room. */
  update: undefined;
  state: RoomState;
  /** The next message, in the order of `seq`, each once. */
  message: Message;
  member: ServerEventPayloads['member:changed'];
  room: RoomInfo;
  /** The client missed more than the server replays: `messages` now holds the latest page. */
  reset: undefined;
  /** The oldest messages, which left `messages` because it exceeded `maxMessages`. `loadOlder` loads them again. */
  dropped: readonly Message[];
  /** A message of the outbox has changed its state. */
  outgoing: Outgoing;
}

export interface ClientRoom {
  readonly state: RoomState;
  /** Undefined before the first join. */
  readonly info: RoomInfo | undefined;
  /** The user's rights in the room: letters of `rwa`. */
  readonly rights: string;
  /** Position in the room's log; 0 before the first join. */
  readonly rev: number;
  /** The latest `maxMessages`, without a gap, in the order of `seq`. A new array after each change. */
  readonly messages: readonly Message[];
  /**
   * Pending and failed messages in the order of sending. A sent message stays until it is in `messages`, so a view that
   * shows both arrays always shows it.
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
   * Sends until the service answers; the message is stored at most once. If the outbox is full, the message fails at once
   * with `LIMIT` and is not kept.
   */
  send(content: string): Outgoing;
  /**
   * Loads the page before `messages[0]` and puts it in front, where it stays. Rejects with `LIMIT` once the room holds ten
   * times `maxMessages`.
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
  /** Resolves with the stored message, rejects if it fails. An unobserved rejection is not reported. */
  readonly confirmed: Promise<Message>;
  /** Sends a failed message again, under the same `client_msg_id`. */
  retry(): void;
  /** Removes a failed message from the outbox. */
  discard(): void;
}
