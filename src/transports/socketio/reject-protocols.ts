import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { rejectUpgrade } from '../reject-upgrade.ts';

/** For an upgrade, engine.io passes an object that is not a response, but has the socket. */
type Response = ServerResponse | { socket: Duplex };

/** The error codes of engine.io for rejected requests. */
const badRequest = 3;
const unsupportedProtocol = 5;

/**
 * Rejects unsupported protocols with a reason. engine.io would accept these handshakes, and then close the connection
 * without a reason or send packets that the client cannot read.
 */
export function rejectOtherProtocols(request: IncomingMessage, response: Response, next: () => void): void {
  const rejection = findRejection(request, response instanceof ServerResponse);
  if (!rejection) return next();
  if (!(response instanceof ServerResponse)) return rejectUpgrade(response.socket, '400 Bad Request', {}, rejection);
  response.writeHead(400, { 'Content-Type': 'application/json' }).end(JSON.stringify(rejection));
}

function findRejection(
  { url = '/' }: IncomingMessage,
  isPolling: boolean,
): { code: number; message: string } | undefined {
  const query = new URL(url, 'http://any').searchParams;
  if (query.get('EIO') !== '4') {
    const message = 'Unsupported protocol version: use a client of Socket.IO 3 or later (EIO=4)';
    return { code: unsupportedProtocol, message };
  }
  if (query.has('j')) return { code: badRequest, message: 'JSONP is not supported: use polling or websocket' };
  if (!isPolling && query.get('transport') !== 'websocket') {
    return { code: badRequest, message: 'An upgrade needs transport=websocket' };
  }
  return undefined;
}
