import type { RemovalCode } from '../../src/core/errors.ts';

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

export interface Violation {
  fault: Fault;
  what: string;
}

/** Everything that the clients saw during a run, for the oracle. Times are in ms, from one monotonic clock. */
export interface Evidence {
  /** The entity and level of each user. */
  users: Map<string, { entity: string; level: number }>;
  subscriptions: Subscription[];
  sent: Sent[];
  ruleChanges: RuleChange[];
  /** The clients that were still excluded from a room at the end. */
  excluded: { client: string; user: string; room: number; code: string }[];
  /** Violations of the protocol that clients saw, which do not depend on the log. */
  violations: Violation[];
}

/** A subscription: one connection in one room, from the acknowledgement of the join to its end. */
export interface Subscription {
  client: string;
  user: string;
  room: number;
  transport: Transport;
  node: number;
  /** The `rev` of the room in the acknowledgement. */
  joinedRev: number;
  recovered: boolean;
  /** The position at which the subscription starts: the `rev` of `since` if it was recovered, otherwise `joinedRev`. */
  from: number;
  /** The subscription whose last change `since` named. */
  resumes: Subscription | undefined;
  startedAt: number;
  applied: Applied[];
  end: SubscriptionEnd | undefined;
}

export type Transport = 'socketio' | 'chat';

export interface SubscriptionEnd {
  at: number;
  how: 'left' | 'removed' | 'disconnected' | 'started over';
  code?: RemovalCode;
}

export interface Applied {
  rev: number;
  seq: number | undefined;
  /** The change as text. It is equal for all clients that received the same change. */
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
  attempts: number;
  outcome: Outcome | undefined;
}

export type Outcome =
  | { is: 'stored'; id: number; seq: number; rev: number; duplicate: boolean; at: number; node: number }
  | { is: 'refused'; code: string }
  /** The sender can no longer ask. */
  | { is: 'unknown' };

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
  return { users: new Map(), subscriptions: [], sent: [], ruleChanges: [], excluded: [], violations: [] };
}

/** A rule as text, for comparisons. */
export const ruleText = (permissions: string | null, level: number): string | null =>
  permissions === null ? null : `${permissions} from level ${level}`;

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
