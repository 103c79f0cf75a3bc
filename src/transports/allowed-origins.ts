import type { IncomingMessage } from 'node:http';

/**
 * Returns true if the service accepts requests from this origin. A request without an `Origin` header is accepted: it
 * comes from an app or a backend, not from a web page.
 */
export type IsAllowedOrigin = (request: Pick<IncomingMessage, 'headers'>) => boolean;

/**
 * If `allowed` is undefined, every origin is accepted. The host of the request itself is always accepted as an origin:
 * the service's own page has this origin, and some native apps send it.
 */
export function createOriginCheck(allowed: readonly string[] | undefined): IsAllowedOrigin {
  if (!allowed) return () => true;
  const known = new Set(allowed);
  return ({ headers: { origin, host } }) => {
    if (origin === undefined || known.has(origin.toLowerCase())) return true;
    return /^https?:\/\/(.+)$/i.exec(origin)?.[1]?.toLowerCase() === host?.toLowerCase();
  };
}

export const describeRejectedOrigin = (origin: string | undefined): string =>
  `Origin: ${origin} is not in ALLOWED_ORIGINS`;
