import type { ChatClientError } from './errors.ts';
import type { Message } from './message.ts';
import type { CustomData, Presence, ReadReceipt, RemovalCode, RoomInfo, ServerEventPayloads, Typist } from './wire.ts';

/**
 * `idle`: nothing listens to the room, or nothing has listened for 5 s, so it is not joined. `joining`: the service has not answered the join yet. `joined`: the room receives every change. `reconnecting`: the
 * connection is lost, and the room will be joined again. `rejected`: the service refused the join, see `error`.
 * `removed`: the user was removed from the room, see `removalReason`. `left`: `leave()` or `close()` was called.
 */
export type RoomState = 'idle' | 'joining' | 'joined' | 'reconnecting' | 'rejected' | 'removed' | 'left';

export interface RoomEvents {
  /**
   * Emitted after `snapshot` has changed. Changes in quick succession cause only one event. Use it for a view that renders
   * the whole room.
   */
  change: undefined;
  state: RoomState;
  /**
   * Emitted once for each new message, in the order of `seq`. A room emits it even if the message is not in `messages`,
   * because that ends earlier (`hasNewer`).
   */
  message: Message;
  /** A message has changed. A new object replaces it at the same index. */
  changed: Message;
  member: ServerEventPayloads['member:changed'];
  room: RoomInfo;
  /** Emitted if the client missed more changes than the server replays. `messages` now holds only the latest page. */
  reset: undefined;
  /**
   * Emitted if messages were removed from one end of `messages`, because there were more than `keep`. `loadOlder` and
   * `loadNewer` load them again.
   */
  dropped: readonly Message[];
  /** Emitted when a message in the outbox has changed its state. */
  outgoing: Outgoing;
  typing: readonly Typist[];
  presence: Presence | null | undefined;
  reads: readonly ReadReceipt[];
}

export interface SendOptions {
  /**
   * The message's id, for programs that keep their own outbox: the service stores messages with the same id once. By
   * default, the client creates one.
   */
  client_msg_id?: string;
  /** The `seq` of the message to quote. */
  replyTo?: number;
  /** The `seq` of the root of the thread to reply in. */
  thread?: number;
  /** The UUIDs of users and organisations. */
  mentions?: string[];
  mentionRoom?: boolean;
  /** The app's own JSON. A message with `custom` may have empty content. */
  custom?: CustomData;
  /** Whether the message is silent, that is, does not count as unread. */
  silent?: boolean;
}

/** What the user has set for themselves in a room. */
export interface PersonalSettings {
  /** A muted room counts as unread only if the user is mentioned. */
  muted: boolean;
  /** A hidden room is not in the inbox until somebody else sends a message that counts. */
  hidden: boolean;
}

/** Absent fields remain unchanged. `custom: null` removes the custom data. */
export interface EditOptions extends Pick<SendOptions, 'mentions' | 'mentionRoom'> {
  content?: string;
  custom?: CustomData | null;
}

/** Messages in the order of `seq`, without a gap. */
export interface MessagePages {
  /** At most `keep` messages. Each change creates a new array. */
  readonly messages: readonly Message[];
  /** Whether the history has messages before `messages[0]`. */
  readonly hasOlder: boolean;
  /** Whether newer messages exist. New messages enter `messages` only if it is false. */
  readonly hasNewer: boolean;
  /** Loads the page before `messages[0]`. If there are then more than `keep` messages, the newest are dropped. */
  loadOlder(limit?: number): Promise<readonly Message[]>;
  /** Loads the page after the last message. If there are then more than `keep` messages, the oldest are dropped. */
  loadNewer(limit?: number): Promise<readonly Message[]>;
  /** Jumps to the newest messages: if `hasNewer`, the newest page replaces `messages`. */
  loadLatest(limit?: number): Promise<readonly Message[]>;
}

/** What a view shows of a room. A snapshot never changes: each change creates a new object, with the same parts otherwise. */
export interface RoomSnapshot
  extends Pick<
    ClientRoom,
    | 'state'
    | 'error'
    | 'removalReason'
    | 'info'
    | 'rights'
    | 'messages'
    | 'outbox'
    | 'hasOlder'
    | 'hasNewer'
    | 'typing'
    | 'presence'
    | 'reads'
  > {}

