import type { Uuid } from '../core/ids.ts';
import type { RevocationChange } from './revocation-log.ts';

/** The claims of a token that decide whether it is revoked. */
export interface RevocableToken {
  actor: { user: Uuid };
  /** Seconds since 1970; 0 if the token has no `iat`. */
  issuedAt: number;
  jti: string | null;
}

/** All revocations in force. They are kept in memory because every request is checked against them. */
export class RevocationIndex {
  readonly #inForce = new Map<number, RevocationChange>();
  /**
   * For each user, a time per revocation. The user's tokens that were issued before the latest of these times are
   * revoked. All times are kept, because any revocation can be lifted.
   */
  readonly #users = new Map<Uuid, { bounds: Map<number, number>; maxIssuedBefore: number }>();
  readonly #jtis = new Map<string, Set<number>>();

  has({ actor, issuedAt, jti }: RevocableToken): boolean {
    if (issuedAt < (this.#users.get(actor.user)?.maxIssuedBefore ?? 0)) return true;
    return jti !== null && this.#jtis.has(jti);
  }

  /** Adds a revocation, or removes one that was lifted. Returns true if it is in force and was not known before. */
  add(change: RevocationChange): boolean {
    if (change.lifted) this.#remove(change.id);
    if (change.lifted || this.#inForce.has(change.id)) return false;
    const { id, user, issuedBefore, jti } = change;
    this.#inForce.set(id, change);
    if (user !== null && issuedBefore !== null) {
      const bounds = this.#users.get(user)?.bounds ?? new Map<number, number>();
      this.#setBounds(user, bounds.set(id, issuedBefore));
    }
    if (jti !== null) this.#jtis.set(jti, (this.#jtis.get(jti) ?? new Set()).add(id));
    return true;
  }

  clear(): void {
    for (const index of [this.#inForce, this.#users, this.#jtis]) index.clear();
  }

  #remove(id: number): void {
    const existing = this.#inForce.get(id);
    if (!existing) return;
    this.#inForce.delete(id);
    const { user, jti } = existing;
    const bounds = user === null ? undefined : this.#users.get(user)?.bounds;
    if (bounds?.delete(id)) this.#setBounds(user!, bounds);
    const ids = jti === null ? undefined : this.#jtis.get(jti);
    if (ids?.delete(id) && ids.size === 0) this.#jtis.delete(jti!);
  }

  #setBounds(user: Uuid, bounds: Map<number, number>): void {
    if (bounds.size === 0) this.#users.delete(user);
    else this.#users.set(user, { bounds, maxIssuedBefore: [...bounds.values()].reduce((a, b) => Math.max(a, b)) });
  }
}
