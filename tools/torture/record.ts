import type { RemovalCode } from '../../src/core/errors.ts';

export type Fault =
  | 'lost'
  | 'doubled'
  | 'reordered'
  | 'leaked'
  /** Told otherwise than it is stored, or stored otherwise than it was told. */
  | 'altered'
  | 'log'
  | 'protocol'
  | 'process';

export interface Violation {
  fault: Fault;
  what: string;
}

/** What was seen during a run, for the oracle. Times are of one monotonic clock, in ms. */
export interface Evidence {
  /** Who the users were. */
  people: Map<string, { entity: string; level: number }>;
  stays: Stay[];
  sent: Sent[];
  rulings: Ruling[];
  /** Who was refused a room to the end. */
  outside: { client: string; user: string; room: number; code: string }[];
  /** What a client saw that the protocol does not allow, whatever the log says. */
  breaches: Violation[];
}

/** One connection in one room, from the acknowledgement of the join to its end. */
export interface Stay {
  client: string;
  user: string;
  room: number;
  transport: Transport;
  node: number;
  /** Where the log stood, by the acknowledgement. */
  joinedRev: number;
  recovered: boolean;
  /** What it goes on from: the `rev` of `since` where that was recovered, otherwise `joinedRev`. */
  from: number;
  /** The stay whose last change `since` named. */
  resumes: Stay | undefined;
  startedAt: number;
  applied: Applied[];
  end: StayEnd | undefined;
}

export type Transport = 'socketio' | 'chat';

export interface StayEnd {
  at: number;
  how: 'left' | 'removed' | 'disconnected' | 'started over';
  code?: RemovalCode;
}

export interface Applied {
  rev: number;
  seq: number | undefined;
  /** The change as text, the same for everybody who heard the same. */
  text: string;
  at: number;
  /** Told as it happened, and not because it had been missed. */
  live: boolean;
}

/** A message that somebody wanted to send, and what came of it. */
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
  /** The sender cannot ask any more. */
  | { is: 'unknown' };

/** A rule that an administrator was told is in force; null: removed. */
export interface Ruling {
  room: number;
  grantee: string;
  rule: string | null;
}

/** Where a stay has come to. On `/chat` that is the last message. */
export function positionOf(stay: Stay): number {
  return stay.applied.at(-1)?.rev ?? stay.from;
}

export function newEvidence(): Evidence {
  return { people: new Map(), stays: [], sent: [], rulings: [], outside: [], breaches: [] };
}

/** A rule as text, so that two can be compared. */
export const ruleText = (permissions: string | null, level: number): string | null =>
  permissions === null ? null : `${permissions} from level ${level}`;

const texts = new Map<string, string>();

/** A value as text with its keys in order; equal texts are one string, for everybody in a room hears the same. */
export function textOf(value: object): string {
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
