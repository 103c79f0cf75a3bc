/**
 * Patches: ws@8.23.0
 *
 * Change: extends `WebSocketServer`, and sets the private limits of each receiver.
 * Reason: the limits of `ws` cannot be changed after a connection has been accepted, and `ws` does not limit pings.
 * Test: test/unit/patches/ws-bounded-server.test.ts
 */

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { closeCodes } from '../core/errors.ts';
import { closeTimeoutMs } from '../core/limits/transport-limits.ts';
import { compactListeners } from './events-compact-listeners.ts';
import { spreadEnd } from './ws-spread-ends.ts';

/** How many pings and pongs a connection may send per second. */
export const maxControlFramesPerSecond = 60;

/** A client with more unread bytes gets no pongs: they would only wait behind the unread data, and use memory. */
const maxUnreadBytes = 1_048_576;

interface BoundedServerOptions extends ServerOptions {
  maxPayload: number;
  /** Called for each pong. An option, because a listener on every connection would need more memory. */
  onPong?: (webSocket: WebSocket) => void;
}

/**
 * The WebSocket server of both live transports. It limits how much memory a client can use, from the first byte of its
 * connection: the size of messages, the number of fragments, buffered chunks and pings, and the duration of the closing
 * handshake.
 */
export class BoundedWebSocketServer extends WebSocketServer {
  readonly #controlFrames = new Map<WebSocket, number>();
  /** All connections share these listeners, which saves memory. */
  readonly #onPing: (this: WebSocket, data: Buffer) => void;
  readonly #onPong: (this: WebSocket) => void;

  constructor({ onPong, ...options }: BoundedServerOptions) {
    const { payload, fragments, chunks } = computeReceiverLimits(options.maxPayload);
    // This is a separate object, because the types of `ws` do not declare all of these options yet.
    const bounds = {
      maxPayload: payload,
      maxFragments: fragments,
      maxBufferedChunks: chunks,
      closeTimeout: closeTimeoutMs,
    };
    // These options save memory. Both transports have lists of their connections, and the class answers pings itself.
    super({ ...options, ...bounds, perMessageDeflate: false, clientTracking: false, autoPong: false });
    const count = (webSocket: WebSocket) => this.#countControlFrame(webSocket);
    this.#onPing = function (data) {
      count(this);
      if (this.readyState === this.OPEN && this.bufferedAmount <= maxUnreadBytes) this.pong(data);
    };
    this.#onPong = function () {
      count(this);
      onPong?.(this);
    };
  }

  override handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    callback: (webSocket: WebSocket, request: IncomingMessage) => void,
  ): void {
    super.handleUpgrade(request, socket, head, (webSocket, upgraded) => {
      webSocket.on('ping', this.#onPing).on('pong', this.#onPong);
      spreadEnd(socket);
      callback(webSocket, upgraded);
      compactListeners(webSocket);
    });
  }

  /**
   * Closes a connection that sends too many pings and pongs. Even a small fragment of a message keeps the whole chunk in
   * memory in which it arrived (up to 64 KiB). A client could send small fragments and fill the rest of each chunk with
   * pings.
   */
  #countControlFrame(webSocket: WebSocket): void {
    if (this.#controlFrames.size === 0) setTimeout(() => this.#controlFrames.clear(), 1_000).unref();
    const count = (this.#controlFrames.get(webSocket) ?? 0) + 1;
    this.#controlFrames.set(webSocket, count);
    if (count <= maxControlFramesPerSecond) return;
    const { code, reason } = closeCodes.too_many_frames;
    webSocket.close(code, reason);
  }
}

/** Private fields of `ws@8.23.0`. They contain the limits of a connection; there is no public API to change them. */
interface Receiver {
  _maxPayload: number;
  _maxFragments: number;
  _maxBufferedChunks: number;
  /** The bytes that have arrived so far of the current message. */
  _totalPayloadLength: number;
}

/**
 * Limits the size of the messages that the client of the connection may send. 0 means no limit. Returns false if the
 * message that is currently arriving is already larger. `test/transports/receive-limits.test.ts` fails if a new version
 * of `ws` has other private fields.
 */
export function limitMessages(webSocket: WebSocket, bytes: number): boolean {
  const { _receiver: receiver } = webSocket as unknown as { _receiver: Receiver };
  const { payload, fragments, chunks } = computeReceiverLimits(bytes);
  receiver._maxPayload = payload;
  receiver._maxFragments = fragments;
  receiver._maxBufferedChunks = chunks;
  return payload === 0 || receiver._totalPayloadLength <= payload;
}

/**
 * Computes limits that are large enough for clients that split a message into fragments of 1,000 bytes, and for
 * networks with the smallest packets.
 */
function computeReceiverLimits(bytes: number) {
  if (bytes === 0) return { payload: 0, fragments: 16_384, chunks: 262_144 };
  return {
    payload: bytes,
    fragments: Math.max(16, Math.ceil(bytes / 1_000)),
    chunks: Math.max(64, Math.ceil(bytes / 256)),
  };
}
