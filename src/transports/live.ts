import type { Logger } from 'pino';
import type { Limits } from '../config.ts';
import type { Rooms } from '../rooms/rooms-context.ts';
import type { Authenticator } from './authenticate.ts';
import type { Connections } from './connections.ts';
import type { TokenLifetimes } from './token-lifetime.ts';

/** What both live transports work with. */
export interface Live {
  rooms: Rooms;
  authenticator: Authenticator;
  lifetimes: TokenLifetimes;
  connections: Connections;
  limits: Limits;
  /** A connection without a token is closed after this. */
  tokenDeadlineMs: number;
  pingMs: number;
  logger: Logger;
  metrics: LiveMetrics;
}

export interface LiveMetrics {
  connected(transport: 'socketio' | 'chat'): void;
  disconnected(transport: 'socketio' | 'chat'): void;
  refused(transport: 'socketio' | 'chat', code: string): void;
}

/** Tokens that did not hold, after which a connection is closed. */
export const badTokensAllowed = 3;
/** What a connection may send before its token has been accepted. */
export const unauthenticatedFrameBytes = 4_096;
/** What of it may wait behind the token while that is checked. */
export const unauthenticatedBurstBytes = 65_536;
