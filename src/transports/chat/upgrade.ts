import { isUtf8 } from 'node:buffer';
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { type CloseReason, closeCodes, errors } from '../../core/errors.ts';
import { sendBufferCheckMs, unauthenticatedFrameBytes } from '../../core/limits/transport-limits.ts';
import { BoundedWebSocketServer, limitMessages } from '../../patches/ws-bounded-server.ts';
import { originRefusal } from '../allowed-origins.ts';
import { frameOf, writeFrames } from '../broadcast-batcher.ts';
import type { Live } from '../live-context.ts';
import { drainingHeaders, refuseUpgrade } from '../reject-upgrade.ts';
import type { ChatAudience } from './broadcaster.ts';
import { type ChatConnection, ChatSession } from './session.ts';

export interface ChatServer {
  /** Connections that are not gone yet. */
  readonly size: number;
  /** Bytes that were written to all of them and not sent yet. */
  readonly unsentBytes: number;
  /** Begins to close so many of those that are open, and says how many it found. */
  closeSome(most: number): number;
  close(): void;
}

/** Serves `/chat`, and refuses at once every upgrade that nobody serves. */
export function serveChat(http: HttpServer, live: Live, audience: ChatAudience, ioPath: string): ChatServer {
  const server = new BoundedWebSocketServer({ noServer: true, maxPayload: unauthenticatedFrameBytes });
  const sessions = new Map<WebSocket, ChatSession>();
  const silent = new WeakSet<WebSocket>();

  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const path = pathOf(request);
    if (path?.startsWith(ioPath)) return;
    if (path !== '/chat' && path !== '/chat/') return refuseUpgrade(socket, '404 Not Found');
    if (!live.isAllowedOrigin(request)) return refuseUpgrade(socket, '403 Forbidden', {}, originRefused(request));
    if (live.rooms.isDraining) return refuseUpgrade(socket, '503 Service Unavailable', drainingHeaders);
    // The socket's own errors have no other listener until `ws` takes it over.
    socket.on('error', () => socket.destroy());
    server.handleUpgrade(request, socket, head, (webSocket) => take(webSocket));
  });

  function take(webSocket: WebSocket): void {
    sessions.set(webSocket, new ChatSession(new Connection(webSocket, live.limits.unsentBytes), live, audience));
    live.metrics.connected('chat');
    webSocket.on('message', hear).on('pong', hearPong).on('error', fail).on('close', end);
  }

  // One function each for all connections, which are many: a closure for each of them would weigh more than its session.
  function hear(this: WebSocket, data: Buffer, isBinary: boolean): void {
    // `ws` checks text frames itself.
    if (isBinary && !isUtf8(data)) sessions.get(this)?.refuseBytes();
    else sessions.get(this)?.hear(data.toString());
  }
  function hearPong(this: WebSocket): void {
    silent.delete(this);
  }
  /** The close that follows says the rest. */
  function fail(error: Error): void {
    live.logger.debug({ err: error }, 'a /chat connection failed');
  }
  function end(this: WebSocket): void {
    sessions.get(this)?.end();
    sessions.delete(this);
    live.metrics.disconnected('chat');
  }

  /** A connection that did not answer the ping before is half open. */
  const ping = setInterval(() => {
    for (const webSocket of sessions.keys()) {
      if (silent.has(webSocket)) webSocket.terminate();
      silent.add(webSocket);
      if (webSocket.readyState === webSocket.OPEN) webSocket.ping();
    }
  }, live.pingMs).unref();
  const unsentCheck = setInterval(() => {
    for (const session of sessions.values()) session.checkUnsent();
  }, sendBufferCheckMs).unref();

  return {
    get size() {
      return sessions.size;
    },
    get unsentBytes() {
      let bytes = 0;
      for (const webSocket of sessions.keys()) bytes += webSocket.bufferedAmount;
      return bytes;
    },
    closeSome(most) {
      const open = [...sessions].filter(([webSocket]) => webSocket.readyState === webSocket.OPEN).slice(0, most);
      for (const [, session] of open) session.drain();
      return open.length;
    },
    close() {
      clearInterval(ping);
      clearInterval(unsentCheck);
      for (const webSocket of sessions.keys()) webSocket.terminate();
      server.close();
    },
  };
}

class Connection implements ChatConnection {
  readonly #webSocket: WebSocket;
  readonly #mostUnsentBytes: number;

  constructor(webSocket: WebSocket, mostUnsentBytes: number) {
    this.#webSocket = webSocket;
    this.#mostUnsentBytes = mostUnsentBytes;
  }

  close(reason: CloseReason): void {
    const { code, reason: text } = closeCodes[reason];
    this.#webSocket.close(code, text);
  }

  send(frames: string | readonly Buffer[]): boolean {
    const webSocket = this.#webSocket;
    if (webSocket.readyState === webSocket.OPEN) {
      writeFrames(webSocket, typeof frames === 'string' ? [frameOf(frames)] : frames);
    }
    return !this.hasTooMuchUnsent;
  }

  get hasTooMuchUnsent(): boolean {
    return this.#mostUnsentBytes > 0 && this.#webSocket.bufferedAmount > this.#mostUnsentBytes;
  }

  limitMessages(bytes: number): boolean {
    return limitMessages(this.#webSocket, bytes);
  }

  setReading(reading: boolean): void {
    if (reading) this.#webSocket.resume();
    else this.#webSocket.pause();
  }
}

function originRefused({ headers }: IncomingMessage): object {
  const { http: code, message } = errors.FORBIDDEN;
  return { meta: { code, message, reason: 'FORBIDDEN', detail: originRefusal(headers.origin) }, content: null };
}

function pathOf({ url }: IncomingMessage): string | undefined {
  return url?.split('?', 1)[0];
}
