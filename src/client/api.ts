import type { ChatClientError } from './client-error.ts';
import type { Timeouts } from './timeouts.ts';
import type { Message, RemovalCode, RoomInfo, ServerEventPayloads } from './wire.ts';

export interface ClientOptions {
  /** Where the service is: `https://chat.example`, or with the path it is mounted under. */
  url: string;
  /** A JWT of your backend. Asked for at every connect, and before the one in use ends. */
  token: () => string | Promise<string>;
  /** As of socket.io-client; default both. */
  transports?: ('polling' | 'websocket')[];
  /** How many messages a room keeps; the oldest are dropped. Default 1,000. */
  maxMessages?: number;
  /** How many messages of ours a room keeps that are pending or have failed. Default 1,000. */
  maxOutbox?: number;
  /** How long the client waits for what. */
  timeouts?: Partial<Timeouts>;
}

/**
 * `connecting`: for the first time or again, by itself. `unauthorized`: the service
 * rejects its tokens; `connect()` tries again. `closed`: after `close()`, for good.
 */
export type ConnectionState = 'connecting' | 'connected' | 'unauthorized' | 'closed';

export interface ClientEvents {
  state: ConnectionState;
  /** What went wrong with the connection or the token; the client goes on where that makes sense. */
  error: ChatClientError;
  /** Every frame in either direction, for a console: name, and payload or acknowledgement. Tokens are left out. */
  frame: { direction: 'in' | 'out'; name: string; payload: unknown };
}

export interface Client {
  readonly state: ConnectionState;
  /** The room, joined from now on and after every reconnect until `leave()`. The same object for the same name. */
  room(room: number | string): ClientRoom;
  /** Returns how to stop listening. */
  on<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): () => void;
  /** Connects where it has been refused; where it waits to try again, now. */
  connect(): void;
  /** Leaves everything; what was not sent fails. */
  close(): void;
}

/**
 * `joining`: asked, not answered yet. `joined`: receives every change. `reconnecting`: the connection is lost and
 * will be restored. `rejected`: the user may not join, see `error`. `removed`: see `removalReason`. `left`: after `leave()`.
 */
export type RoomState = 'joining' | 'joined' | 'reconnecting' | 'rejected' | 'removed' | 'left';

export interface RoomEvents {
  /** Anything of the room is another one now: for a view that renders it whole. */
  update: undefined;
  state: RoomState;
  /** The next message, in the order of `seq`, each once. */
  message: Message;
  member: ServerEventPayloads['member:changed'];
  room: RoomInfo;
  /** More was missed than the server repeats: `messages` begins anew with the latest page. */
  reset: undefined;
  /** These left `messages`, for there are more than `maxMessages`: the oldest. `loadOlder` brings them back. */
  dropped: readonly Message[];
  /** A message of ours: its state has changed. */
  outgoing: Outgoing;
}

export interface ClientRoom {
  readonly state: RoomState;
  /** Undefined until it has been joined. */
  readonly info: RoomInfo | undefined;
  /** The letters of `rwa` that we have. */
  readonly rights: string;
  /** Position in the room's log, 0 before the first join. */
  readonly rev: number;
  /** The latest `maxMessages`, without a gap, in the order of `seq`; another array whenever it changes. */
  readonly messages: readonly Message[];
  /**
   * What is pending or has failed, in the order of sending. What is sent stays until it is in `messages`, so a view that
   * shows both never lacks it.
   */
  readonly outbox: readonly Outgoing[];
  /** Whether there is history before `messages[0]`. */
  readonly hasOlder: boolean;
  readonly error: ChatClientError | undefined;
  readonly removalReason: RemovalCode | undefined;
  /** Resolves when it is live; rejects with a `ChatClientError` where it, or the client, is refused, removed or left. */
  joined(): Promise<void>;
  /** Sends, and sends again until it is answered; never stored twice. With a full outbox it fails at once with `LIMIT`, and is not kept. */
  send(content: string): Outgoing;
  /**
   * The page before `messages[0]`, which is put in front of it and stays, until there are ten times `maxMessages`: then it
   * rejects with `LIMIT`.
   */
  loadOlder(limit?: number): Promise<readonly Message[]>;
  on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): () => void;
  /** Joins again where it has been refused, removed or left. */
  rejoin(): void;
  leave(): void;
}

export interface Outgoing {
  readonly client_msg_id: string;
  readonly content: string;
  readonly state: 'pending' | 'sent' | 'failed';
  /** Why it failed. */
  readonly error: ChatClientError | undefined;
  /** The stored message; rejects where it failed, also if nobody listens. */
  readonly confirmed: Promise<Message>;
  /** Sends a failed one again under the same `client_msg_id`. */
  retry(): void;
  /** Takes a failed one out of the outbox. */
  discard(): void;
}
