import type { ClientOptions, ConnectionState, Timeouts } from './api.ts';
import type { ChatClientError } from './errors.ts';
import type { Link } from './link.ts';
import type { Claims } from './token.ts';

/** The part of the connection that rooms use. */
export interface RoomConnection {
  readonly limits: Limits;
  readonly state: ConnectionState;
  /** The error that made the client `unauthorized`. */
  readonly refusal: ChatClientError | undefined;
  /** Undefined unless connected. */
  readonly link: Pick<Link, 'request'> | undefined;
  /** The claims of the current token. Undefined if they cannot be read. */
  readonly claims: Claims | undefined;
}

export interface Limits extends Timeouts, Required<Pick<ClientOptions, 'keep' | 'maxOutbox' | 'outboxHours'>> {}

export const defaultTimeouts: Timeouts = {
  answerMs: 10_000,
  connectMs: 20_000,
  tokenMs: 30_000,
  backoffMs: 500,
  maxBackoffMs: 10_000,
};

export function readLimits({ keep = 1_000, maxOutbox = 1_000, outboxHours = 24, timeouts }: ClientOptions): Limits {
  if (!(keep >= 1 && maxOutbox >= 1)) throw new TypeError('keep and maxOutbox must be at least 1');
  return { ...defaultTimeouts, ...timeouts, keep, maxOutbox, outboxHours };
}
