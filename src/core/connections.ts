import type { Actor } from './authorization.ts';
import type { ChatFrame, CommandId } from './contract/chat.ts';
import type { ServerEventName, ServerEventPayloads } from './contract/socketio.ts';
import type { Position } from './cursor.ts';
import type { Subscriber } from './feed/subscriber.ts';
import type { RoomId } from './ids.ts';
import type { Change, MessageChange } from './log/change.ts';
import type { Message } from './log/message.ts';
import type { Room } from './room.ts';

/** The state of a room when a subscriber joins. The subscriber receives every change after `head`. */
export interface JoinResult {
  room: Room;
  rights: string;
  head: Position;
  recovered: boolean;
  /** The changes that the subscriber missed, in the order of the log. Empty if `recovered` is false. */
  events: Change[];
}

export interface SentMessage {
  message: Message;
  duplicate: boolean;
  rev: number;
  cursor: string;
}

export interface ConnectionObserver {
  /** Called when the connection or its token has ended. */
  onEnd(): void;
  /** Called when a fresh token has replaced the token of `previous`. */
  onRenew(previous: Actor): void;
}

/** The interface of a Socket.IO connection for handlers. */
export interface SocketConnection {
  readonly actor: Actor;
  /** Sends an event to this connection only; does nothing after its end. */
  emit<N extends ServerEventName>(name: N, payload: ServerEventPayloads[N]): void;
  /**
   * Returns a function that removes the observer. If the connection has already ended, the observer is called at once.
   */
  observe(observer: ConnectionObserver): () => void;
  /**
   * Throws `TOO_MANY_ROOMS` if the connection has joined the maximum number of rooms and this room is not one of them.
   * `room` is undefined if the requested room does not exist.
   */
  assertMayJoin(room: RoomId | undefined): void;
  findSubscriber(room: RoomId): Subscriber | undefined;
  /** Calls `join` with a new subscriber. If the promise of `join` resolves, the subscriber is in the feed of the room. */
  subscribe(room: RoomId, join: (subscriber: Subscriber) => Promise<void>): Promise<void>;
  unsubscribe(room: RoomId): void;
  /**
   * From now on, the connection receives the room's ephemeral events of this topic, until it leaves the room. Has no
   * effect if it is not in the room.
   */
  follow(room: RoomId, topic: string): void;
  unfollow(room: RoomId, topic: string): void;
  /**
   * Sends the changes of the room that are waiting for the end of the tick. Called before an answer is sent, so that
   * the client receives these changes before the answer.
   */
  catchUp(room: RoomId): void;
  renewToken(token: string): Promise<{ expires_at: number | null }>;
}

/** The interface of a `/chat` connection for handlers. */
export interface ChatConnection {
  /** The selected room; undefined if the connection is in no room. */
  readonly room: SelectedRoom | undefined;
  /** Leaves the current room and selects this room. Returns undefined if the connection has ended. */
  select(room: RoomId, receivesEvents: boolean): SelectedRoom | undefined;
  send(frame: ChatFrame): void;
  /** Authenticates the connection with its first token, or renews the token. */
  useToken(token: unknown, id: CommandId | undefined): Promise<void>;
  quit(): void;
}

/** The room that a `/chat` connection has selected, as a subscriber. */
export interface SelectedRoom extends Subscriber {
  readonly room: RoomId;
  /** Whether the connection receives every change and ephemeral events, or only messages without tombstones. */
  readonly receivesEvents: boolean;
  /**
   * Calls `join` to subscribe. `join` has to call `onJoined` with the state of the room. If its promise resolves, the
   * subscriber is in the feed of the room.
   */
  join(join: (onJoined: (joined: JoinResult) => void) => Promise<void>, id: CommandId | undefined): Promise<void>;
  /** Answers a `select_room` command for the room that is selected already, and switches events on or off. */
  confirm(receivesEvents: boolean, id: CommandId | undefined): void;
  /**
   * Sends a message to the room. Resolves as soon as the message is queued, because its position in the order of
   * messages is fixed then. The client receives its echo or an error later, when the message has been stored or
   * rejected.
   */
  append(
    send: (onStored: (change: MessageChange) => void) => Promise<{ stored: Promise<SentMessage> }>,
    id: CommandId | undefined,
  ): Promise<void>;
}
