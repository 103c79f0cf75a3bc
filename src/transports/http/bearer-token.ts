import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether the `Authorization` header brings this token; in constant time, whatever the length. */
export function isBearer(header: string | undefined, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(header ?? ''), digest(`Bearer ${token}`));
}
