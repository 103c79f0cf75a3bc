/**
 * Patches: engine.io@6.6.12, ws@8.23.0
 *
 * Change: listens to `upgrading`, `upgrade` and `packet` of a connection, and sets the limits of its transport.
 * Reason: engine.io has one limit for all connections, whether they have a token or not, and none for probes and
 * attachments.
 * Test: test/transports/receive-limits.test.ts
 */

import type { Socket } from 'socket.io';
import type { WebSocket } from 'ws';
import { unauthenticatedFrameBytes } from '../core/limits/transport-limits.ts';
import { boundPolling, limitPolling, type PollingLimits } from './engineio-bounded-polling.ts';
import { limitMessages } from './ws-bounded-server.ts';

type Connection = Socket['conn'];
interface Transport {
  socket?: WebSocket;
}

/** A packet that is somewhat too large for a connection without a token is still read, and refused with the reason. */
const unauthenticatedMessageBytes = 2 * unauthenticatedFrameBytes;
const unauthenticatedPolling: PollingLimits = {
  bodyBytes: 4 * unauthenticatedFrameBytes,
  packetBytes: unauthenticatedMessageBytes,
  packets: 16,
};

/** Older clients put all that they have to say into one body, whatever they were told of its size. */
const framesPerBody = 16;
const packetsPerBody = 2_000;

/** Probes for an upgrade; a client sends one. */
const maxProbes = 3;

interface Limits {
  messageBytes: number;
  polling: PollingLimits;
}

const limitsByConnection = new WeakMap<Connection, Limits>();
const frameBytesByConnection = new WeakMap<Connection, number>();
const probes = new WeakMap<object, number>();
/** Attachments of the packet that is arriving, by connection. */
const attachments = new Map<Connection, number>();

/** Bounds what a new connection can make the process hold. A connection starts without a token. */
export function boundReceiving(connection: Connection, frameBytes: number): void {
  frameBytesByConnection.set(connection, frameBytes);
  boundPolling(connection, unauthenticatedPolling);
  limitReceiving(connection, 'no token');
  connection.on('upgrading', limitProbes as () => void);
  connection.on('upgrade', applyLimits);
  connection.on('packet', limitAttachments as () => void);
  connection.on('close', forgetAttachments);
}

/** Before a token little is taken, whatever the configuration says. */
export function limitReceiving(connection: Connection, state: 'token' | 'no token'): void {
  const frameBytes = frameBytesByConnection.get(connection) ?? 0;
  const polling = { bodyBytes: framesPerBody * frameBytes, packetBytes: frameBytes, packets: packetsPerBody };
  limitsByConnection.set(
    connection,
    state === 'token'
      ? { messageBytes: frameBytes, polling }
      : { messageBytes: unauthenticatedMessageBytes, polling: unauthenticatedPolling },
  );
  applyLimits.call(connection);
}

/** To the transport that the connection has now. */
function applyLimits(this: Connection): void {
  const { messageBytes, polling } = limitsByConnection.get(this)!;
  const { socket } = this.transport as Transport;
  if (socket) limitMessages(socket, messageBytes);
  else limitPolling(this, polling);
}

/** Each is answered by a transport that is not the connection's yet, and that nobody else looks at. */
function limitProbes(this: Connection, transport: Transport): void {
  const count = (probes.get(transport) ?? 0) + 1;
  probes.set(transport, count);
  if (count > maxProbes) transport.socket?.terminate();
}

/** The parser keeps up to ten of them until the last has come. Nothing in the protocol needs one. */
function limitAttachments(this: Connection, { type, data }: { type: string; data?: string | Buffer }): void {
  if (type !== 'message') return;
  if (typeof data === 'string' || !data) {
    if (attachments.size > 0) attachments.delete(this);
    return;
  }
  const frameBytes = frameBytesByConnection.get(this) ?? 0;
  const bytes = (attachments.get(this) ?? 0) + data.length;
  attachments.set(this, bytes);
  if (frameBytes > 0 && bytes > frameBytes) this.close(true);
}

function forgetAttachments(this: Connection): void {
  attachments.delete(this);
}
