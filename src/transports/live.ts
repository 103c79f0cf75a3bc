import type { Logger } from 'pino';
import type { Limits } from '../config.ts';
import type { ChatCommandName } from '../protocol/chat-commands.ts';
import type { ErrorCode } from '../protocol/errors.ts';
import type { RequestName } from '../protocol/socket-events.ts';
import type { Rooms } from '../rooms/rooms-context.ts';
import type { IsAllowedOrigin } from './allowed-origins.ts';
import type { Authenticator } from './authenticate.ts';
import type { Connections } from './connections.ts';
import type { TokenLifetimes } from './token-lifetime.ts';
import type { WaitingRequests } from './turns.ts';

/** What both live transports work with. */
export interface Live {
  rooms: Rooms;
  authenticator: Authenticator;
  lifetimes: TokenLifetimes;
  connections: Connections;
  limits: Limits;
  isAllowedOrigin: IsAllowedOrigin;
  /** A connection without a token is closed after this. */
  tokenDeadlineMs: number;
  pingMs: number;
  logger: Logger;
  metrics: LiveMetrics;
  waiting: WaitingRequests;
}

export type LiveTransport = 'socketio' | 'chat';

/** Called for every request: what is behind it must cost nothing. */
export interface LiveMetrics {
  connected(transport: LiveTransport): void;
  disconnected(transport: LiveTransport): void;
  /** `unknown`: there is no request of that name. */
  requested(transport: LiveTransport, name: RequestName | ChatCommandName | 'unknown'): void;
  refused(transport: LiveTransport, code: ErrorCode): void;
  /** The connection is closed because its client does not read. */
  closedUnread(transport: LiveTransport): void;
}

/** Tokens that did not hold, after which a connection is closed. */
export const badTokensAllowed = 3;
/** What a connection may send before its token has been accepted. */
export const unauthenticatedFrameBytes = 4_096;
/** What of it may wait behind the token while that is checked. */
export const unauthenticatedBurstBytes = 65_536;
/** A peer that does not take part in the closing handshake is cut off after this. */
export const closeGraceMs = 1_000;
/** How often all connections are checked for what they have not read: libraries write by themselves, too. */
export const unsentCheckMs = 1_000;
