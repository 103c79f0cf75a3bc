import type { Socket } from 'socket.io';
import type { Identity } from '../../auth/identity.ts';
import type { TokenHolder, TokenWatch } from '../../auth/token-expiry.ts';
import type { Actor } from '../../core/authorization.ts';
import {
  type Ack,
  type RefusedAck,
  type RequestName,
  type RequestPayload,
  requests,
  type ServerEventName,
  type ServerEventPayloads,
} from '../../core/contract/socketio.ts';
import { type Cursor, formatCursor } from '../../core/cursor.ts';
import { ChatError, type RemovalCode } from '../../core/errors.ts';
import type { RoomId, RoomRef } from '../../core/ids.ts';
import { maxInvalidTokens } from '../../core/limits/transport-limits.ts';
import type { Change } from '../../core/log/change.ts';
import { toChangeEvent } from '../../core/log/change-kinds.ts';
import { parseWithIgnored } from '../../core/unknown-keys.ts';
import { resolveRoomId } from '../../features/app-context.ts';
import { readHistory } from '../../features/messages/history.ts';
import { sendMessage } from '../../features/messages/send-message.ts';
import { type JoinResult, joinRoom, rejoinRoom } from '../../features/rooms/join-room.ts';
import { catchUp } from '../../patches/socketio-rooms-adapter.ts';
import { CommandQueue } from '../command-queue.ts';
import type { LiveContext } from '../live-context.ts';
import { closeConnection, disconnectForGood } from './close-connection.ts';
import { toErrorAck } from './error-ack.ts';
import { RoomSubscription } from './room-subscription.ts';

type ServerEvents = { [N in ServerEventName]: (payload: ServerEventPayloads[N]) => void };
export type RoomsSocket = Socket<Record<string, never>, ServerEvents>;

export const roomName = (room: RoomId) => `room:${room}`;

type Acknowledge = (answer: ({ ok: true; ignored?: string[] } & Partial<Ack<RequestName>>) | RefusedAck) => void;
/** Answers the request; what it resolves to is acknowledged. `undefined`: it has been. */
type Handler<N extends RequestName> = (
  session: SocketSession,
  payload: RequestPayload<N>,
  acknowledge: Acknowledge,
) => Promise<Ack<N> | { later: Promise<Ack<N>> } | undefined>;

/** One socket in the namespace: its requests, obeyed in the order in which they arrive. */
export class SocketSession implements TokenHolder {
  readonly #socket: RoomsSocket;
  readonly #live: LiveContext;
  readonly #subscriptions = new Map<RoomId, RoomSubscription>();
  readonly #lifetime: TokenWatch | undefined;
  #identity: Identity;
  #invalidTokens = 0;
  readonly #queue: CommandQueue;
  #hasEnded = false;

  static readonly #handlers: { [N in RequestName]: Handler<N> } = {
    'room:join': (session, payload, acknowledge) => session.#join(payload, acknowledge),
    'room:leave': async (session, { room_id }) => {
      const id = await session.#resolveRoomId(room_id);
      if (id !== undefined) session.#leave(id);
      return {};
    },
    'message:send': async (session, draft) => {
      const { stored } = await sendMessage(session.#live.context, session.actor, draft);
      return { later: stored };
    },
    'message:history': async (session, { room_id, ...query }) => {
      const { messages, head, has_more } = await readHistory(session.#live.context, session.actor, room_id, query);
      return { messages: messages.map(({ message }) => message), rev: head.rev, cursor: formatCursor(head), has_more };
    },
    'token:refresh': (session, { token }) => session.#refresh(token),
  };

  constructor(socket: RoomsSocket, identity: Identity, live: LiveContext) {
    this.#socket = socket;
    this.#identity = identity;
    this.#live = live;
    this.#queue = new CommandQueue(live.queuedRequests);
    this.#lifetime = live.tokenExpiry.watch(identity, this);
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
    this.#lifetime?.stop();
    for (const id of this.#subscriptions.keys()) this.#socket.leave(roomName(id));
    for (const subscription of this.#subscriptions.values()) subscription.leave();
    this.#subscriptions.clear();
  }

  #onRequest(name: string, args: unknown[]): void {
    const last = args.at(-1);
    const acknowledge: Acknowledge = typeof last === 'function' ? (last as Acknowledge) : () => {};
    if (this.#queue.isFull || this.#queue.isNodeFull) return this.#refuse(acknowledge, this.#findOverload());
    const request = readRequest(name, args[0] === last && typeof last === 'function' ? undefined : args[0]);
    void this.#queue.enqueue(computeWeight(request), () =>
      this.#handle(request, acknowledge).catch((error) => this.#refuse(acknowledge, ChatError.from(error))),
    );
  }

  #findOverload(): ChatError {
    return this.#queue.isFull
      ? new ChatError('RATE_LIMITED', { message: connectionOverloaded, retryAfterMs: 1_000 })
      : new ChatError('UNAVAILABLE', { message: nodeOverloaded, retryAfterMs: 1_000 });
  }

  async #handle({ name, payload, ignored = [], refusal }: Request, acknowledge: Acknowledge): Promise<void> {
    if (this.#hasEnded) return;
    this.#live.metrics.requested('socketio', name ?? 'unknown');
    if (refusal) throw refusal;
    this.#live.context.requestLimits.consume(this.actor.user, requests[name!].cost, payload);
    const acknowledgeAll: Acknowledge =
      ignored.length === 0 ? acknowledge : (answer) => acknowledge(answer.ok ? { ...answer, ignored } : answer);
    const handler = SocketSession.#handlers[name!] as Handler<RequestName>;
    const answer = await handler(this, payload as never, acknowledgeAll);
    if (answer === undefined) return;
    if (!('later' in answer)) return acknowledgeAll({ ok: true, ...answer });
    // The next request need not wait for this one's commit.
    answer.later.then(
      (settled) => acknowledgeAll({ ok: true, ...settled }),
      (error) => this.#refuse(acknowledge, ChatError.from(error)),
    );
  }

  #refuse(acknowledge: Acknowledge, error: ChatError): void {
    this.#live.metrics.refused('socketio', error.code);
    this.#live.context.requestLimits.chargeRefusal(this.actor.user, error.code);
    if (error.code === 'INTERNAL') this.#live.logger.error({ err: error.cause }, 'a request failed');
    acknowledge(toErrorAck(error));
  }

