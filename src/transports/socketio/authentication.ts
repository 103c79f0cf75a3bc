import type { Socket } from 'socket.io';
import type { Admission } from '../../auth/connection-limits.ts';
import type { Identity } from '../../auth/identity.ts';
import { parseBearer } from '../../auth/token-verification.ts';
import { ChatError, isTokenError } from '../../core/errors.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { maxInvalidTokens, unauthenticatedFrameBytes } from '../../core/limits/transport-limits.ts';
import { forgetHandshake } from '../../patches/engineio-forget-request.ts';
import { limitReceiving } from '../../patches/engineio-receive-limits.ts';
import type { LiveContext } from '../live-context.ts';
import { closeConnection } from './close-connection.ts';

type EngineConnection = Socket['conn'];

/**
 * How many packets a connection without a token may send. A client sends one for each namespace, and one for each
 * further token.
 */
const maxUnauthenticatedPackets = 16;

/** Connections that have sent a packet that is too large for a connection without a token. */
const oversizedConnections = new WeakSet<EngineConnection>();
const verifyingConnections = new WeakSet<EngineConnection>();
const invalidTokens = new WeakMap<EngineConnection, number>();
/** The connections without a token, each with the function that lifts its restrictions. */
const awaitingToken = new WeakMap<EngineConnection, () => void>();

/** Restricts a connection until it has a token: it has a deadline, counts as unauthenticated, and may send little. */
export function awaitToken(connection: EngineConnection, { connections, authTimeoutMs }: LiveContext): void {
  const release = connections.awaitToken(() => connection.close(true));
  const deadlineTimer = setTimeout(() => connection.close(true), authTimeoutMs);
  let packets = 0;
  // The engine emits 'packet' before Socket.IO decodes the packet.
  const onPacket = ({ type, data = '' }: { type: string; data?: string | Buffer }) => {
    if (type !== 'message') return;
    packets += 1;
    if (packets > maxUnauthenticatedPackets || typeof data !== 'string') return void connection.close(true);
    if (Buffer.byteLength(data) <= unauthenticatedFrameBytes) return;
    oversizedConnections.add(connection);
    // The connection is closed one tick later: if this is a CONNECT packet, `authenticate` first sends the client the
    // reason for the refusal.
    setImmediate(() => closeConnection(connection));
  };
  const stopAwaiting = () => {
    release();
    clearTimeout(deadlineTimer);
    connection.off('packet', onPacket);
    connection.off('close', stopAwaiting);
    awaitingToken.delete(connection);
    limitReceiving(connection, 'token');
  };
  limitReceiving(connection, 'no token');
  connection.on('packet', onPacket);
  connection.once('close', stopAwaiting);
  awaitingToken.set(connection, stopAwaiting);
}

/**
 * Verifies the token of a connect, and counts the connection as a connection of its user. The caller releases the admission
 * when the socket disconnects.
 */
export async function authenticate(
  socket: Socket,
  { authenticator, connections, context }: LiveContext,
): Promise<{ identity: Identity; admission: Admission }> {
  if (oversizedConnections.has(socket.conn)) {
    const message = `Before a token is accepted, a packet may have at most ${unauthenticatedFrameBytes} bytes`;
    throw new ChatError('TOO_LARGE', { field: 'token', message });
  }
  // Only one token is verified at a time. Otherwise a burst of connects would get more attempts than
  // `maxInvalidTokens`.
  if (verifyingConnections.has(socket.conn))
    throw new ChatError('UNAUTHENTICATED', { message: 'Wait for the answer to the previous connect' });
  verifyingConnections.add(socket.conn);
  const given: unknown = socket.handshake.auth.token ?? parseBearer(socket.handshake.headers.authorization);
  const identity = await authenticator.verify(given).finally(() => verifyingConnections.delete(socket.conn));
  context.requestLimits.consume(identity.actor.user, costs.token);
  const admission = await connections.admit(identity.actor.user);
  // A connection that closes before Socket.IO has added the socket to the namespace causes no `disconnect` event. Socket.IO
  // adds the socket in this tick, so this is checked after it.
  setImmediate(() => {
    if (!socket.connected) admission.release();
  });
  awaitingToken.get(socket.conn)?.();
  forgetHandshake(socket);
  return { identity, admission };
}

/** Returns the `connect_error`. Counts invalid tokens; the last attempt also closes the connection, after the error. */
export function rejectConnect(socket: Socket, thrown: unknown, { metrics, logger }: LiveContext): Error {
  const error = ChatError.from(thrown);
  metrics.refused('socketio', error.code);
  if (error.code === 'INTERNAL') logger.error({ err: error.cause }, 'connect failed');
  const attempts = (invalidTokens.get(socket.conn) ?? 0) + (isTokenError(error.code) ? 1 : 0);
  invalidTokens.set(socket.conn, attempts);
  if (attempts >= maxInvalidTokens) setImmediate(() => closeConnection(socket.conn));
  return toConnectError(error);
}

function toConnectError(error: ChatError): Error & { data: object } {
  const { code, message, field, retryAfterMs } = error;
  const more = { ...(field && { field }), ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }) };
  return Object.assign(new Error(message), { data: { code, message, ...more } });
}
