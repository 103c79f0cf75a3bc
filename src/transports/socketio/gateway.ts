import { randomBytes } from 'node:crypto';
import type { Server as HttpServer } from 'node:http';
import { Server, type Socket } from 'socket.io';
import { namespace } from '../../core/contract/socketio.ts';
import type { EphemeralBroadcaster } from '../../core/ephemeral.ts';
import type { Broadcaster } from '../../core/feed/subscriber.ts';
import { sendBufferCheckMs } from '../../core/limits/transport-limits.ts';
import { toChangeEvent } from '../../core/log/change-kinds.ts';
import { createFlushPerTick, getSendBufferBytes } from '../../patches/engineio-flush-per-tick.ts';
import { forgetRequest } from '../../patches/engineio-forget-request.ts';
import { boundReceiving } from '../../patches/engineio-receive-limits.ts';
import { compactSocket } from '../../patches/socketio-compact-socket.ts';
import {
  countDeliveries,
  countDropped,
  createRoomsAdapter,
  finishWriting,
} from '../../patches/socketio-rooms-adapter.ts';
import { BoundedWebSocketServer } from '../../patches/ws-bounded-server.ts';
import { describeRejectedOrigin, type IsAllowedOrigin } from '../allowed-origins.ts';
import type { LiveContext } from '../live-context.ts';
import { authenticate, awaitToken, rejectConnect } from './authentication.ts';
import { closeConnection } from './close-connection.ts';
import { answerDefaultNamespace } from './default-namespace.ts';
import { rejectHandshakesWhileDraining } from './draining-handshakes.ts';
import { queueHandshakes } from './queued-handshakes.ts';
import { rejectOtherProtocols } from './reject-protocols.ts';
import { type RoomsNamespace, type RoomsSocket, SocketSession, toRoomName, toTopicName } from './socket-session.ts';
import type { WorkerSessions } from './worker-sessions.ts';

type EngineConnection = Socket['conn'];

export interface Gateway {
  broadcaster: Broadcaster & EphemeralBroadcaster;
  /** Starts to accept connections. */
  open(live: LiveContext): void;
  /**
   * Asks all clients to reconnect, at times that are spread over `spreadMs` from now. Resolves when all have been asked,
   * after several ticks if there are many.
   */
  broadcastDraining(spreadMs: number): Promise<void>;
  /** The number of connections, including those that are closing. */
  readonly size: number;
  /** The bytes that were written to all connections and are not sent yet. */
  readonly sendBufferBytes: number;
  /** How often a packet of a room has been written to a connection. */
  readonly deliveries: number;
  /** How many ephemeral events were not written, because the connection was congested. */
  readonly dropped: number;
  /** Starts to close up to `max` open connections. Returns how many it closes. */
  closeUpTo(max: number): number;
  close(): Promise<void>;
}

interface Settings {
  frameBytes: number;
  pingIntervalMs: number;
  authTimeoutMs: number;
  nodeName: string | undefined;
  /** Undefined if this process is the only one on its port. */
  workerSessions: WorkerSessions | undefined;
  allowedOrigins: string[] | undefined;
  isAllowedOrigin: IsAllowedOrigin;
}

