import { createHash, timingSafeEqual } from 'node:crypto';

/**
 * Returns true if the `Authorization` header contains this token. The hashes make the comparison take constant time. The
 * name of the scheme is case-insensitive (RFC 9110, 11.1).
 */
export function isBearer(header: string | undefined, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const given = /^Bearer +(.*)$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(token));
}
