import { ChatClientError } from './errors.ts';
import type { Link } from './link.ts';

/** Calls the token function. Rejects with `NO_TOKEN` if it throws, returns no string, or does not settle in time. */
export function fetchToken(getToken: () => string | Promise<string>, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (message: string, cause?: unknown) => reject(new ChatClientError('NO_TOKEN', message, { cause }));
    const timer = setTimeout(() => fail(`The token function took more than ${timeoutMs} ms`), timeoutMs);
    // The function is called inside a promise, so that a synchronous exception is handled like a rejection.
    Promise.resolve()
      .then(getToken)
      .then(
        (token) => (token && typeof token === 'string' ? resolve(token) : fail('The token function returned no token')),
        (error) => fail('The token function failed', error),
      )
      .finally(() => clearTimeout(timer));
  });
}

interface TokenRefreshEvents {
  fetchToken(): Promise<string>;
  onRefreshed(token: string): void;
  onFailed(error: ChatClientError): void;
}

/**
 * The minimum delay before a refresh. Without it, a token function that always returns a token about to expire would
 * cause one refresh after another.
 */
const minDelayMs = 1_000;

/** Replaces the token of a connected link before the token expires. */
export class TokenRefresh {
  readonly #link: Pick<Link, 'request'>;
  readonly #events: TokenRefreshEvents;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasStopped = false;

  constructor(link: Pick<Link, 'request'>, events: TokenRefreshEvents) {
    this.#link = link;
    this.#events = events;
  }

  /**
   * Refreshes the token after a random part of the remaining time, so that clients do not all refresh at once. A failed
   * refresh is retried until the link ends; the next link starts with a new token anyway.
   */
  schedule(remainingMs: number): void {
    clearTimeout(this.#timer);
    const delayMs = Math.max(minDelayMs, (remainingMs / 4) * (1 + Math.random()));
    this.#timer = setTimeout(async () => {
      try {
        const token = await this.#events.fetchToken();
        if (!this.#hasStopped) this.#send(token, remainingMs);
      } catch (error) {
        this.#handleFailure(error as ChatClientError, remainingMs);
      }
    }, delayMs);
  }

  stop(): void {
    this.#hasStopped = true;
    clearTimeout(this.#timer);
  }

  #send(token: string, remainingMs: number): void {
    this.#link.request('token:refresh', { token }, (error) => {
      if (error) this.#handleFailure(error, remainingMs);
      else this.#events.onRefreshed(token);
    });
  }

  #handleFailure(error: ChatClientError, remainingMs: number): void {
    if (this.#hasStopped) return;
    this.#events.onFailed(error);
    // The error may have ended the link.
    if (!this.#hasStopped) this.schedule(remainingMs / 2);
  }
}

/** The claims of the token on which the user's rights depend. The client does not verify the signature. */
export interface Claims {
  user: string;
  entity: string | undefined;
  level: string;
}

/**
 * Reads the claims of the token. Returns undefined if the token cannot be read, or if the platform has no `atob`. In that
 * case, the caller must assume that every change of a rule may affect the user.
 */
export function decodeClaims(token: string): Claims | undefined {
  try {
    const base64 = token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/');
    const { userUUID, sub, entityUUID, levelOnEntity = 0 } = JSON.parse(atob(base64));
    return {
      user: String(userUUID ?? sub).toLowerCase(),
      entity: entityUUID && String(entityUUID).toLowerCase(),
      level: String(levelOnEntity),
    };
  } catch {
    return undefined;
  }
}

/** Returns whether the rule may affect the rights of the user with these claims. */
export function mayAffectUser(rule: { entity_UUID: string; kind: string }, claims: Claims | undefined): boolean {
  if (!claims) return true;
  const { user, entity } = claims;
  return (rule.entity_UUID === user && rule.kind !== 'entity') || (rule.entity_UUID === entity && rule.kind !== 'user');
}
