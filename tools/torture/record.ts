import type { RemovalCode } from '../../src/core/errors.ts';
import type { Message, ReactionCount, ReactionDelta, Replies } from '../../src/core/log/message.ts';

export type Fault =
  | 'lost'
  | 'duplicated'
  | 'reordered'
  | 'leaked'
  /** A change was delivered differently from how it is stored. */
  | 'altered'
  | 'log'
  | 'protocol'
  | 'process';

/** What the run proves. Each violation belongs to one rule. */
export const rules = {
  log: 'Each `rev` is in exactly one table, and the row of the room is that of the last.',
  delivery: 'Each client receives each change once and in order, and none without the right to read.',
  storage: 'What is acknowledged is stored exactly once; nothing else is stored.',
  values: 'All copies of one version of a message are equal, and their text belongs to that version.',
  convergence: 'At the end, the timeline of each client equals the database.',
  erasure: 'No answer has a version older than what was acknowledged before the request; no table has a wiped text.',
  base: 'The acknowledged edits of a message that have a `base` form a chain.',
  rights: 'The actor of each entry had the right at the `rev` before it.',
  reactions: 'The reactions in the log, in their table, and in the counts are the same.',
  positions:
    'A read position has one value per version, moves back only if forced, and what is unread is a full count.',
  receipts: 'Others see how far a user has read only while both may read, never moving back, and never beyond the row.',
  settings: '`muted` has one value per version: in acknowledgements, in all open inboxes of the user, and in the row.',
  inbox: 'Every commit reaches every open inbox that it concerns in time; at the end, the items equal the database.',
  'inbox-rights': 'No item has a message that was committed after the user lost the right to read.',
  typing: 'Nobody is shown as typing for longer than the protocol allows after they last said so.',
  webhooks: 'A webhook and a consumer receive every change of every room at least once, in order.',
  presence: 'Within 30 s, a room shows exactly the users who are in it.',
  deletion: 'A deleted room is gone for everybody, and at the end nothing of it is left.',
  protocol: 'Everything that a client receives is documented, and no node ends by itself.',
} as const;
export type Rule = keyof typeof rules;

export interface Violation {
  fault: Fault;
  what: string;
  rule?: Rule;
}

/** Everything that the clients saw during a run, for the oracle. Times are in ms, from one monotonic clock. */
export interface Evidence {
  users: Map<string, KnownUser>;
  /** The user who owns all rooms. */
  owner: string;
  subscriptions: Subscription[];
  sent: Sent[];
  operations: Operation[];
  /** The copies of messages in answers to requests. */
  answers: Answered[];
  timelines: FinalTimeline[];
  marks: Mark[];
  positions: SeenPosition[];
  settings: Setting[];
  receipts: SeenReceipt[];
  /** The rooms in which members see how far others have read. */
  receiptRooms: Set<number>;
  /** The times at which a connection may be in a room, although no subscription says so. */
  stays: Stay[];
  delays: Delay[];
  inboxes: InboxSession[];
  typing: TypingShown[];
  /** When a server may have handled each `typing: true` of a user in a room, by `room user`. */
  typed: Map<string, { from: number; to: number }[]>;
  /** What the oracle has measured. */
  inboxItems: number;
  /** What the endpoint of a webhook and the consumers in the nodes received, by name, in this order. */
  consumers: Map<string, Delivery[]>;
  /** How many changes came again, by consumer. */
  duplicates: Map<string, number>;
  /** The times from a commit to the first delivery, in ms, by consumer and what had failed meanwhile. */
  consumerDelays: Map<string, number[]>;
  /** The times from a commit to the first item that contains it, in ms, by what had failed meanwhile. */
  inboxLags: Map<string, number[]>;
  longestTypingMs: number;
  /** When the clients stopped looking. */
  endedAt: number;
  ruleChanges: RuleChange[];
  deletedRooms: DeletedRoom[];
  /** The clients that were still excluded from a room at the end. */
  excluded: { client: string; user: string; room: number; code: string }[];
  /** Violations of the protocol that clients saw, which do not depend on the log. */
  violations: Violation[];
}

/** A room that was deleted while somebody wrote in it. */
export interface DeletedRoom {
  room: number;
  /** When the deletion was acknowledged. */
  deletedAt: number | undefined;
  answers: { what: string; askedAt: number; status: number }[];
  listeners: RoomListener[];
}

/** A live connection in a room that is deleted. */
export interface RoomListener {
  /** The transport. */
  name: string;
  /** The `rev` of the room when it joined. */
  from: number;
  /** The changes that it has received. */
  revs: number[];
  /** `after` is the number of changes that it had received by then. */
  removal: { code: RemovalCode; after: number } | undefined;
  hasEnded: boolean;
}

