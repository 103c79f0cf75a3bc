import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { closeAfterUnreadBody } from './discard-body.ts';

/** The source of HTTP requests: a port of this service, or the server of an app, below a path. */
export interface Listener {
  /** The server that the transports attach to. Its paths start at `/`, even if the service is mounted below a path. */
  http: HttpServer;
  open(): Promise<void>;
  /** The address of the service. Call this only after `open`. */
  address(): { url: string; port: number };
  /**
   * Resolves when all requests have been answered. If the service has its own port, the port accepts no new connections
   * as soon as this is called; the server of an app continues to accept them.
   */
  finish(): Promise<unknown>;
  /** Closes the connections of requests that are still being answered. */
  terminate(): void;
}

export const isWebSocket = ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === 'websocket';

/** Removes scheme and host: a client of a proxy sends `GET http://chat.example/rooms`. The transports expect a path. */
function rewriteToOriginForm(request: IncomingMessage): void {
  request.url = toOriginPath(request.url);
}

export function toOriginPath(url = ''): string {
  if (url.startsWith('/')) return url;
  const path = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/is.exec(url)?.[1];
  if (path === undefined) return url;
  return path.startsWith('/') ? path : `/${path}`;
}

/** Adds the hooks that run for every request before any transport handles it. */
export function prependRequestHooks(http: HttpServer): void {
  http.prependListener('request', closeAfterUnreadBody);
  for (const event of ['request', 'upgrade']) http.prependListener(event, rewriteToOriginForm);
}

export function getAddress(
  server: HttpServer | HttpsServer,
  scheme = 'http',
): { url: string; port: number } | undefined {
  const bound = server.address() as AddressInfo | null;
  if (!bound || typeof bound === 'string') return undefined;
  const { address, family, port } = bound;
  const host = address === '0.0.0.0' || address === '::' ? 'localhost' : family === 'IPv6' ? `[${address}]` : address;
  return { url: `${scheme}://${host}:${port}`, port };
}
