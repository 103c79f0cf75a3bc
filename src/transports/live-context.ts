import type { Logger } from 'pino';
import type { ConnectionLimits } from '../auth/connection-limits.ts';
import type { TokenExpiry } from '../auth/token-expiry.ts';
import type { Authenticator } from '../auth/token-verification.ts';
import type { Limits } from '../config/config.ts';
import type { ChatCommandName } from '../core/contract/chat.ts';
import type { RequestName } from '../core/contract/socketio.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { AppContext } from '../features/app-context.ts';
import type { IsAllowedOrigin } from './allowed-origins.ts';
import type { QueuedRequests } from './command-queue.ts';

/** What both live transports work with. */
export interface LiveContext {
  context: AppContext;
  authenticator: Authenticator;
  tokenExpiry: TokenExpiry;
  connections: ConnectionLimits;
  limits: Limits;
  isAllowedOrigin: IsAllowedOrigin;
  /** A connection without a token is closed after this. */
  authTimeoutMs: number;
  pingIntervalMs: number;
  logger: Logger;
  metrics: LiveMetrics;
  queuedRequests: QueuedRequests;
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
  closedSlowConsumer(transport: LiveTransport): void;
}
