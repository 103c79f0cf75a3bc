import type { DefaultEventsMap, Namespace, Socket } from 'socket.io';
import type { Admission } from '../../auth/connection-limits.ts';
import type { Identity } from '../../auth/identity.ts';
import type { TokenHolder, TokenWatch } from '../../auth/token-expiry.ts';
import type { Actor } from '../../core/authorization.ts';
import type { ConnectionObserver, SocketConnection } from '../../core/connections.ts';
import type { ServerEventName, ServerEventPayloads } from '../../core/contract/socketio.ts';
import { ChatError, isTokenError, type RemovalCode } from '../../core/errors.ts';
import type { Subscriber } from '../../core/feed/subscriber.ts';
import type { RoomId } from '../../core/ids.ts';
import { maxInvalidTokens } from '../../core/limits/transport-limits.ts';
import type { Change } from '../../core/log/change.ts';
import { toChangeEvent } from '../../core/log/change-kinds.ts';
import { catchUp } from '../../patches/socketio-rooms-adapter.ts';
import type { LiveContext } from '../live-context.ts';
import { closeConnection, disconnectForGood } from './close-connection.ts';
import { RequestDispatcher } from './request-dispatcher.ts';
import { RoomSubscription } from './room-subscription.ts';

type ServerEvents = { [N in ServerEventName]: (payload: ServerEventPayloads[N]) => void };
interface SocketData {
  identity: Identity;
  admission: Admission;
  session: SocketSession;
}
export type RoomsNamespace = Namespace<DefaultEventsMap, DefaultEventsMap, DefaultEventsMap, SocketData>;
export type RoomsSocket = Socket<Record<string, never>, ServerEvents, DefaultEventsMap, SocketData>;

export const toRoomName = (room: RoomId) => `room:${room}`;
/** The Socket.IO room of the connections that follow a topic of a chat room. */
export const toTopicName = (room: RoomId, topic: string) => `${topic}:${room}`;

/** One socket in the namespace: its rooms and its token. */
export class SocketSession implements TokenHolder, SocketConnection {
  readonly #socket: RoomsSocket;
  readonly #live: LiveContext;
  readonly #subscriptions = new Map<RoomId, RoomSubscription>();
  readonly #dispatcher: RequestDispatcher;
  /** Undefined until the constructor has ended. If the token is already revoked, the constructor ends the session. */
  readonly #tokenWatch: TokenWatch | undefined;
  #identity: Identity;
  #invalidTokens = 0;
  #hasEnded = false;
  /** Undefined for most sessions, to save memory. */
  #observers: Set<ConnectionObserver> | undefined;

  constructor(socket: RoomsSocket, identity: Identity, live: LiveContext) {
    this.#socket = socket;
    this.#identity = identity;
    this.#live = live;
    this.#dispatcher = new RequestDispatcher(this, live);
    socket.data.session = this;
    this.#tokenWatch = live.tokenExpiry.watch(identity, this);
    socket.onAny(onRequest);
  }

  onRequest(name: string, args: unknown[]): void {
    this.#dispatcher.onRequest(name, args);
  }

  get actor(): Actor {
    return this.#identity.actor;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  warnOfTokenExpiry(in_ms: number): void {
    this.#socket.emit('token:expiring', { in_ms });
  }

