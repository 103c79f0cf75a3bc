import type { Logger } from 'pino';
import type { ConnectionLimits } from '../auth/connection-limits.ts';
import type { TokenExpiry } from '../auth/token-expiry.ts';
import type { Authenticator } from '../auth/token-verification.ts';
import type { Limits } from '../config/config.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { FeedRegistry } from '../core/feed/feed-registry.ts';
import type { RequestLimits } from '../core/limits/request-limits.ts';
import type { Registry } from '../core/registry.ts';
import type { IsAllowedOrigin } from './allowed-origins.ts';
import type { QueuedRequests } from './command-queue.ts';

/** What the transports themselves use of the context that the handlers get. */
export interface TransportContext {
  feeds: FeedRegistry;
  requestLimits: RequestLimits;
  isDraining: boolean;
}

/** What both live transports work with. */
export interface LiveContext {
  context: TransportContext;
  registry: Registry;
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
  requested(transport: LiveTransport, name: string): void;
  refused(transport: LiveTransport, code: ErrorCode): void;
  /** The connection is closed because its client does not read. */
  closedSlowConsumer(transport: LiveTransport): void;
}
