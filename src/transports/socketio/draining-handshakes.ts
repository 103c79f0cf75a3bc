import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { forgetResponse } from '../../patches/engineio-forget-request.ts';
import { drainingHeaders, rejectUpgrade } from '../reject-upgrade.ts';

/** For an upgrade, engine.io passes an object that is not a response, but has the socket. */
type Response = ServerResponse | { socket: Duplex };

interface HandshakeState {
  isDraining(): boolean;
  hasSession(sid: string): boolean;
}

/**
 * Rejects new sessions while the node shuts down, with an answer that makes a balancer retry on another node. Existing
 * sessions continue until they are closed.
 */
export function rejectHandshakesWhileDraining({ isDraining, hasSession }: HandshakeState) {
  return (request: IncomingMessage, response: Response, next: () => void): void => {
    if (!(response instanceof ServerResponse)) forgetResponse(response);
    if (!isDraining() || hasSession(parseSid(request))) return next();
    if (response instanceof ServerResponse) response.writeHead(503, drainingHeaders).end();
    else rejectUpgrade(response.socket, '503 Service Unavailable', drainingHeaders);
  };
}

/** The id of the session, or an empty string if the request begins a session. */
export function parseSid({ url = '/' }: IncomingMessage): string {
  return new URL(url, 'http://any').searchParams.get('sid') ?? '';
}