  onTokenEnded(how: 'expired' | 'revoked'): void {
    this.end();
    if (how === 'revoked') disconnectForGood(this.#socket);
    else closeConnection(this.#socket.conn);
  }

  /** The socket has disconnected or its token has ended. Queued requests are not handled any more. */
  end(): void {
    this.#hasEnded = true;
    this.#tokenWatch?.stop();
    for (const [id, subscription] of this.#subscriptions) {
      this.#leaveRoom(id);
      subscription.leave();
    }
    this.#subscriptions.clear();
    for (const observer of this.#observers ?? []) observer.onEnd();
    this.#observers = undefined;
  }

  emit<N extends ServerEventName>(name: N, payload: ServerEventPayloads[N]): void {
    if (!this.#hasEnded) (this.#socket as Socket).emit(name, payload);
  }

  observe(observer: ConnectionObserver): () => void {
    if (this.#hasEnded) observer.onEnd();
    else this.#observers = (this.#observers ?? new Set()).add(observer);
    return () => void this.#observers?.delete(observer);
  }

  assertMayJoin(room: RoomId | undefined): void {
    const { roomsPerConnection: max } = this.#live.limits;
    if (max === 0 || this.#subscriptions.size < max || (room !== undefined && this.#subscriptions.has(room))) return;
    const message = `This connection has joined ${max} rooms, the maximum; leave a room first`;
    throw new ChatError('TOO_MANY_ROOMS', { field: 'room_id', message });
  }

  findSubscriber(room: RoomId): Subscriber | undefined {
    return this.#subscriptions.get(room);
  }

  async subscribe(id: RoomId, join: (subscriber: Subscriber) => Promise<void>): Promise<void> {
    const subscription = new RoomSubscription(id, this);
    // Added before the join, because the subscriber may be removed, or the socket may close, during the join.
    this.#subscriptions.set(id, subscription);
    try {
      await join(subscription);
      subscription.onJoined();
    } catch (error) {
      if (this.#subscriptions.get(id) === subscription) this.#subscriptions.delete(id);
      throw error;
    }
  }

  unsubscribe(id: RoomId): void {
    this.#leaveRoom(id);
    this.#subscriptions.get(id)?.leave();
    this.#subscriptions.delete(id);
  }

  follow(id: RoomId, topic: string): void {
    if (this.#hasEnded || !this.#subscriptions.get(id)?.follow(topic)) return;
    this.#socket.join(toTopicName(id, topic));
  }

  unfollow(id: RoomId, topic: string): void {
    if (this.#subscriptions.get(id)?.unfollow(topic)) this.#socket.leave(toTopicName(id, topic));
  }

  #leaveRoom(id: RoomId): void {
    this.#socket.leave(toRoomName(id));
    for (const topic of this.#subscriptions.get(id)?.topics ?? []) this.#socket.leave(toTopicName(id, topic));
  }

  catchUp(room: RoomId): void {
    catchUp(this.#socket, toRoomName(room));
  }

  deliver(change: Change): void {
    const { name, payload } = toChangeEvent(change);
    this.#socket.emit(name, payload as never);
  }

  deliverEvent(name: string, payload: object): void {
    this.#socket.emit(name as ServerEventName, payload as never);
  }

  enterRoom(id: RoomId): void {
    if (!this.#hasEnded) this.#socket.join(toRoomName(id));
  }

  removeFrom(id: RoomId, code: RemovalCode): void {
    this.#leaveRoom(id);
    this.#subscriptions.delete(id);
    this.#live.context.feeds.release(id);
    this.#socket.emit('room:removed', { room_id: id, code });
  }

  leaveFeed(id: RoomId, subscriber: Subscriber): void {
    this.#live.context.feeds.leave(id, subscriber);
  }

  reconnect(): void {
    closeConnection(this.#socket.conn);
  }

  async renewToken(token: string): Promise<{ expires_at: number | null }> {
    try {
      const fresh = await this.#live.authenticator.verify(token);
      if (this.#hasEnded) throw new ChatError('UNAVAILABLE');
      if (fresh.actor.user !== this.actor.user) {
        throw new ChatError('UNAUTHENTICATED', { field: 'token', message: 'is of another user' });
      }
      this.#invalidTokens = 0;
      const previous = this.actor;
      this.#identity = fresh;
      this.#tokenWatch?.renew(fresh);
      for (const observer of this.#observers ?? []) observer.onRenew(previous);
    } catch (thrown) {
      const error = ChatError.from(thrown);
      // Disconnects in a later tick, so that the acknowledgement is sent first.
      if (isTokenError(error.code) && ++this.#invalidTokens >= maxInvalidTokens) {
        setImmediate(() => closeConnection(this.#socket.conn));
      }
      throw error;
    }
    for (const [id, subscription] of [...this.#subscriptions])
      this.#live.context.feeds.find(id)?.reauthorize(subscription);
    return { expires_at: this.#identity.expiresAt };
  }
}

/** All sockets share this listener, to save memory. */
function onRequest(this: RoomsSocket, name: unknown, ...args: unknown[]): void {
  // The protocol of Socket.IO allows numbers as event names.
  this.data.session.onRequest(String(name), args);
}
