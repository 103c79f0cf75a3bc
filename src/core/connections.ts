import type { Actor } from './authorization.ts';
import type { ChatFrame, CommandId } from './contract/chat.ts';
import type { Position } from './cursor.ts';
import type { Subscriber } from './feed/subscriber.ts';
import type { RoomId } from './ids.ts';
import type { Change, MessageChange } from './log/change.ts';
import type { Message } from './log/message.ts';
import type { Room } from './room.ts';

/** The state of a room at the moment from which its subscriber receives every change. */
export interface JoinResult {
  room: Room;
  rights: string;
  head: Position;
  recovered: boolean;
  /** The changes that the subscriber missed, in order; empty unless `recovered`. */
  events: Change[];
}

export interface SentMessage {
  message: Message;
  duplicate: boolean;
  rev: number;
  cursor: string;
}

/** What handlers can do with a Socket.IO connection. */
export interface SocketConnection {
  readonly actor: Actor;
  /** Throws `TOO_MANY_ROOMS` if the connection is at its limit and not in this room; undefined: a room that does not exist. */
  assertMayJoin(room: RoomId | undefined): void;
  findSubscriber(room: RoomId): Subscriber | undefined;
  /** `join` subscribes, and resolves to the function that ends the subscription. */
  subscribe(room: RoomId, join: (subscriber: Subscriber) => Promise<() => void>): Promise<void>;
  unsubscribe(room: RoomId): void;
  /** Sends the changes of this tick that are still batched, before anything else. */
  catchUp(room: RoomId): void;
  renewToken(token: string): Promise<{ expires_at: number | null }>;
}

/** What handlers can do with a `/chat` connection. */
export interface ChatConnection {
  /** The room that it is in now. */
  readonly room: SelectedRoom | undefined;
  /** Leaves the room before; undefined if the connection has ended meanwhile. */
  select(room: RoomId): SelectedRoom | undefined;
  send(frame: ChatFrame): void;
  /** The first token of the connection, or a new one. */
  useToken(token: unknown, id: CommandId | undefined): Promise<void>;
  quit(): void;
}

/** The room that a `/chat` connection is in. */
export interface SelectedRoom extends Subscriber {
  readonly room: RoomId;
  /** `join` subscribes, calls back with the state of the room, and resolves to the function that ends the subscription. */
  join(join: (onJoined: (joined: JoinResult) => void) => Promise<() => void>, id: CommandId | undefined): Promise<void>;
  /** Answers a select of this same room. */
  confirm(id: CommandId | undefined): void;
  /** Resolves when the message has its place in the order; its echo, or its refusal, follows when it is stored. */
  append(
    send: (onStored: (change: MessageChange) => void) => Promise<{ stored: Promise<SentMessage> }>,
    id: CommandId | undefined,
  ): Promise<void>;
}