export interface ClientRoom extends MessagePages {
  /** The room as it is now: the same object until something changes. Reading it asks the service for nothing. */
  readonly snapshot: RoomSnapshot;
  readonly state: RoomState;
  /** Undefined before the first join. */
  readonly info: RoomInfo | undefined;
  /** The user's rights in the room, as letters of `rwa`. */
  readonly rights: string;
  /** The position in the room's log. 0 before the first join. */
  readonly rev: number;
  /** The same position, for `client.room(id, { since })`. Undefined before the first join. */
  readonly cursor: string | undefined;
  /** The messages that are not in a thread: the latest ones, unless `loadOlder` has loaded so many that they were dropped. */
  readonly messages: readonly Message[];
  /**
   * Pending and failed messages, in the order in which they were sent. A message that is already stored also stays here
   * until `messages` contains it, so a view of both arrays always shows the message. The items never change: a message
   * with another state is another object.
   */
  readonly outbox: readonly Outgoing[];
  /** The others who are typing, up to 10. */
  readonly typing: readonly Typist[];
  /**
   * The users in the room. Null if the service has no presence, undefined until the service has answered. The room asks for
   * it from the first time that you read this property or listen to `presence`.
   */
  readonly presence: Presence | null | undefined;
  /**
   * How far users have read: yourself and, in a room with `receipts`, the others. Your own marks are included at once.
   * The room asks for it from the first time that you read this property, listen to `reads` or call `markRead`.
   */
  readonly reads: readonly ReadReceipt[];
  readonly error: ChatClientError | undefined;
  readonly removalReason: RemovalCode | undefined;
  /**
   * Joins the room and resolves when it is joined. Without a listener, the room is left 5 s later. Rejects with a `ChatClientError` if the room is rejected, removed or left, or if the
   * client is unauthorized.
   */
  joined(): Promise<void>;
  /**
   * Sends a message, and repeats it until the service answers. The service stores it at most once. If the outbox is
   * full, the message fails at once with `LIMIT` and does not enter the outbox.
   */
  send(content: string, options?: SendOptions): Outgoing;
  /**
   * Edits one of your messages. `messages` contains the new content when the service has acknowledged the edit; until
   * then, the message has `pending`. Fails with `CONFLICT` if the message has changed meanwhile.
   */
  edit(seq: number, change: string | EditOptions): Operation<Message>;
  /**
   * Deletes up to 100 messages, all or none. Until the service acknowledges the deletion, `messages` still contains
   * them, with `pending` set.
   */
  delete(seqs: number | readonly number[]): Operation<void>;
  /** The reaction is shown at once, and disappears again if the service refuses it. */
  react(seq: number, emoji: string): Operation<Message['reactions']>;
  unreact(seq: number, emoji: string): Operation<Message['reactions']>;
  /**
   * Marks the messages up to `seq` as read, by default all messages; without `seq`, it has no effect before the room is
   * joined or if `hasNewer`. With `force`, the position may also move back, to
   * mark messages as unread. After that, `markRead()` without `seq` has no effect until the room is opened again, so a
   * view may always call it.
   */
  markRead(seq?: number, options?: { force?: boolean }): Operation<{ read_seq: number; version: number }>;
  /**
   * Mutes or hides the room for the user; omitted settings stay as they are. The inbox shows the new settings at once.
   * If the service refuses them, it shows the previous settings again.
   */
  setPersonal(settings: Partial<PersonalSettings>): Operation<PersonalSettings>;
  /** Call this on each keystroke. Others see that the user is typing until a few seconds after the last keystroke. */
  setTyping(isTyping?: boolean, thread?: number): void;
  /**
   * The thread below the message. Calls with the same `seq` return the same object, until `close()`. It is loaded when
   * something listens to it.
   */
  thread(seq: number): ClientThread;
  /** A window of the history around the message. It is loaded when something listens to it. */
  around(seq: number): ClientWindow;
  on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): () => void;
  /** Joins the room, also after it was rejected, removed or left. */
  rejoin(): void;
  /** Leaves the room at once, until `rejoin()` or until the next first listener. */
  leave(): void;
}

export interface ThreadEvents extends Pick<RoomEvents, 'change' | 'message' | 'changed' | 'reset' | 'dropped'> {}

/** A part of the history. Once it has reached the newest message, new messages enter it. */
export interface ClientWindow extends MessagePages {
  readonly snapshot: WindowSnapshot;
  /** Why the messages cannot be loaded. */
  readonly error: ChatClientError | undefined;
  /** Loads the first page, and resolves when it is loaded. Without a listener, the messages are no longer updated 5 s later. */
  loaded(): Promise<void>;
  on<E extends keyof ThreadEvents>(event: E, listener: (payload: ThreadEvents[E]) => void): () => void;
  /** Stops updating the messages. */
  close(): void;
}

export interface WindowSnapshot extends Pick<ClientWindow, 'messages' | 'hasOlder' | 'hasNewer' | 'error'> {}

/** The replies to a message, at first the newest ones. */
export interface ClientThread extends Omit<ClientWindow, 'snapshot'> {
  readonly snapshot: ThreadSnapshot;
  readonly seq: number;
  /** Undefined until it is loaded. */
  readonly root: Message | undefined;
  /** Sends a reply. It is in the `outbox` of the room until the thread contains it. */
  send(content: string, options?: SendOptions): Outgoing;
}

export interface ThreadSnapshot extends WindowSnapshot, Pick<ClientThread, 'root'> {}

/** An action of the user, from the call until the service has answered. */
export interface Operation<T> {
  readonly state: 'pending' | 'sent' | 'failed';
  /** Why the operation failed. */
  readonly error: ChatClientError | undefined;
  /**
   * Resolves when the service has stored the change, or rejects if the operation fails. You need not handle a
   * rejection: it is never reported as an unhandled rejection.
   */
  readonly confirmed: Promise<T>;
  /** Repeats a failed operation. A repeated edit replaces the current content of the message. */
  retry(): void;
  /** Removes a failed message from the outbox. */
  discard(): void;
}

/** A message in the outbox. A retry keeps its `client_msg_id`. `confirmed` resolves with the stored message. */
export interface Outgoing extends Operation<Message> {
  readonly client_msg_id: string;
  readonly content: string;
  /** Whether it survives a reload, because it is in the storage. */
  readonly saved: boolean;
  readonly options: SendOptions;
}
