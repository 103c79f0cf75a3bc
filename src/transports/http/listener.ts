import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { closeAfterUnreadBody } from './discard-body.ts';

/** Where requests come from: a separate port, or a part of an app's server. */
export interface Listener {
  /** What the transports serve; its paths begin at `/`, wherever it is mounted. */
  http: HttpServer;
  /** Starts to accept requests. */
  open(): Promise<void>;
  /** Its address, once it is open. */
  address(): { url: string; port: number };
  /** Resolves when all requests have been answered. A separate port accepts no new ones from now on. */
  finish(): Promise<unknown>;
  /** Cuts requests that are still being answered. */
  terminate(): void;
}

export const isWebSocket = ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === 'websocket';

/** Clients of a proxy send `GET http://chat.example/rooms`; every transport sees only the path. */
function rewriteToOriginForm(request: IncomingMessage): void {
  request.url = toOriginPath(request.url);
}

export function toOriginPath(url = ''): string {
  if (url.startsWith('/')) return url;
  const path = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/is.exec(url)?.[1];
  if (path === undefined) return url;
  return path.startsWith('/') ? path : `/${path}`;
}

/** Prepares every request, whichever transport serves it. */
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
