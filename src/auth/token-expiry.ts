import { type ActiveToken, ActiveTokens } from './active-tokens.ts';
import type { Identity } from './identity.ts';
import type { RevocationCache } from './revocation-cache.ts';

/** How long before the expiry of its token a client is warned. */
const warningMs = 60_000;
/** A token that expires later than this has no timer yet. Such tokens are checked again every `checkIntervalMs`. */
const maxTimerMs = 20 * 60_000;
const checkIntervalMs = maxTimerMs / 2;

export interface TokenWatch {
  /** Call this when the connection has sent a fresh token. */
  renew(identity: Identity): void;
  stop(): void;
}

/** The connection that has the token. */
export interface TokenHolder {
  warnOfTokenExpiry?(inMs: number): void;
  /** Called at most once per token. If the token is already revoked, `watch` and `renew` call it before they return. */
  onTokenEnded(how: 'expired' | 'revoked'): void;
}

/** Watches the tokens of all live connections for expiry and revocation. */
export interface TokenExpiry {
  watch(identity: Identity, holder: TokenHolder): TokenWatch;
}

export function createTokenExpiry({
  isRevoked,
  onChange,
}: Pick<RevocationCache, 'isRevoked' | 'onChange'>): TokenExpiry {
  const active = new ActiveTokens();
  onChange((inForce) => {
    for (const revocation of inForce) {
      for (const token of active.findCandidates(revocation)) if (isRevoked(token.identity)) token.revoke();
    }
  });
  setInterval(() => {
    for (const token of active.all()) token.check();
  }, checkIntervalMs).unref();
  const shared = { active, isRevoked };
  return { watch: (identity, holder) => new ConnectionToken(shared, identity, holder) };
}

interface Shared {
  active: ActiveTokens;
  isRevoked: (identity: Identity) => boolean;
}

/** The token of one connection, with its timer. Each connection has one of these objects, so it has few fields. */
class ConnectionToken implements TokenWatch, ActiveToken {
  identity: Identity;
  readonly #shared: Shared;
  readonly #holder: TokenHolder;
  #timer: NodeJS.Timeout | undefined;
  #hasWarned = false;

  constructor(shared: Shared, identity: Identity, holder: TokenHolder) {
    this.identity = identity;
    this.#shared = shared;
    this.#holder = holder;
    this.renew(identity);
  }

  renew(fresh: Identity): void {
    this.stop();
    // The token may have been revoked since it was verified.
    if (this.#shared.isRevoked(fresh)) return this.#holder.onTokenEnded('revoked');
    this.identity = fresh;
    this.#hasWarned = false;
    this.#shared.active.add(this);
    this.#schedule();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#shared.active.remove(this);
  }

  revoke(): void {
    this.#end('revoked');
  }

  #end(how: 'expired' | 'revoked'): void {
    this.stop();
    this.#holder.onTokenEnded(how);
  }

  check(): void {
    if (!this.#timer) this.#schedule();
  }

  /**
   * Starts a timer for the warning, or for the expiry if no warning is due. If it is too early for a timer, `check`
   * calls this method again later.
   */
  #schedule(): void {
    const { expiresAt } = this.identity;
    if (expiresAt === null) return;
    const shouldWarn = !this.#hasWarned && this.#holder.warnOfTokenExpiry !== undefined;
    const waitMs = Math.max(0, expiresAt * 1_000 - (shouldWarn ? warningMs : 0) - Date.now());
    if (waitMs <= maxTimerMs) this.#timer = setTimeout(fireTimeout, waitMs, this, shouldWarn).unref();
  }

  onTimeout(shouldWarn: boolean): void {
    // `check` starts a timer again if there is none and the token has not ended.
    this.#timer = undefined;
    if (!shouldWarn) return this.#end('expired');
    this.#hasWarned = true;
    this.#holder.warnOfTokenExpiry!(Math.max(0, Math.round(this.identity.expiresAt! * 1_000 - Date.now())));
    this.#schedule();
  }
}

const fireTimeout = (watch: ConnectionToken, shouldWarn: boolean) => watch.onTimeout(shouldWarn);
