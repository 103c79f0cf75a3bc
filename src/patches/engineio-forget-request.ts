/**
 * Patches: engine.io@6.6.12, socket.io@4.8.4
 *
 * Change: replaces `request` of a connection and the fields of `handshake`, and removes a `close` listener.
 * Reason: engine.io keeps the request of a handshake, several KiB of headers and streams, for as long as the
 * connection lives.
 * Test: test/unit/patches/engineio-forget-request.test.ts
 */

import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Socket } from 'socket.io';

/** Keeps of the request only what is read later: whether it was encrypted, and the header with the token. */
export function forgetRequest(connection: Socket['conn']): void {
  const { headers, connection: socket } = connection.request as Partial<IncomingMessage>;
  const authorization = headers?.authorization;
  const encrypted = (socket as { encrypted?: boolean } | undefined)?.encrypted;
  const rest = authorization || encrypted ? { headers: { authorization }, connection: { encrypted } } : anyRequest;
  (connection as { request: unknown }).request = rest;
}

const emptyObject = Object.freeze({});
const anyRequest = Object.freeze({ headers: emptyObject, connection: emptyObject });

/** The same of one socket: its handshake repeats the request, and needs no token any more. */
export function forgetHandshake(socket: Socket): void {
  Object.assign(socket.handshake, { headers: emptyObject, query: emptyObject, auth: emptyObject, url: '', time: '' });
}

/** For middleware that nobody has, what stands for the response of an upgrade listens for the end of the connection. */
export function forgetResponse(response: { socket: Duplex }): void {
  const socket: EventEmitter = response.socket;
  const newest = socket.rawListeners('close').at(-1);
  if (newest) socket.off('close', newest as () => void);
}
