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
import type { HandshakeQueue } from './handshake-queue.ts';

/** The part of the handler context that the transports use themselves. */
export interface TransportContext {
  feeds: FeedRegistry;
  requestLimits: RequestLimits;
  isDraining: boolean;
}

/** The services and settings that Socket.IO and `/chat` share. */
export interface LiveContext {
  context: TransportContext;
  registry: Registry;
  authenticator: Authenticator;
  tokenExpiry: TokenExpiry;
  connections: ConnectionLimits;
  limits: Limits;
  isAllowedOrigin: IsAllowedOrigin;
  /** How long a connection without a token stays open. */
  authTimeoutMs: number;
  pingIntervalMs: number;
  logger: Logger;
  metrics: LiveMetrics;
  queuedRequests: QueuedRequests;
  handshakes: HandshakeQueue;
}

export type LiveTransport = 'socketio' | 'chat';

/** Called for every request, so the implementation must be fast. */
export interface LiveMetrics {
  connected(transport: LiveTransport): void;
  disconnected(transport: LiveTransport): void;
  /** `name` is `unknown` if no request has the name that the client sent. */
  requested(transport: LiveTransport, name: string): void;
  /** Called exactly once for each rejected connect, request, command and token. */
  refused(transport: LiveTransport, code: ErrorCode): void;
  /** Called when a connection is closed because its client does not read. */
  closedSlowConsumer(transport: LiveTransport): void;
}
