import type { ErrorCode, RemovalCode } from '../../src/core/errors.ts';
import type { InboxItem } from '../../src/core/inbox-item.ts';
import type { Message, ReactionCount } from '../../src/core/log/message.ts';
import type { ChangeName, Mark, Operation, Outcome, Sent } from './record.ts';
import type { TimelineChange } from './timeline.ts';

/** One connection of a client, over either transport. */
export interface Connection {
  /** Calls `answer` at most once. `withPresence` also asks for presence. */
  join(
    room: number,
    options: { since: string | undefined; withPresence: boolean },
    answer: (joined: JoinAnswer) => void,
  ): void;
  leave(room: number, left: () => void): void;
  send(message: Sent): void;
  /** Calls `answer` at most once. */
  operate(operation: Operation, answer: (answer: OperationAnswer) => void): void;
  /** Reads a page of history; without `before`, the latest. Undefined if the server refuses it. */
  readPage(room: number, before: number | undefined, answer: (page: Page | undefined) => void): void;
  /** Moves the read position. */
  mark(mark: Mark, answer: (position: Position) => void): void;
  /** Mutes or hides the room, or ends that. */
  set(room: number, wish: Partial<Settings>, answer: (settings: Settings & { version: number }) => void): void;
  /** Calls `done` with the answer. */
  type(room: number, typing: boolean, done: () => void): void;
  openInbox(answer: (items: InboxItem[]) => void): void;
  refresh(token: string): void;
  /** `politely` closes as the protocol demands, `cut` closes at once, and `vanish` stops reading without closing. */
  end(how: 'politely' | 'cut' | 'vanish'): void;
}

export type JoinAnswer =
  | ({ ok: true; rev: number; cursor: string; recovered: boolean; lastSeq: number } & Joined)
  | { ok: false; code: ErrorCode };

interface Joined {
  events: ReceivedChange[];
  presence?: ShownPresence | undefined;
  reads?: Receipt[] | undefined;
}

export type OperationAnswer =
  | { ok: true; changed: boolean; rev: number; message?: Message; reactions?: ReactionCount[] }
  | { ok: false; code: ErrorCode; current?: Message | undefined };

export interface Page {
  messages: Message[];
  rev: number;
  hasMore: boolean;
}

export interface Position {
  readSeq: number;
  version: number;
}

/** A read position, and whose it is. */
export interface Receipt extends Position {
  user: string;
}

export interface Settings {
  muted: boolean;
  hidden: boolean;
}

/** Who is present. Undefined users are too many to list. */
export interface ShownPresence {
  users: string[] | undefined;
  isPartial: boolean;
}

/** A change as it was received. */
export interface ReceivedChange extends TimelineChange {
  room: number;
  name: ChangeName;
  cursor: string;
  /** The change as text. It is equal for all clients that received the same version, reactions, rule or room. */
  text: string;
}

export interface ConnectionEvents {
  ready(): void;
  received(change: ReceivedChange): void;
  removed(room: number, code: RemovalCode): void;
  stored(clientMsgId: string, answer: Omit<Extract<Outcome, { is: 'stored' }>, 'is' | 'at' | 'node'>): void;
  refused(clientMsgId: string, code: ErrorCode): void;
  /** The server refused the message because no room is selected yet. */
  notYet(clientMsgId: string): void;
  inboxItems(items: InboxItem[]): void;
  inboxRemoved(room: number): void;
  /** Read positions of this user and of others. */
  readsChanged(room: number, reads: Receipt[]): void;
  presenceChanged(room: number, presence: ShownPresence): void;
  typingChanged(room: number, users: string[]): void;
  ended(): void;
  violation(what: string): void;
}

export type Dial = (url: string, token: string, events: ConnectionEvents) => Connection;
