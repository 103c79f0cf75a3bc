/**
 * Patches: engine.io@6.6.12, ws@8.23.0
 *
 * Change: listens to `upgrading`, `upgrade` and `packet` of a connection, and sets the limits of its transport.
 * Reason: engine.io has the same limit for all connections, with and without a token, and it does not limit upgrade
 * probes and attachments.
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

/**
 * Twice the limit for frames of connections without a token. A packet that is only slightly too large is still read, so
 * that the client receives an error with the reason.
 */
const unauthenticatedMessageBytes = 2 * unauthenticatedFrameBytes;
const unauthenticatedPolling: PollingLimits = {
  bodyBytes: 4 * unauthenticatedFrameBytes,
  packetBytes: unauthenticatedMessageBytes,
  packets: 16,
};

/**
 * These limits are generous, because older clients ignore `maxPayload` and put all their pending packets into one body.
 */
const framesPerBody = 16;
const packetsPerBody = 2_000;

/** How many probe packets a client may send for an upgrade. Normal clients send one. */
const maxProbes = 3;

interface Limits {
  /** The limit of the configuration for the frames of connections with a token. */
  frameBytes: number;
  messageBytes: number;
  polling: PollingLimits;
}

const limitsByConnection = new WeakMap<Connection, Limits>();
/** All connections with the same `frameBytes` share these objects, to save memory. */
const limitsByFrameBytes = new Map<number, { token: Limits; 'no token': Limits }>();
const probes = new WeakMap<object, number>();
/** For each connection, the total bytes of the attachments that have arrived for the current packet. */
const attachments = new Map<Connection, number>();

/**
 * Limits how much memory a new connection can use with the data that it sends. At first, the connection has no token.
 */
export function boundReceiving(connection: Connection, frameBytes: number): void {
  limitsByConnection.set(connection, findLimits(frameBytes, 'no token'));
  boundPolling(connection, unauthenticatedPolling);
  applyLimits.call(connection);
  connection.on('upgrading', limitProbes as () => void);
  connection.on('upgrade', applyLimits);
  connection.on('packet', limitAttachments as () => void);
  connection.on('close', forgetAttachments);
}

/** Sets the limits of a connection. Without a token, the limits are small and independent of the configuration. */
export function limitReceiving(connection: Connection, state: 'token' | 'no token'): void {
  const { frameBytes } = limitsByConnection.get(connection)!;
  limitsByConnection.set(connection, findLimits(frameBytes, state));
  applyLimits.call(connection);
}

function findLimits(frameBytes: number, state: 'token' | 'no token'): Limits {
  const known = limitsByFrameBytes.get(frameBytes) ?? createLimits(frameBytes);
  limitsByFrameBytes.set(frameBytes, known);
  return known[state];
}

function createLimits(frameBytes: number) {
  const polling = { bodyBytes: framesPerBody * frameBytes, packetBytes: frameBytes, packets: packetsPerBody };
  return {
    token: { frameBytes, messageBytes: frameBytes, polling },
    'no token': { frameBytes, messageBytes: unauthenticatedMessageBytes, polling: unauthenticatedPolling },
  };
}

/** Applies the limits of the connection to its current transport. Also called after an upgrade to another transport. */
function applyLimits(this: Connection): void {
  const { messageBytes, polling } = limitsByConnection.get(this)!;
  const { socket } = this.transport as Transport;
  if (socket) limitMessages(socket, messageBytes);
  else limitPolling(this, polling);
}

/**
 * Limits the number of probes that a client sends to test a new transport. Until the upgrade, the transport does not
 * belong to the connection, so no other limit applies to it.
 */
function limitProbes(this: Connection, transport: Transport): void {
  const count = (probes.get(transport) ?? 0) + 1;
  probes.set(transport, count);
  if (count > maxProbes) transport.socket?.terminate();
}

/**
 * Limits the bytes of binary attachments. The parser of Socket.IO keeps up to ten attachments in memory until a packet is
 * complete. Our protocol has no attachments, so no valid client reaches this limit.
 */
function limitAttachments(this: Connection, { type, data }: { type: string; data?: string | Buffer }): void {
  if (type !== 'message') return;
  if (typeof data === 'string' || !data) {
    if (attachments.size > 0) attachments.delete(this);
    return;
  }
  const { frameBytes } = limitsByConnection.get(this)!;
  const bytes = (attachments.get(this) ?? 0) + data.length;
  attachments.set(this, bytes);
  if (frameBytes > 0 && bytes > frameBytes) this.close(true);
}

function forgetAttachments(this: Connection): void {
  attachments.delete(this);
}
