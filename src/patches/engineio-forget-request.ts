/**
 * Patches: engine.io@6.6.12, socket.io@4.8.4
 *
 * Change: replaces `request` of a connection and the fields of `handshake`, and removes a `close` listener.
 * Reason: engine.io keeps the request of the handshake in memory as long as the connection exists. Its headers and
 * streams use several KiB.
 * Test: test/unit/patches/engineio-forget-request.test.ts
 */

import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Socket } from 'socket.io';

/**
 * Discards the request, except for two values that are read later: the `Authorization` header, and whether TLS was
 * used.
 */
export function forgetRequest(connection: Socket['conn']): void {
  const { headers, connection: socket } = connection.request as Partial<IncomingMessage>;
  const authorization = headers?.authorization;
  const encrypted = (socket as { encrypted?: boolean } | undefined)?.encrypted;
  const remaining =
    authorization || encrypted ? { headers: { authorization }, connection: { encrypted } } : emptyRequest;
  (connection as { request: unknown }).request = remaining;
}

const emptyObject = Object.freeze({});
const emptyRequest = Object.freeze({ headers: emptyObject, connection: emptyObject });

/**
 * Discards the handshake of a socket, which contains a copy of the data of the request. Call this after authentication,
 * because it also discards the token.
 */
export function forgetHandshake(socket: Socket): void {
  Object.assign(socket.handshake, { headers: emptyObject, query: emptyObject, auth: emptyObject, url: '', time: '' });
}

/**
 * Removes the newest `close` listener of the socket. For an upgrade, engine.io creates a stand-in for the response, and
 * adds this listener so that the stand-in emits `close` for middleware. We have no such middleware, and the listener
 * would keep the request in memory.
 */
export function forgetResponse(response: { socket: Duplex }): void {
  const socket: EventEmitter = response.socket;
  const newest = socket.rawListeners('close').at(-1);
  if (newest) socket.off('close', newest as () => void);
}
