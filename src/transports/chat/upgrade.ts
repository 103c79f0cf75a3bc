import { isUtf8 } from 'node:buffer';
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { congestedBytes } from '../../core/ephemeral.ts';
import { type CloseReason, closeCodes, errors } from '../../core/errors.ts';
import { sendBufferCheckMs, unauthenticatedFrameBytes } from '../../core/limits/transport-limits.ts';
import { BoundedWebSocketServer, limitMessages } from '../../patches/ws-bounded-server.ts';
import { describeRejectedOrigin } from '../allowed-origins.ts';
import { encodeFrame, writeFrames } from '../broadcast-batcher.ts';
import type { LiveContext } from '../live-context.ts';
import { drainingHeaders, rejectUpgrade } from '../reject-upgrade.ts';
import type { ChatBroadcaster } from './broadcaster.ts';
import { type ChatLink, ChatSession } from './session.ts';

export interface ChatServer {
  /** Connections that are not gone yet. */
  readonly size: number;
  /** Bytes that were written to all of them and not sent yet. */
  readonly sendBufferBytes: number;
  /** Begins to close so many of those that are open, and says how many it found. */
  closeUpTo(max: number): number;
  close(): void;
}

/** Serves `/chat`, and refuses at once every upgrade that nobody serves. */
export function serveChat(
  http: HttpServer,
  live: LiveContext,
  broadcaster: ChatBroadcaster,
  ioPath: string,
): ChatServer {
  const server = new BoundedWebSocketServer({ noServer: true, maxPayload: unauthenticatedFrameBytes });
  const sessions = new Map<WebSocket, ChatSession>();
  const awaitingPong = new WeakSet<WebSocket>();

  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const path = getPath(request);
    if (path?.startsWith(ioPath)) return;
    if (path !== '/chat' && path !== '/chat/') return rejectUpgrade(socket, '404 Not Found');
    if (!live.isAllowedOrigin(request)) return rejectUpgrade(socket, '403 Forbidden', {}, formatOriginError(request));
    if (live.context.isDraining) return rejectUpgrade(socket, '503 Service Unavailable', drainingHeaders);
    // The socket's own errors have no other listener until `ws` takes it over.
    socket.on('error', () => socket.destroy());
    server.handleUpgrade(request, socket, head, (webSocket) => accept(webSocket));
  });

  function accept(webSocket: WebSocket): void {
    sessions.set(webSocket, new ChatSession(new Connection(webSocket, live.limits.sendBufferBytes), live, broadcaster));
    live.metrics.connected('chat');
    webSocket.on('message', onMessage).on('pong', onPong).on('error', onError).on('close', onClose);
  }

  // One function each for all connections, which are many: a closure for each of them would weigh more than its session.
  function onMessage(this: WebSocket, data: Buffer, isBinary: boolean): void {
    // `ws` checks text frames itself.
    if (isBinary && !isUtf8(data)) sessions.get(this)?.onInvalidUtf8();
    else sessions.get(this)?.onFrame(data.toString());
  }
  function onPong(this: WebSocket): void {
    awaitingPong.delete(this);
  }
  /** The close that follows says the rest. */
  function onError(error: Error): void {
    live.logger.debug({ err: error }, 'a /chat connection failed');
  }
  function onClose(this: WebSocket): void {
    sessions.get(this)?.end();
    sessions.delete(this);
    live.metrics.disconnected('chat');
  }

  /** A connection that did not answer the ping before is half open. */
  const pingTimer = setInterval(() => {
    for (const webSocket of sessions.keys()) {
      if (awaitingPong.has(webSocket)) webSocket.terminate();
      awaitingPong.add(webSocket);
      if (webSocket.readyState === webSocket.OPEN) webSocket.ping();
    }
  }, live.pingIntervalMs).unref();
  const sendBufferCheck = setInterval(() => {
    for (const session of sessions.values()) session.checkSendBuffer();
  }, sendBufferCheckMs).unref();

  return {
    get size() {
      return sessions.size;
    },
    get sendBufferBytes() {
      let bytes = 0;
      for (const webSocket of sessions.keys()) bytes += webSocket.bufferedAmount;
      return bytes;
    },
    closeUpTo(max) {
      const open = [...sessions].filter(([webSocket]) => webSocket.readyState === webSocket.OPEN).slice(0, max);
      for (const [, session] of open) session.drain();
      return open.length;
    },
    close() {
      clearInterval(pingTimer);
      clearInterval(sendBufferCheck);
      for (const webSocket of sessions.keys()) webSocket.terminate();
      server.close();
    },
  };
}

class Connection implements ChatLink {
  readonly #webSocket: WebSocket;
  readonly #maxSendBufferBytes: number;

  constructor(webSocket: WebSocket, maxSendBufferBytes: number) {
    this.#webSocket = webSocket;
    this.#maxSendBufferBytes = maxSendBufferBytes;
  }

  close(reason: CloseReason): void {
    const { code, reason: text } = closeCodes[reason];
    this.#webSocket.close(code, text);
  }

  send(frames: string | readonly Buffer[]): boolean {
    const webSocket = this.#webSocket;
    if (webSocket.readyState === webSocket.OPEN) {
      writeFrames(webSocket, typeof frames === 'string' ? [encodeFrame(frames)] : frames);
    }
    return !this.isSendBufferFull;
  }

  get isSendBufferFull(): boolean {
    return this.#maxSendBufferBytes > 0 && this.#webSocket.bufferedAmount > this.#maxSendBufferBytes;
  }

  get isCongested(): boolean {
    return this.#webSocket.bufferedAmount > congestedBytes;
  }

  limitMessages(bytes: number): boolean {
    return limitMessages(this.#webSocket, bytes);
  }

  setReading(isReading: boolean): void {
    if (isReading) this.#webSocket.resume();
    else this.#webSocket.pause();
  }
}

function formatOriginError({ headers }: IncomingMessage): object {
  const { http: code, message } = errors.FORBIDDEN;
  return {
    meta: { code, message, reason: 'FORBIDDEN', detail: describeRejectedOrigin(headers.origin) },
    content: null,
  };
}

function getPath({ url }: IncomingMessage): string | undefined {
  return url?.split('?', 1)[0];
}
