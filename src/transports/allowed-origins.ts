import type { IncomingMessage } from 'node:http';

/** Whether a page of this origin may use the service. Clients that are not pages, such as apps and backends, have no origin. */
export type IsAllowedOrigin = (request: Pick<IncomingMessage, 'headers'>) => boolean;

/** Undefined allows all. A page of the host that is asked is not cross-origin: its own page, or a native app that says so. */
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