export interface KnownUser {
  entity: string;
  level: number;
  /** The scopes of the user's tokens. */
  hidesReceipts?: boolean;
  hidesPresence?: boolean;
}

/** A request to the endpoint of a webhook. */
export interface Delivery {
  at: number;
  /** The receiver has stored it. The node may not know, and send it again. */
  isAccepted: boolean;
  changes: ConsumedChange[];
}

export interface ConsumedChange extends Pick<Applied, 'rev' | 'seq' | 'version' | 'text'> {
  room: number;
  cursor: string;
  name: ChangeName | 'room.created' | 'room.deleted';
}

/** How long somebody had to wait for something trivial. */
export interface Delay {
  from: number;
  to: number;
  ms: number;
}

/** A subscription: one connection in one room, from the acknowledgement of the join to its end. */
export interface Subscription {
  client: string;
  user: string;
  room: number;
  transport: Transport;
  node: number;
  /** When the join was sent. */
  askedAt: number;
  /** The `rev` of the room in the acknowledgement. */
  joinedRev: number;
  recovered: boolean;
  /** The position at which the subscription starts: the `rev` of `since` if it was recovered, otherwise `joinedRev`. */
  from: number;
  /** The subscription whose last change `since` named. */
  resumes: Subscription | undefined;
  startedAt: number;
  applied: Applied[];
  /** The sets of users that the client was shown. Undefined if it did not ask for presence. */
  presence?: SeenPresence[];
  end: SubscriptionEnd | undefined;
}

export interface SeenPresence {
  at: number;
  users: string[];
  isPartial: boolean;
}

/** A connection of a user in a room. */
export interface Stay {
  room: number;
  user: string;
  from: number;
  to: number;
}

/** `chat with events` selects rooms on `/chat` with `events`, and receives every change. */
export type Transport = 'socketio' | 'chat' | 'chat with events';

export interface SubscriptionEnd {
  at: number;
  how: 'left' | 'removed' | 'disconnected' | 'started over';
  code?: RemovalCode;
  /** When the server learns of it at the latest, if the connection was not closed. */
  noticedBy?: number;
}

export type ChangeName =
  | 'message:new'
  | 'message:changed'
  | 'reaction:changed'
  | 'change:skipped'
  | 'member:changed'
  | 'room:changed';

export interface Applied {
  rev: number;
  name: ChangeName;
  seq: number | undefined;
  /** The version of the message that the change contains. */
  version?: number;
  /** The change as text. It is equal for all clients that received the same version, reactions, rule or room. */
  text: string;
  at: number;
  /** Delivered live, not as a missed change. */
  live: boolean;
}

/** A message that a client sent, and its outcome. */
export interface Sent {
  client: string;
  user: string;
  room: number;
  clientMsgId: string;
  content: string;
  /** The other fields, as they were sent. */
  extras?: Partial<Pick<Message, 'reply_to' | 'thread' | 'mentions' | 'custom' | 'silent'>>;
  attempts: number;
  outcome: Outcome | undefined;
  /** When its transaction was committed, if that was long after the message was written. */
  committedAt?: number;
}

export type Outcome =
  | { is: 'stored'; id: number; seq: number; rev: number; duplicate: boolean; at: number; node: number }
  | { is: 'refused'; code: string }
  /** The sender can no longer ask. */
  | { is: 'unknown' };

export type OperationKind = 'edit' | 'delete' | 'react';

/** An edit, a deletion or a reaction, and its outcome. */
export interface Operation {
  client: string;
  user: string;
  room: number;
  seq: number;
  kind: OperationKind;
  /** Of an edit: the new content, which no other message or edit has. */
  content?: string;
  base?: number;
  emoji?: string;
  added?: boolean;
  attempts: number;
  /** When it was sent last. */
  askedAt: number;
  outcome: OperationOutcome | undefined;
}

export type OperationOutcome =
  | { is: 'done'; changed: boolean; rev: number; version: number | undefined; at: number }
  | { is: 'refused'; code: string }
  | { is: 'unknown' };

/** A message in an answer: in a page, an acknowledgement or a refusal. */
export interface Answered {
  client: string;
  room: number;
  seq: number;
  version: number;
  text: string;
  askedAt: number;
  what: string;
}

export interface TimelineMessage {
  version: number;
  text: string;
  reactions: string;
  mine: string;
  replies: string;
}

/** The messages of a room as a client knows them at the end of the run. */
export interface FinalTimeline {
  client: string;
  user: string;
  room: number;
  /** The first `seq` from which on the client has every message. */
  floor: number;
  /** Whether pages of history contain deleted messages. */
  hasTombstones: boolean;
  messages: Map<number, TimelineMessage>;
}

