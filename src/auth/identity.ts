import type { Actor } from '../core/authorization.ts';

/** What a valid token states. */
export interface Identity {
  actor: Actor;
  /** In seconds since 1970; 0 if the token has no `iat`. */
  issuedAt: number;
  /** In seconds since 1970; null if the token never expires. */
  expiresAt: number | null;
  jti: string | null;
}
