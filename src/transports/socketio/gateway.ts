import { randomBytes } from 'node:crypto';
import type { Server as HttpServer } from 'node:http';
import { Server, type Socket } from 'socket.io';
import type { Identity } from '../../auth/identity.ts';
import { parseBearer } from '../../auth/token-verification.ts';
import { namespace } from '../../core/contract/socketio.ts';
import type { EphemeralBroadcaster } from '../../core/ephemeral.ts';
import { ChatError, errors } from '../../core/errors.ts';
import type { Broadcaster } from '../../core/feed/subscriber.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { maxInvalidTokens, sendBufferCheckMs, unauthenticatedFrameBytes } from '../../core/limits/transport-limits.ts';
import { toChangeEvent } from '../../core/log/change-kinds.ts';
import { createFlushPerTick, getSendBufferBytes } from '../../patches/engineio-flush-per-tick.ts';
import { forgetHandshake, forgetRequest } from '../../patches/engineio-forget-request.ts';
import { boundReceiving, limitReceiving } from '../../patches/engineio-receive-limits.ts';
import { countDeliveries, countDropped, createRoomsAdapter } from '../../patches/socketio-rooms-adapter.ts';
import { BoundedWebSocketServer } from '../../patches/ws-bounded-server.ts';
import { describeRejectedOrigin, type IsAllowedOrigin } from '../allowed-origins.ts';
import type { LiveContext } from '../live-context.ts';
import { closeConnection } from './close-connection.ts';
import { answerDefaultNamespace } from './default-namespace.ts';
import { rejectHandshakesWhileDraining } from './draining-handshakes.ts';
import { rejectOtherProtocols } from './reject-protocols.ts';
import { type RoomsSocket, SocketSession, toRoomName, toTopicName } from './socket-session.ts';

type EngineConnection = Socket['conn'];

export interface Gateway {
  broadcaster: Broadcaster & EphemeralBroadcaster;
  /** Begins to take connections. */
  open(live: LiveContext): void;
  /** Tells the connections when to come back, each at another moment of `spreadMs`. */
  broadcastDraining(spreadMs: number): void;
  /** Connections that are not gone yet. */
  readonly size: number;
  /** Bytes that were written to all of them and not sent yet. */
  readonly sendBufferBytes: number;
  /** How often something that was said in a room has been written to a connection. */
  readonly deliveries: number;
  /** How many ephemeral events were not written, because the connection was congested. */
  readonly dropped: number;
  /** Begins to close so many of those that are open, and says how many it found. */
  closeUpTo(max: number): number;
  close(): Promise<void>;
}

interface Settings {
  frameBytes: number;
  pingIntervalMs: number;
  authTimeoutMs: number;
  nodeName: string | undefined;
  allowedOrigins: string[] | undefined;
  isAllowedOrigin: IsAllowedOrigin;
}

/** The live rooms on Socket.IO: a nano room is the Socket.IO room `room:<id>` of the namespace. */
export function createSocketioGateway(
  http: HttpServer,
  settings: Settings,
  onError: (error: unknown) => void,
): Gateway {
  const { frameBytes, pingIntervalMs, authTimeoutMs, nodeName, allowedOrigins, isAllowedOrigin } = settings;
  const io = new Server(http, {
    serveClient: false,
    destroyUpgrade: false,
    perMessageDeflate: false,
    httpCompression: false,
    // A dependency may bring a `ws` of its own that lacks bounds; ours has them.
    wsEngine: BoundedWebSocketServer,
    // What clients are told; what is taken depends on the connection.
    maxHttpBufferSize: frameBytes || Number.MAX_SAFE_INTEGER,
    pingInterval: pingIntervalMs,
    connectTimeout: authTimeoutMs,
    cors: allowedOrigins ? { origin: allowedOrigins, credentials: true } : { origin: '*' },
    allowRequest(request, decide) {
      const isAllowed = isAllowedOrigin(request);
      decide(isAllowed ? null : describeRejectedOrigin(request.headers.origin), isAllowed);
    },
  });
  // A balancer sees from it which node has the session: all requests of long polling must come to that one.
  if (nodeName) io.engine.generateId = () => `${nodeName}.${randomBytes(15).toString('base64url')}`;
  const sessions = new Map<string, EngineConnection>();
  io.adapter(createRoomsAdapter(onError));
  const rooms = io.of(namespace);
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
        if (rooms.adapter.rooms.has(room)) rooms.local.volatile.to(room).emit(name, payload);
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
        // A refusal would keep the client away; it shall come back, to another node.
        if (live.context.isDraining) return closeConnection(socket.conn);
        authenticate(socket, live).then(
          () => next(),
          (thrown) => next(rejectConnection(socket, ChatError.from(thrown), live)),
        );
      });
      // One function for all sockets.
      function onDisconnect(this: Socket): void {
        live.metrics.disconnected('socketio');
        // The engine's connection may outlive its namespace; then it is one without a token again.
        if (this.conn.readyState === 'open') awaitToken(this.conn, live);
      }
      rooms.on('connection', (socket) => {
        live.metrics.connected('socketio');
        socket.on('disconnect', onDisconnect);
        // Nobody speaks to one socket by its room, and rooms weigh.
        socket.leave(socket.id);
        new SocketSession(socket as unknown as RoomsSocket, socket.data.identity as Identity, live);
      });
    },
    broadcastDraining(spreadMs) {
      const sockets = [...rooms.sockets.values()];
      for (const [n, socket] of sockets.entries()) {
        const share = (n + Math.random()) / sockets.length;
        socket.emit('server:draining', { reconnect_after_ms: Math.floor(share * spreadMs) });
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
      // The engine's connections first: a client whose namespace is disconnected does not come back by itself.
      for (const socket of rooms.sockets.values()) socket.conn.close(true);
      await io.close();
    },
  };
}

