import { LRUCache } from 'lru-cache';
import type { Identity } from './identity.ts';

/**
 * Long enough for a client that reconnects to find its token in the cache, but no longer: a cached token is accepted
 * even if its key has been withdrawn.
 */
const ttlMs = 30_000;
const maxEntries = 1_000;
const maxTokenBytes = 2_048;

type Verify = (token: unknown) => Promise<Identity>;

/** The tokens whose signature was verified in the last 30 seconds. */
export interface TokenCache {
  /** Returns undefined if the token has to be verified. Throws an error if it was revoked after its verification. */
  find(token: unknown): Identity | undefined;
  /** Call this with the identity of a token that was just verified. */
  add(token: unknown, identity: Identity): void;
}

export function createTokenCache(recheck: (identity: Identity) => void): TokenCache {
  const cache = new LRUCache<string, Identity>({ max: maxEntries, ttl: ttlMs });
  return {
    find(token) {
      const cached = typeof token === 'string' ? cache.get(token) : undefined;
      if (!cached || hasExpired(cached)) return undefined;
      recheck(cached);
      return cached;
    },
    add(token, identity) {
      if (typeof token === 'string' && token.length <= maxTokenBytes) cache.set(token, identity);
    },
  };
}

/** Wraps `verify` so that it is called only for tokens that are not in the cache. */
export function cacheVerification(verify: Verify, cache: TokenCache): Verify {
  return async (token) => {
    const cached = cache.find(token);
    if (cached) return cached;
    const identity = await verify(token);
    cache.add(token, identity);
    return identity;
  };
}

/** Follows RFC 7519: a token has expired as soon as the clock, in whole seconds, reaches `exp`. */
function hasExpired({ expiresAt }: Identity): boolean {
  return expiresAt !== null && Math.floor(Date.now() / 1_000) >= expiresAt;
}
