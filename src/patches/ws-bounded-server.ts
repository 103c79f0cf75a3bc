/**
 * Patches: ws@8.23.0
 *
 * Change: extends `WebSocketServer`, and sets the private limits of each receiver.
 * Reason: `ws` fixes its limits when a connection is accepted, and has none for pings.
 * Test: test/unit/patches/ws-bounded-server.test.ts
 */

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { closeCodes } from '../core/errors.ts';
import { closeTimeoutMs } from '../core/limits/transport-limits.ts';

/** Pings and pongs of one connection in a second. */
export const maxControlFramesPerSecond = 60;

/**
 * The WebSocket server of both live transports. It bounds what a peer can make the process hold, from the first byte of
 * a connection: message size, fragments, buffered chunks, pings, and the duration of a closing handshake.
 */
export class BoundedWebSocketServer extends WebSocketServer {
  readonly #controlFrames = new Map<WebSocket, number>();
  /** One function for all connections. */
  readonly #onControlFrame: (this: WebSocket) => void;

  constructor(options: ServerOptions & { maxPayload: number }) {
    const { payload, fragments, chunks } = computeReceiverLimits(options.maxPayload);
    // The types of `ws` lag behind it.
    const bounds = {
      maxPayload: payload,
      maxFragments: fragments,
      maxBufferedChunks: chunks,
      closeTimeout: closeTimeoutMs,
    };
    super({ ...options, ...bounds, perMessageDeflate: false });
    const count = (webSocket: WebSocket) => this.#countControlFrame(webSocket);
    this.#onControlFrame = function () {
      count(this);
    };
  }

  override handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    callback: (webSocket: WebSocket, request: IncomingMessage) => void,
  ): void {
    super.handleUpgrade(request, socket, head, (webSocket, upgraded) => {
      webSocket.on('ping', this.#onControlFrame).on('pong', this.#onControlFrame);
      callback(webSocket, upgraded);
    });
  }

  /** Between the fragments of a message they keep alive what they arrived with, up to 64 KiB for each fragment. */
  #countControlFrame(webSocket: WebSocket): void {
    if (this.#controlFrames.size === 0) setTimeout(() => this.#controlFrames.clear(), 1_000).unref();
    const count = (this.#controlFrames.get(webSocket) ?? 0) + 1;
    this.#controlFrames.set(webSocket, count);
    if (count <= maxControlFramesPerSecond) return;
    const { code, reason } = closeCodes.too_many_frames;
    webSocket.close(code, reason);
  }
}

/** `ws@8.23.0` reads these at each step, and lets nobody change them. */
interface Receiver {
  _maxPayload: number;
  _maxFragments: number;
  _maxBufferedChunks: number;
  /** Of the message that is arriving. */
  _totalPayloadLength: number;
}

/**
 * From now on the connection may send messages of so many bytes (0: any). False where the one that is arriving is
 * larger already. `test/transports/receive-limits.test.ts` fails if an upgrade of `ws` changes its receiver.
 */
export function limitMessages(webSocket: WebSocket, bytes: number): boolean {
  const { _receiver: receiver } = webSocket as unknown as { _receiver: Receiver };
  const { payload, fragments, chunks } = computeReceiverLimits(bytes);
  receiver._maxPayload = payload;
  receiver._maxFragments = fragments;
  receiver._maxBufferedChunks = chunks;
  return payload === 0 || receiver._totalPayloadLength <= payload;
}

/** Enough for clients that cut a message every 1,000 bytes, over networks with the smallest packets. */
function computeReceiverLimits(bytes: number) {
  if (bytes === 0) return { payload: 0, fragments: 16_384, chunks: 262_144 };
  return {
    payload: bytes,
    fragments: Math.max(16, Math.ceil(bytes / 1_000)),
    chunks: Math.max(64, Math.ceil(bytes / 256)),
  };
}
