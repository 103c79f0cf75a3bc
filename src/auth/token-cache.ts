import { LRUCache } from 'lru-cache';
import type { Identity } from './identity.ts';

/** Long enough for a client that comes back, short enough for a key that is withdrawn. */
const ttlMs = 30_000;
const maxEntries = 1_000;
const maxTokenBytes = 2_048;

type Verify = (token: unknown) => Promise<Identity>;

/** Does not verify the same token again within half a minute; its end and its revocation are looked at each time. */
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

/** As RFC 7519 counts: in whole seconds, and the second of `exp` is too late. */
function hasExpired({ expiresAt }: Identity): boolean {
  return expiresAt !== null && Math.floor(Date.now() / 1_000) >= expiresAt;
}
