import type { Socket } from 'socket.io';
import type { Identity } from '../../auth/identity.ts';
import type { TokenHolder, TokenWatch } from '../../auth/token-expiry.ts';
import type { Actor } from '../../core/authorization.ts';
import type { SocketConnection } from '../../core/connections.ts';
import type { RefusedAck, ServerEventName, ServerEventPayloads, SocketRequest } from '../../core/contract/socketio.ts';
import { ChatError, type RemovalCode } from '../../core/errors.ts';
import type { RequestCall } from '../../core/feature.ts';
import type { Subscriber } from '../../core/feed/subscriber.ts';
import type { RoomId } from '../../core/ids.ts';
import { maxInvalidTokens } from '../../core/limits/transport-limits.ts';
import type { Change } from '../../core/log/change.ts';
import { toChangeEvent } from '../../core/log/change-kinds.ts';
import type { RegisteredRequest, Registry } from '../../core/registry.ts';
import { parseWithIgnored } from '../../core/unknown-keys.ts';
import { catchUp } from '../../patches/socketio-rooms-adapter.ts';
import { CommandQueue } from '../command-queue.ts';
import type { LiveContext } from '../live-context.ts';
import { closeConnection, disconnectForGood } from './close-connection.ts';
import { toErrorAck } from './error-ack.ts';
import { RoomSubscription } from './room-subscription.ts';

type ServerEvents = { [N in ServerEventName]: (payload: ServerEventPayloads[N]) => void };
export type RoomsSocket = Socket<Record<string, never>, ServerEvents>;

export const toRoomName = (room: RoomId) => `room:${room}`;
/** The Socket.IO room of the connections that follow a topic of a chat room. */
export const toTopicName = (room: RoomId, topic: string) => `${topic}:${room}`;

/** One socket in the namespace: its requests, obeyed in the order in which they arrive. */
export class SocketSession implements TokenHolder, SocketConnection {
  readonly #socket: RoomsSocket;
  readonly #live: LiveContext;
  readonly #subscriptions = new Map<RoomId, RoomSubscription>();
  readonly #tokenWatch: TokenWatch | undefined;
  #identity: Identity;
  #invalidTokens = 0;
  readonly #queue: CommandQueue;
  #hasEnded = false;

  constructor(socket: RoomsSocket, identity: Identity, live: LiveContext) {
    this.#socket = socket;
    this.#identity = identity;
    this.#live = live;
    this.#queue = new CommandQueue(live.queuedRequests);
    this.#tokenWatch = live.tokenExpiry.watch(identity, this);
    // The protocol of Socket.IO lets a number be a name, too.
    socket.onAny((name: unknown, ...args: unknown[]) => this.#onRequest(String(name), args));
    socket.on('disconnect', () => this.#end());
  }

  get actor(): Actor {
    return this.#identity.actor;
  }

  warnOfTokenExpiry(in_ms: number): void {
    this.#socket.emit('token:expiring', { in_ms });
  }

  onTokenEnded(how: 'expired' | 'revoked'): void {
    this.#end();
    if (how === 'revoked') disconnectForGood(this.#socket);
    else closeConnection(this.#socket.conn);
  }

  /** The socket is gone or its token is over: nothing more is obeyed, nothing more is heard. */
  #end(): void {
    this.#hasEnded = true;
    this.#tokenWatch?.stop();
    for (const [id, subscription] of this.#subscriptions) {
      this.#leaveRoom(id);
      subscription.leave();
    }
    this.#subscriptions.clear();
  }

  #onRequest(name: string, args: unknown[]): void {
    const last = args.at(-1);
    const acknowledge: Acknowledge = typeof last === 'function' ? (last as Acknowledge) : () => {};
    if (this.#queue.isFull || this.#queue.isNodeFull) return this.#acknowledgeError(acknowledge, this.#findOverload());
    const payload = args[0] === last && typeof last === 'function' ? undefined : args[0];
    const request = new ParsedRequest(this, name, payload, acknowledge);
    void this.#queue.enqueue(request.weight, () =>
      this.#handle(request).catch((error) => this.#acknowledgeError(acknowledge, ChatError.from(error))),
    );
  }

  #findOverload(): ChatError {
    return this.#queue.isFull
      ? new ChatError('RATE_LIMITED', { message: connectionOverloadedMessage, retryAfterMs: 1_000 })
      : new ChatError('UNAVAILABLE', { message: nodeOverloadedMessage, retryAfterMs: 1_000 });
  }

  async #handle(request: ParsedRequest): Promise<void> {
    if (this.#hasEnded) return;
    const { registered, refusal } = request;
    this.#live.metrics.requested('socketio', registered?.name ?? 'unknown');
    if (refusal) throw refusal;
    const { entry, handle } = registered!;
    this.#live.context.requestLimits.consume(this.actor.user, entry.cost, request.payload);
    const answer = await handle(request);
    if (answer === undefined) return;
    if (!('later' in answer)) return request.acknowledge(answer);
    // The next request does not wait for the commit of this one.
    (answer.later as Promise<object>).then(
      (settled) => request.acknowledge(settled),
      (error) => this.#acknowledgeError(request.send, ChatError.from(error)),
    );
  }

  #acknowledgeError(acknowledge: Acknowledge, error: ChatError): void {
    this.#live.metrics.refused('socketio', error.code);
    this.#live.context.requestLimits.chargeRefusal(this.actor.user, error.code);
    if (error.code === 'INTERNAL') this.#live.logger.error({ err: error.cause }, 'a request failed');
    acknowledge(toErrorAck(error));
  }

