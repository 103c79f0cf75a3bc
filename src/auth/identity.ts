import type { Actor } from '../core/authorization.ts';

/** A token that holds: who it speaks for, and when it was issued (0: it does not say) and ends (null: never), in seconds since 1970. */
export interface Identity {
  actor: Actor;
  issuedAt: number;
  expiresAt: number | null;
  jti: string | null;
}
