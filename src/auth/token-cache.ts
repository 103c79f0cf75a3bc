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

/**
 * Wraps `verify` so that the signature of a token is verified only once in 30 seconds. Its expiry and revocation are
 * checked at every call.
 */
export function cacheVerification(verify: Verify, recheck: (identity: Identity) => void): Verify {
  const cache = new LRUCache<string, Identity>({ max: maxEntries, ttl: ttlMs });
  return async (token) => {
    const cached = typeof token === 'string' ? cache.get(token) : undefined;
    if (cached && !hasExpired(cached)) {
      recheck(cached);
      return cached;
    }
    const identity = await verify(token);
    if (typeof token === 'string' && token.length <= maxTokenBytes) cache.set(token, identity);
    return identity;
  };
}

/** Follows RFC 7519: a token has expired as soon as the clock, in whole seconds, reaches `exp`. */
function hasExpired({ expiresAt }: Identity): boolean {
  return expiresAt !== null && Math.floor(Date.now() / 1_000) >= expiresAt;
}
