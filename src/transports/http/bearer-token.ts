import { createHash, timingSafeEqual } from 'node:crypto';

/** Returns true if the `Authorization` header contains this token. The hashes make the comparison take constant time. */
export function isBearer(header: string | undefined, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(header ?? ''), digest(`Bearer ${token}`));
}
