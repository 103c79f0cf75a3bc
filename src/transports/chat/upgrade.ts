import { isUtf8 } from 'node:buffer';
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { errors } from '../../core/errors.ts';
import { sendBufferCheckMs, unauthenticatedFrameBytes } from '../../core/limits/transport-limits.ts';
import { BoundedWebSocketServer } from '../../patches/ws-bounded-server.ts';
import { describeRejectedOrigin } from '../allowed-origins.ts';
import type { LiveContext } from '../live-context.ts';
import { drainingHeaders, rejectUpgrade } from '../reject-upgrade.ts';
import type { ChatBroadcaster } from './broadcaster.ts';
import { WebSocketLink } from './link.ts';
import { Pings } from './pings.ts';
import { ChatSession } from './session.ts';

export interface ChatServer {
  /** The number of connections, including those that are closing. */
  readonly size: number;
  /** The bytes that were written to all connections and are not sent yet. */
  readonly sendBufferBytes: number;
  /** Starts to close up to `max` open connections. Returns how many it closes. */
  closeUpTo(max: number): number;
  close(): void;
}

/** Serves `/chat`. Rejects upgrades to any other path, except the path of Socket.IO, which serves its own. */
export function serveChat(
  http: HttpServer,
  live: LiveContext,
  broadcaster: ChatBroadcaster,
  ioPath: string,
): ChatServer {
  const sessions = new Map<WebSocket, ChatSession>();
  const pings = new Pings(live.pingIntervalMs);
  const server = new BoundedWebSocketServer({
    noServer: true,
    maxPayload: unauthenticatedFrameBytes,
    onPong: (webSocket) => pings.receivePong(webSocket),
  });

  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const path = getPath(request);
    if (path?.startsWith(ioPath)) return;
    if (path !== '/chat' && path !== '/chat/') return rejectUpgrade(socket, '404 Not Found');
    if (!live.isAllowedOrigin(request)) return rejectUpgrade(socket, '403 Forbidden', {}, formatOriginError(request));
    live.handshakes.add(socket, () => {
      if (live.context.isDraining) return rejectUpgrade(socket, '503 Service Unavailable', drainingHeaders);
      server.handleUpgrade(request, socket, head, accept);
    });
  });

  function accept(webSocket: WebSocket): void {
    sessions.set(
      webSocket,
      new ChatSession(new WebSocketLink(webSocket, live.limits.sendBufferBytes), live, broadcaster),
    );
    pings.add(webSocket);
    live.metrics.connected('chat');
    webSocket.on('message', onMessage).on('error', onError).on('close', onClose);
  }

  // All connections share these functions. A closure for each connection would need more memory than its session.
  function onMessage(this: WebSocket, data: Buffer, isBinary: boolean): void {
    // `ws` checks only text frames.
    if (isBinary && !isUtf8(data)) sessions.get(this)?.onInvalidUtf8();
    else sessions.get(this)?.onFrame(data.toString());
  }
  /** A 'close' event follows every error, so there is nothing to clean up here. */
  function onError(error: Error): void {
    live.logger.debug({ err: error }, '/chat connection failed');
  }
  function onClose(this: WebSocket): void {
    sessions.get(this)?.end();
    sessions.delete(this);
    pings.remove(this);
    live.metrics.disconnected('chat');
  }

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
      pings.stop();
      clearInterval(sendBufferCheck);
      for (const webSocket of sessions.keys()) webSocket.terminate();
      server.close();
    },
  };
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
