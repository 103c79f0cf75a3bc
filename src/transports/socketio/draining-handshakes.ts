import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { forgetResponse } from '../../patches/engineio-forget-request.ts';
import { drainingHeaders, rejectUpgrade } from '../reject-upgrade.ts';

/** For an upgrade the engine gives us something that is no response, and has the socket. */
type Response = ServerResponse | { socket: Duplex };

interface HandshakeState {
  isDraining(): boolean;
  hasSession(sid: string): boolean;
}

/**
 * A node that drains takes no new session, with an answer that lets a balancer ask another node. The sessions that it
 * has go on until they are closed.
 */
export function rejectHandshakesWhileDraining({ isDraining, hasSession }: HandshakeState) {
  return (request: IncomingMessage, response: Response, next: () => void): void => {
    if (!(response instanceof ServerResponse)) forgetResponse(response);
    if (!isDraining() || hasSession(parseSid(request))) return next();
    if (response instanceof ServerResponse) response.writeHead(503, drainingHeaders).end();
    else rejectUpgrade(response.socket, '503 Service Unavailable', drainingHeaders);
  };
}

function parseSid({ url = '/' }: IncomingMessage): string {
  return new URL(url, 'http://any').searchParams.get('sid') ?? '';
}
