import type { Uuid } from '../core/ids.ts';
import type { Identity } from './identity.ts';

/** The token of one live connection. */
export interface ActiveToken {
  readonly identity: Identity;
  revoke(): void;
  /** Starts the expiry timer if the token expires soon and has no timer yet. */
  check(): void;
}

/** The tokens of live connections, indexed by user and by `jti`, because revocations name one of these. */
export class ActiveTokens {
  readonly #byUser = new Index<Uuid>();
  readonly #byJti = new Index<string>();

  add(token: ActiveToken): void {
    const { actor, jti } = token.identity;
    this.#byUser.add(actor.user, token);
    if (jti !== null) this.#byJti.add(jti, token);
  }

  remove(token: ActiveToken): void {
    const { actor, jti } = token.identity;
    this.#byUser.remove(actor.user, token);
    if (jti !== null) this.#byJti.remove(jti, token);
  }

  *all(): Iterable<ActiveToken> {
    yield* this.#byUser.all();
  }

  /** The tokens with this user or this `jti`. The caller checks which of them a revocation really applies to. */
  findCandidates({ user, jti }: { user: Uuid | null; jti: string | null }): ActiveToken[] {
    return [...this.#byUser.get(user), ...this.#byJti.get(jti)];
  }
}

/**
 * Finds tokens by a key. A key with one token maps to the token itself: most users have one connection, and a `Set` for
 * each of them would take more memory than the rest of the index.
 */
class Index<Key> {
  readonly #tokens = new Map<Key, ActiveToken | Set<ActiveToken>>();

  get(key: Key | null): Iterable<ActiveToken> {
    const found = key === null ? undefined : this.#tokens.get(key);
    if (!found) return [];
    return found instanceof Set ? found : [found];
  }

  *all(): Iterable<ActiveToken> {
    for (const found of this.#tokens.values()) {
      if (found instanceof Set) yield* found;
      else yield found;
    }
  }

  add(key: Key, token: ActiveToken): void {
    const known = this.#tokens.get(key);
    if (known instanceof Set) known.add(token);
    else this.#tokens.set(key, known && known !== token ? new Set([known, token]) : token);
  }

  remove(key: Key, token: ActiveToken): void {
    const known = this.#tokens.get(key);
    if (known instanceof Set) {
      known.delete(token);
      if (known.size === 0) this.#tokens.delete(key);
    } else if (known === token) {
      this.#tokens.delete(key);
    }
  }
}
