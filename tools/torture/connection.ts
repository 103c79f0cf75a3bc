import type { ErrorCode, RemovalCode } from '../../src/core/errors.ts';
import type { Outcome, Sent } from './record.ts';

/** One connection of a client, over either transport. */
export interface Connection {
  /** Calls `answer` at most once. */
  join(room: number, since: string | undefined, answer: (joined: JoinAnswer) => void): void;
  leave(room: number, left: () => void): void;
  send(message: Sent): void;
  refresh(token: string): void;
  /** `politely` closes as the protocol demands, `cut` closes at once, and `vanish` stops reading without closing. */
  end(how: 'politely' | 'cut' | 'vanish'): void;
}

export type JoinAnswer =
  | { ok: true; rev: number; cursor: string; recovered: boolean; events: ReceivedChange[] }
  | { ok: false; code: ErrorCode };

/** A change as it was received. */
export interface ReceivedChange {
  room: number;
  rev: number;
  cursor: string;
  seq: number | undefined;
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
  ended(): void;
  violation(what: string): void;
}

export type Dial = (url: string, token: string, events: ConnectionEvents) => Connection;
