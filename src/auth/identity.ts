import type { Actor } from '../core/authorization.ts';

/** A valid token: its user, and when it was issued (0: unknown) and expires (null: never), in seconds since 1970. */
export interface Identity {
  actor: Actor;
  issuedAt: number;
  expiresAt: number | null;
  jti: string | null;
}
