import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { rejectUpgrade } from '../reject-upgrade.ts';

/** For an upgrade the engine gives us something that is no response, and has the socket. */
type Response = ServerResponse | { socket: Duplex };

/** As engine.io numbers its refusals. */
const badRequest = 3;
const unsupportedProtocol = 5;

/** Refuses handshakes that the engine would take, only to end them without a word or with something unreadable. */
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
    const message = 'Unsupported protocol version: clients of Socket.IO 3 and later (EIO=4) are served';
    return { code: unsupportedProtocol, message };
  }
  if (query.has('j')) return { code: badRequest, message: 'JSONP is not served: use polling or websocket' };
  if (!isPolling && query.get('transport') !== 'websocket') {
    return { code: badRequest, message: 'An upgrade needs transport=websocket' };
  }
  return undefined;
}
