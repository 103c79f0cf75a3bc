/**
 * Patches: engine.io@6.6.12, socket.io@4.8.4
 *
 * Change: replaces `request` of a connection and the fields of `handshake`, and removes a `close` listener.
 * Reason: engine.io keeps the request of the handshake in memory as long as the connection exists: several KiB of
 * headers and streams.
 * Test: test/unit/patches/engineio-forget-request.test.ts
 */

import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Socket } from 'socket.io';

/** Discards the request, except the data that is read later: the `Authorization` header and whether TLS was used. */
export function forgetRequest(connection: Socket['conn']): void {
  const { headers, connection: socket } = connection.request as Partial<IncomingMessage>;
  const authorization = headers?.authorization;
  const encrypted = (socket as { encrypted?: boolean } | undefined)?.encrypted;
  const rest = authorization || encrypted ? { headers: { authorization }, connection: { encrypted } } : anyRequest;
  (connection as { request: unknown }).request = rest;
}

const emptyObject = Object.freeze({});
const anyRequest = Object.freeze({ headers: emptyObject, connection: emptyObject });

/**
 * Discards the data of a socket's handshake, which is a copy of the request. Call this after authentication, because it
 * discards the token as well.
 */
export function forgetHandshake(socket: Socket): void {
  Object.assign(socket.handshake, { headers: emptyObject, query: emptyObject, auth: emptyObject, url: '', time: '' });
}

/**
 * Removes the newest `close` listener of the socket. engine.io adds it for its substitute of an upgrade response, which
 * emits `close` for middleware. We have no such middleware, and the listener would keep the request in memory.
 */
export function forgetResponse(response: { socket: Duplex }): void {
  const socket: EventEmitter = response.socket;
  const newest = socket.rawListeners('close').at(-1);
  if (newest) socket.off('close', newest as () => void);
}