/** Private by its type only. */
const getSid = (connection: object) => (connection as { id: string }).id;

function toConnectError(error: ChatError): Error & { data: object } {
  const { code, message, field, retryAfterMs } = error;
  const more = { ...(field && { field }), ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }) };
  return Object.assign(new Error(message), { data: { code, message, ...more } });
}

/** Packets that a connection without a token may send; a client sends one for each namespace, and tokens again. */
const maxUnauthenticatedPackets = 16;
/** Connections that sent more than they may without a token. */
const oversizedConnections = new WeakSet<EngineConnection>();
const verifyingConnections = new WeakSet<EngineConnection>();
const invalidTokens = new WeakMap<EngineConnection, number>();
/** The connections without a token, each with what to call when it has one. */
const awaitingToken = new WeakMap<EngineConnection, () => void>();

/** Counts a token that did not hold; the third closes the connection, after its refusal has gone out. */
function rejectConnection(socket: Socket, error: ChatError, { metrics, logger }: LiveContext): Error {
  metrics.refused('socketio', error.code);
  if (error.code === 'INTERNAL') logger.error({ err: error.cause }, 'a connection could not be made');
  const attempts = (invalidTokens.get(socket.conn) ?? 0) + (errors[error.code].http === 401 ? 1 : 0);
  invalidTokens.set(socket.conn, attempts);
  if (attempts >= maxInvalidTokens) setImmediate(() => closeConnection(socket.conn));
  return toConnectError(error);
}

async function authenticate(socket: Socket, { authenticator, connections, context }: LiveContext): Promise<void> {
  if (oversizedConnections.has(socket.conn)) {
    const message = `At most ${unauthenticatedFrameBytes} bytes are taken before a token is accepted`;
    throw new ChatError('TOO_LARGE', { field: 'token', message });
  }
  // One at a time, so that a burst of connects does not get more tries than there are.
  if (verifyingConnections.has(socket.conn))
    throw new ChatError('UNAUTHENTICATED', { message: 'One connect at a time' });
  verifyingConnections.add(socket.conn);
  const given: unknown = socket.handshake.auth.token ?? parseBearer(socket.handshake.headers.authorization);
  const identity = await authenticator.verify(given).finally(() => verifyingConnections.delete(socket.conn));
  context.requestLimits.consume(identity.actor.user, costs.token);
  const uncount = await connections.admit(identity.actor.user);
  const release = () => {
    uncount();
    socket.conn.off('close', release);
  };
  // `on`, for it is light; to be called twice does no harm.
  socket.conn.on('close', release);
  socket.on('disconnect', release);
  if (socket.conn.readyState !== 'open') release();
  socket.data.identity = identity;
  awaitingToken.get(socket.conn)?.();
  forgetHandshake(socket);
}

/** Without a token: a place among the unauthenticated, small frames, and a deadline. */
function awaitToken(connection: EngineConnection, { connections, authTimeoutMs }: LiveContext): void {
  const release = connections.awaitToken(() => connection.close(true));
  const deadlineTimer = setTimeout(() => connection.close(true), authTimeoutMs);
  let packets = 0;
  // Before anything is made of the packet.
  const onPacket = ({ type, data = '' }: { type: string; data?: string | Buffer }) => {
    if (type !== 'message') return;
    packets += 1;
    if (packets > maxUnauthenticatedPackets || typeof data !== 'string') return void connection.close(true);
    if (Buffer.byteLength(data) <= unauthenticatedFrameBytes) return;
    oversizedConnections.add(connection);
    // After the refusal that says so, where this was a connect.
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