  get registry(): Registry {
    return this.#live.registry;
  }

  assertMayJoin(room: RoomId | undefined): void {
    const { roomsPerConnection: max } = this.#live.limits;
    if (max === 0 || this.#subscriptions.size < max || (room !== undefined && this.#subscriptions.has(room))) return;
    const message = `This connection is in ${max} rooms, as many as it may be`;
    throw new ChatError('TOO_MANY_ROOMS', { field: 'room_id', message });
  }

  findSubscriber(room: RoomId): Subscriber | undefined {
    return this.#subscriptions.get(room);
  }

  async subscribe(id: RoomId, join: (subscriber: Subscriber) => Promise<() => void>): Promise<void> {
    const subscription = new RoomSubscription(id, this);
    // Known before it is live: it may be removed, or the socket may close, during the join.
    this.#subscriptions.set(id, subscription);
    try {
      subscription.onJoined(await join(subscription));
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

  enterRoom(id: RoomId): void {
    if (!this.#hasEnded) this.#socket.join(toRoomName(id));
  }

  removeFrom(id: RoomId, code: RemovalCode): void {
    this.#leaveRoom(id);
    this.#subscriptions.delete(id);
    this.#live.context.feeds.release(id);
    this.#socket.emit('room:removed', { room_id: id, code });
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
      this.#identity = fresh;
      this.#tokenWatch?.renew(fresh);
    } catch (thrown) {
      const error = ChatError.from(thrown);
      // Later, so that the acknowledgement goes out first.
      if (error.code !== 'UNAVAILABLE' && ++this.#invalidTokens >= maxInvalidTokens) {
        setImmediate(() => closeConnection(this.#socket.conn));
      }
      throw error;
    }
    for (const [id, subscription] of [...this.#subscriptions])
      this.#live.context.feeds.find(id)?.reauthorize(subscription);
    return { expires_at: this.#identity.expiresAt };
  }
}

const connectionOverloadedMessage = 'This connection has as many requests waiting as it may have';
const nodeOverloadedMessage = 'The server has more requests waiting than it can take, try again';

type Acknowledge = (answer: { ok: true; ignored?: readonly string[] } | RefusedAck) => void;

/** A request that has arrived. It is parsed at once, so that nothing else of the payload is kept while it is queued. */
class ParsedRequest implements RequestCall<SocketRequest, unknown> {
  readonly connection: SocketSession;
  readonly registered: RegisteredRequest | undefined;
  readonly payload: unknown;
  readonly refusal: ChatError | undefined;
  readonly send: Acknowledge;
  /** Keys of the payload that the server does not use. */
  readonly #ignored: readonly string[] = [];

  constructor(connection: SocketSession, name: string, payload: unknown, send: Acknowledge) {
    this.connection = connection;
    this.send = send;
    this.registered = connection.registry.requests.get(name);
    if (!this.registered) {
      const message = `there is no request ${JSON.stringify(name.slice(0, 64))}`;
      this.refusal = new ChatError('BAD_REQUEST', { message });
      return;
    }
    try {
      const { data, ignored } = parseWithIgnored(this.registered.entry.payload, payload);
      this.payload = data;
      this.#ignored = ignored;
    } catch (error) {
      this.refusal = ChatError.from(error);
    }
  }

  get context(): unknown {
    return this.connection.registry.context;
  }

  get actor(): Actor {
    return this.connection.actor;
  }

  acknowledge(ack: object): void {
    const ignored = this.#ignored;
    this.send(ignored.length === 0 ? { ok: true, ...ack } : { ok: true, ...ack, ignored });
  }

  /** In bytes: the only fields without a small limit, and the names of the ignored keys. */
  get weight(): number {
    const { content = '', token = '' } = (this.payload ?? {}) as { content?: string; token?: string };
    return Buffer.byteLength(content) + token.length + this.#ignored.join().length;
  }
}
