import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { HandshakeQueue } from '../handshake-queue.ts';
import { parseSid } from './draining-handshakes.ts';

/** A middleware of engine.io that queues new sessions and upgrades. Other requests pass at once. */
export function queueHandshakes(queue: HandshakeQueue) {
  return (request: IncomingMessage, response: ServerResponse | { socket: Duplex }, next: () => void): void => {
    if (response instanceof ServerResponse && parseSid(request) !== '') next();
    else queue.add(request.socket, next);
  };
}