/** A request to move a read position. */
export interface Mark {
  client: string;
  user: string;
  room: number;
  seq: number;
  force: boolean;
  /** Undefined if there was no answer, or a refusal. */
  done: { readSeq: number; version: number; at: number } | undefined;
}

/** A read position of a user as it was told to them: in an acknowledgement, an event or an item of their inbox. */
export interface SeenPosition {
  client: string;
  user: string;
  room: number;
  readSeq: number;
  version: number;
  what: string;
}

/** A request to mute or hide a room. */
export interface Setting {
  client: string;
  user: string;
  room: number;
  /** Undefined if there was no answer, or a refusal. */
  done: { muted: boolean; hidden: boolean; version: number; at: number } | undefined;
}

/** A read position of another user. */
export interface SeenReceipt {
  client: string;
  /** Whose position it is. */
  user: string;
  room: number;
  readSeq: number;
  version: number;
  /** The `rev` that the client had reached when it was shown. */
  rev: number;
  at: number;
}

/** An inbox, from the acknowledgement that opened it to the end of the connection. */
export interface InboxSession {
  client: string;
  user: string;
  entity: string;
  openedAt: number;
  /** Undefined if it was open at the end of the run. */
  endedAt: number | undefined;
  rooms: Map<number, SeenItem[]>;
  removed: { room: number; at: number }[];
}

export interface SeenItem {
  at: number;
  lastSeq: number;
  readSeq: number;
  version: number;
  unread: number;
  mentions: number;
  muted: boolean;
  hidden: boolean;
  name: string;
  activityAt: number;
  lastMessage: { seq: number; content: string } | undefined;
}

/** A user who was shown as typing to a client. */
export interface TypingShown {
  client: string;
  room: number;
  user: string;
  from: number;
  /** When the client learnt that they had stopped, or left the room. */
  to: number;
}

/** A rule that the server acknowledged; null if it was removed. */
export interface RuleChange {
  room: number;
  grantee: string;
  rule: string | null;
}

/** The `rev` that a subscription has reached. On `/chat` this is the `rev` of the last message. */
export function getPosition(subscription: Subscription): number {
  return subscription.applied.at(-1)?.rev ?? subscription.from;
}

export function newEvidence(): Evidence {
  return {
    ...{ users: new Map(), owner: '', subscriptions: [], sent: [], operations: [], answers: [], timelines: [] },
    ...{
      marks: [],
      positions: [],
      settings: [],
      receipts: [],
      receiptRooms: new Set(),
      stays: [],
      delays: [],
      inboxes: [],
      typing: [],
      typed: new Map(),
      inboxItems: 0,
      inboxLags: new Map(),
      consumers: new Map(),
      duplicates: new Map(),
      consumerDelays: new Map(),
      longestTypingMs: 0,
    },
    ...{ endedAt: 0, ruleChanges: [], deletedRooms: [], excluded: [], violations: [] },
  };
}

/** A rule as text, for comparisons. */
export const ruleText = (permissions: string | null, level: number): string | null =>
  permissions === null ? null : `${permissions} from level ${level}`;

/** What belongs to one version of a message: all its fields except its reactions and replies. */
export function versionText(message: Message & { rev?: number; cursor?: string; root?: object; changes?: object }) {
  const { rev: _, cursor: __, root: ___, changes: ____, reactions: _____, replies: ______, ...rest } = message;
  return toText(rest);
}

export const reactionsText = (reactions: readonly Pick<ReactionCount, 'emoji' | 'count'>[]): string =>
  reactions.map(({ emoji, count }) => `${emoji}${count}`).join(' ');

export const mineText = (emojis: Iterable<string>): string => [...emojis].sort().join(' ');

/** A root whose replies were all deleted is the same as a message without replies. */
export const repliesText = (replies: Replies | undefined): string =>
  replies && replies.count > 0 ? `${replies.count} up to ${replies.last_seq}` : '';

/** An announcement has at most 50 changes. */
export const maxDeltas = 50;

export const deltasText = (changes: readonly ReactionDelta[]): string =>
  changes
    .slice(0, maxDeltas)
    .map(({ user, emoji, added }) => `${user} ${added ? '+' : '-'}${emoji}`)
    .join(', ');

const texts = new Map<string, string>();

/**
 * A value as text with sorted keys. Equal texts share one string, because all clients in a room receive the same
 * changes.
 */
export function toText(value: object): string {
  const text = JSON.stringify(value, inOrder);
  const known = texts.get(text);
  if (known !== undefined) return known;
  texts.set(text, text);
  return text;
}

function inOrder(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