/** Serves live rooms on Socket.IO. A room of the service is the Socket.IO room `room:<id>` of the namespace. */
export function createSocketioGateway(
  http: HttpServer,
  settings: Settings,
  onError: (error: unknown) => void,
): Gateway {
  const { frameBytes, pingIntervalMs, authTimeoutMs, nodeName, allowedOrigins, isAllowedOrigin } = settings;
  const { workerSessions } = settings;
  const io = new Server(http, {
    serveClient: false,
    destroyUpgrade: false,
    perMessageDeflate: false,
    httpCompression: false,
    // engine.io may depend on another version of `ws`, without our limits.
    wsEngine: BoundedWebSocketServer,
    // Clients receive this limit. The limit that is enforced depends on the connection, see `boundReceiving`.
    maxHttpBufferSize: frameBytes || Number.MAX_SAFE_INTEGER,
    pingInterval: pingIntervalMs,
    connectTimeout: authTimeoutMs,
    cors: allowedOrigins ? { origin: allowedOrigins, credentials: true } : { origin: '*' },
    allowRequest(request, decide) {
      const isAllowed = isAllowedOrigin(request);
      decide(isAllowed ? null : describeRejectedOrigin(request.headers.origin), isAllowed);
    },
  });
  // All long-polling requests of a session must reach the same node. A balancer finds the node in the session's id.
  if (workerSessions) io.engine.generateId = workerSessions.generateId;
  else if (nodeName) io.engine.generateId = () => `${nodeName}.${randomBytes(15).toString('base64url')}`;
  const sessions = new Map<string, EngineConnection>();
  io.adapter(createRoomsAdapter(onError));
  const rooms: RoomsNamespace = io.of(namespace);
  function forgetSession(this: EngineConnection): void {
    sessions.delete(getSid(this));
  }
  let sendBufferCheck: NodeJS.Timeout | undefined;
  return {
    broadcaster: {
      publish(change) {
        const room = toRoomName(change.room_id);
        if (!rooms.adapter.rooms.has(room)) return;
        const { name, payload } = toChangeEvent(change);
        rooms.local.to(room).emit(name, payload);
      },
      publishEphemeral({ room_id, topic, name, payload }) {
        const room = topic === undefined ? toRoomName(room_id) : toTopicName(room_id, topic);
        if (!rooms.adapter.rooms.has(room)) return false;
        finishWriting(rooms, toRoomName(room_id));
        const before = countDropped(rooms);
        rooms.local.volatile.to(room).emit(name, payload);
        return countDropped(rooms) > before;
      },
      hasFollowers: (room, topic) => rooms.adapter.rooms.has(toTopicName(room, topic)),
    },
    open(live) {
      const isDraining = () => live.context.isDraining;
      const flushPerTick = createFlushPerTick(live.limits.sendBufferBytes, () =>
        live.metrics.closedSlowConsumer('socketio'),
      );
      sendBufferCheck = setInterval(() => {
        for (const connection of sessions.values()) flushPerTick.check(connection);
      }, sendBufferCheckMs).unref();
      if (workerSessions) io.engine.use(workerSessions.route);
      io.engine.use(queueHandshakes(live.handshakes));
      io.engine.use(rejectHandshakesWhileDraining({ isDraining, hasSession: (sid) => sessions.has(sid) }));
      io.engine.use(rejectOtherProtocols);
      answerDefaultNamespace(io, live);
      io.engine.on('connection', (connection: EngineConnection) => {
        const sid = getSid(connection);
        sessions.set(sid, connection);
        connection.on('close', forgetSession);
        flushPerTick.add(connection);
        boundReceiving(connection, frameBytes);
        forgetRequest(connection);
        awaitToken(connection, live);
      });
      rooms.use((socket, next) => {
        // After a `connect_error`, the client would not reconnect. After a closed connection, it reconnects to another
        // node.
        if (live.context.isDraining) return closeConnection(socket.conn);
        authenticate(socket, live).then(
          (authenticated) => {
            Object.assign(socket.data, authenticated);
            next();
          },
          (error) => next(rejectConnect(socket, error, live)),
        );
      });
      // All sockets share this function, to save memory.
      function onDisconnect(this: RoomsSocket): void {
        this.data.session.end();
        this.data.admission.release();
        live.metrics.disconnected('socketio');
        // The engine's connection may remain open after its socket has left the namespace. Then it has no token again.
        if (this.conn.readyState === 'open') awaitToken(this.conn, live);
      }
      rooms.on('connection', (socket: RoomsSocket) => {
        live.metrics.connected('socketio');
        socket.on('disconnect', onDisconnect);
        // Socket.IO puts each socket into a room named by its id. We never emit to that room, and each room costs
        // memory.
        socket.leave(socket.id);
        new SocketSession(socket, socket.data.identity, live);
        compactSocket(socket);
      });
    },
    async broadcastDraining(spreadMs) {
      const sockets = [...rooms.sockets.values()];
      const startedAt = performance.now();
      for (const [n, socket] of sockets.entries()) {
        const share = (n + Math.random()) / sockets.length;
        const remainingMs = share * spreadMs - (performance.now() - startedAt);
        socket.emit('server:draining', { reconnect_after_ms: Math.max(0, Math.floor(remainingMs)) });
        if ((n + 1) % maxEmitsPerTick === 0) await nextTick();
      }
    },
    get size() {
      return sessions.size;
    },
    get sendBufferBytes() {
      let bytes = 0;
      for (const connection of sessions.values()) bytes += getSendBufferBytes(connection);
      return bytes;
    },
    get deliveries() {
      return countDeliveries(rooms);
    },
    get dropped() {
      return countDropped(rooms);
    },
    closeUpTo(max) {
      const openConnections = [...sessions.values()].filter(({ readyState }) => readyState === 'open').slice(0, max);
      for (const connection of openConnections) closeConnection(connection);
      return openConnections.length;
    },
    async close() {
      clearInterval(sendBufferCheck);
      // The engine's connections have to close first: a client that is disconnected from its namespace does not
      // reconnect.
      for (const socket of rooms.sockets.values()) socket.conn.close(true);
      await io.close();
    },
  };
}

/** Limits how long a tick takes in which all clients are sent something. */
const maxEmitsPerTick = 200;
const nextTick = () => new Promise((resolve) => setImmediate(resolve));

/** The type of the connection is private, although its field `id` is public. */
const getSid = (connection: object) => (connection as { id: string }).id;