  async #join({ room_id, since }: RequestPayload<'room:join'>, acknowledge: Acknowledge): Promise<undefined> {
    const { context, limits } = this.#live;
    const id = await this.#resolveRoomId(room_id);
    const isInside = id !== undefined && this.#subscriptions.has(id);
    const most = limits.roomsPerConnection;
    if (most > 0 && !isInside && this.#subscriptions.size >= most) {
      const message = `This connection is in ${most} rooms, as many as it may be`;
      throw new ChatError('TOO_MANY_ROOMS', { field: 'room_id', message });
    }
    if (id === undefined) throw new ChatError('NOT_FOUND');
    const answer = ({ room, rights, head, recovered, events }: JoinResult) =>
      acknowledge({
        ok: true,
        ...{ room, rights, rev: head.rev, cursor: formatCursor(head), recovered },
        events: events.map(toChangeEvent),
      });
    const inside = this.#subscriptions.get(id);
    const answerInside = (joined: JoinResult) => {
      catchUp(this.#socket, roomName(id));
      answer(joined);
    };
    if (inside) await rejoinRoom(context, inside, id, since, answerInside);
    else await this.#enter(id, since, answer);
    return undefined;
  }

  /** Undefined for a UUID of no room; whether there is such a room is not for everybody to know. */
  #resolveRoomId(ref: RoomRef): Promise<RoomId | undefined> {
    return resolveRoomId(this.#live.context, ref).catch((error) => {
      if (error instanceof ChatError && error.code === 'NOT_FOUND') return undefined;
      throw error;
    });
  }

  async #enter(id: RoomId, since: Cursor | null | undefined, answer: (joined: JoinResult) => void): Promise<void> {
    const subscription = new RoomSubscription(id, this);
    // Known before it is live: it may be taken out, or the socket may close, during the join.
    this.#subscriptions.set(id, subscription);
    try {
      subscription.isIn(await joinRoom(this.#live.context, subscription, id, since, answer));
    } catch (error) {
      if (this.#subscriptions.get(id) === subscription) this.#subscriptions.delete(id);
      throw error;
    }
  }

  deliver(change: Change): void {
    const { name, payload } = toChangeEvent(change);
    this.#socket.emit(name, payload as never);
  }

  enterRoom(id: RoomId): void {
    if (!this.#hasEnded) this.#socket.join(roomName(id));
  }

  removeFrom(id: RoomId, code: RemovalCode): void {
    this.#subscriptions.delete(id);
    this.#live.context.feeds.release(id);
    this.#socket.leave(roomName(id));
    this.#socket.emit('room:removed', { room_id: id, code });
  }

  reconnect(): void {
    closeConnection(this.#socket.conn);
  }

  #leave(id: RoomId): void {
    this.#subscriptions.get(id)?.leave();
    this.#subscriptions.delete(id);
    this.#socket.leave(roomName(id));
  }

  async #refresh(token: string): Promise<Ack<'token:refresh'>> {
    try {
      const fresh = await this.#live.authenticator.verify(token);
      if (this.#hasEnded) throw new ChatError('UNAVAILABLE');
      if (fresh.actor.user !== this.actor.user) {
        throw new ChatError('UNAUTHENTICATED', { field: 'token', message: 'is of another user' });
      }
      this.#invalidTokens = 0;
      this.#identity = fresh;
      this.#lifetime?.renew(fresh);
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

const connectionOverloaded = 'This connection has as many requests waiting as it may have';
const nodeOverloaded = 'The server has more requests waiting than it can take, try again';

/** What arrived: a request that may be obeyed, or why it is refused. */
interface Request {
  name: RequestName | undefined;
  payload?: unknown;
  /** Keys of the payload that are not used. */
  ignored?: string[];
  refusal?: ChatError;
}

/** Parsed on arrival: what waits holds nothing that the request does not need. */
function readRequest(name: string, payload: unknown): Request {
  if (!Object.hasOwn(requests, name)) {
    const message = `there is no request ${JSON.stringify(name.slice(0, 64))}`;
    return { name: undefined, refusal: new ChatError('BAD_REQUEST', { message }) };
  }
  const known = name as RequestName;
  try {
    const { data, ignored } = parseWithIgnored(requests[known].payload, payload);
    return { name: known, payload: data, ignored };
  } catch (error) {
    return { name: known, refusal: ChatError.from(error) };
  }
}

/** The only fields without a small limit of their own, and the names of the unknown ones. */
function computeWeight({ payload, ignored = [] }: Request): number {
  const { content = '', token = '' } = (payload ?? {}) as { content?: string; token?: string };
  return Buffer.byteLength(content) + token.length + ignored.join().length;
}
