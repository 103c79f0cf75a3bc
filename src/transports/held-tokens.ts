import type { Uuid } from '../protocol/identifiers.ts';
import type { Identity } from './authenticate.ts';

/** The token of one live connection. */
export interface HeldToken {
  identity: Identity;
  revoke: () => void;
}

/** The tokens that live connections came with, to be found by what they are revoked by. */
export class HeldTokens {
  readonly #byUser = new Map<Uuid, Set<HeldToken>>();
  readonly #byJti = new Map<string, Set<HeldToken>>();

  hold(token: HeldToken): void {
    const { actor, jti } = token.identity;
    add(this.#byUser, actor.user, token);
    if (jti !== null) add(this.#byJti, jti, token);
  }

  release(token: HeldToken): void {
    const { actor, jti } = token.identity;
    remove(this.#byUser, actor.user, token);
    if (jti !== null) remove(this.#byJti, jti, token);
  }

  /** Those that a revocation may concern. */
  maybeOf({ user, jti }: { user: Uuid | null; jti: string | null }): HeldToken[] {
    return [...((user !== null && this.#byUser.get(user)) || []), ...((jti !== null && this.#byJti.get(jti)) || [])];
  }
}

function add<Key>(index: Map<Key, Set<HeldToken>>, key: Key, token: HeldToken): void {
  const tokens = index.get(key);
  if (tokens) tokens.add(token);
  else index.set(key, new Set([token]));
}

function remove<Key>(index: Map<Key, Set<HeldToken>>, key: Key, token: HeldToken): void {
  const tokens = index.get(key);
  if (tokens?.delete(token) && tokens.size === 0) index.delete(key);
}
