import { LRUCache } from 'lru-cache';
import type { Identity } from './identity.ts';

/** Long enough for a client that reconnects, short enough for a withdrawn key. */
const ttlMs = 30_000;
const maxEntries = 1_000;
const maxTokenBytes = 2_048;

type Verify = (token: unknown) => Promise<Identity>;

/** Verifies a token once within half a minute; its expiry and revocation are checked each time. */
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

/** As in RFC 7519: whole seconds, and at `exp` the token has expired. */
function hasExpired({ expiresAt }: Identity): boolean {
  return expiresAt !== null && Math.floor(Date.now() / 1_000) >= expiresAt;
}
