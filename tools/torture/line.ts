import type { ErrorCode, RemovalCode } from '../../src/core/errors.ts';
import type { Outcome, Sent } from './record.ts';

/** One connection of one client, over either transport. */
export interface Line {
  /** At most one answer comes. */
  join(room: number, since: string | undefined, answer: (joined: JoinAnswer) => void): void;
  leave(room: number, left: () => void): void;
  send(message: Sent): void;
  refresh(token: string): void;
  /** Ends as the protocol wants it, or as the network does: at once, or by never reading again. */
  end(how: 'politely' | 'cut' | 'vanish'): void;
}

export type JoinAnswer =
  | { ok: true; rev: number; cursor: string; recovered: boolean; events: Heard[] }
  | { ok: false; code: ErrorCode };

/** A change as it came over the wire. */
export interface Heard {
  room: number;
  rev: number;
  cursor: string;
  seq: number | undefined;
  text: string;
}

export interface LineEvents {
  ready(): void;
  heard(change: Heard): void;
  removed(room: number, code: RemovalCode): void;
  stored(clientMsgId: string, answer: Omit<Extract<Outcome, { is: 'stored' }>, 'is' | 'at' | 'node'>): void;
  refused(clientMsgId: string, code: ErrorCode): void;
  /** It was too early for this message: no room is selected. */
  notYet(clientMsgId: string): void;
  ended(): void;
  breach(what: string): void;
}

export type Dial = (url: string, token: string, events: LineEvents) => Line;
