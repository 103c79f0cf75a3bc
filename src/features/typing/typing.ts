import { z } from 'zod';
import { broadcastEphemeral, type EphemeralBroadcaster, type EphemeralBus } from '../../core/ephemeral.ts';
import { ChatError } from '../../core/errors.ts';
import type { FeedRegistry } from '../../core/feed/feed-registry.ts';
import type { RoomObserver } from '../../core/feed/room-observer.ts';
import type { Subscriber } from '../../core/feed/subscriber.ts';
import { RoomId } from '../../core/ids.ts';
import { affectsRights } from '../../core/log/change-kinds.ts';
import { Throttle } from '../../core/throttle.ts';
import { type TypingChanged, Typist } from './contract.ts';
import { TypingRoom } from './typing-room.ts';

export interface TypingTimeouts {
  /** Typing ends this long after the last `true`. */
  endMs: number;
  /** If a connection sends `true` several times for a room within this time, only the first has an effect. */
  repeatMs: number;
  /** The minimum time between two events of a room. */
  eventMs: number;
  /** The minimum time between two messages to the other nodes if only the times have changed. */
  refreshMs: number;
  /** The time after which the last event of a room is sent again. */
  resendMs: number;
}

export const typingTimeouts: TypingTimeouts = {
  endMs: 6_000,
  repeatMs: 1_000,
  eventMs: 500,
  refreshMs: 2_000,
  resendMs: 3_000,
};

/** How many times the empty set is sent again after the last user has stopped typing. */
const maxEmptyResends = 3;

/** In a room with more connections on a node, the node neither sends nor publishes who is typing. */
export const maxTypingConnections = 200;

export interface TypingEvents {
  /** The typists of a room were sent to the connections of this node. */
  emitted(): void;
  /** The state of a room was published to the other nodes. */
  published(): void;
}

interface Collaborators {
  bus: Pick<EphemeralBus, 'publish' | 'subscribe'>;
  broadcasters: readonly EphemeralBroadcaster[];
  feeds: () => Pick<FeedRegistry, 'find'>;
  events: TypingEvents;
  timeouts?: Partial<TypingTimeouts> | undefined;
}

const topic = 'typing';

const Published = z.object({
  room_id: RoomId,
  counter: z.int().nonnegative(),
  users: z.array(Typist.extend({ ms: z.int().nonnegative() })).max(100),
  count: z.int().nonnegative(),
});

interface TrackedRoom {
  typing: TypingRoom;
  /** The last set of typists that was sent, as JSON. */
  sent: string;
  /** Whether a subscriber has joined that has not received the set of typists yet. */
  hasNewcomer: boolean;
  hasPublished: boolean;
  expiryTimer?: NodeJS.Timeout | undefined;
  refreshTimer?: NodeJS.Timeout | undefined;
  resendTimer?: NodeJS.Timeout | undefined;
}

const nobody = { users: [], count: 0 };
const nobodyJson = JSON.stringify(nobody);

/** Who is typing, in all rooms of this node. */
export class Typing implements RoomObserver {
  readonly #collaborators: Collaborators;
  readonly #timeouts: TypingTimeouts;
  readonly #rooms = new Map<RoomId, TrackedRoom>();
  readonly #startedAt = new WeakMap<Subscriber, number>();
  readonly #sending: Throttle<RoomId>;
  readonly #publishing: Throttle<RoomId>;
  readonly #unsubscribe: () => void;
  #counter = 0;

  constructor(collaborators: Collaborators) {
    this.#collaborators = collaborators;
    this.#timeouts = { ...typingTimeouts, ...collaborators.timeouts };
    this.#sending = new Throttle(this.#timeouts.eventMs, (room) => this.#send(room));
    this.#publishing = new Throttle(this.#timeouts.eventMs, (room) => this.#publish(room));
    this.#unsubscribe = collaborators.bus.subscribe(topic, (body, from) => this.#receive(body, from));
  }

  /** Throws `FORBIDDEN` if the subscriber may not write. Has no effect if it is not live. */
  start(room: RoomId, subscriber: Subscriber, thread: number | undefined): void {
    if (!this.#collaborators.feeds().find(room)?.subscribers.has(subscriber)) return;
    if (!this.#mayWrite(room, subscriber)) {
      throw new ChatError('FORBIDDEN', { message: 'Typing in this room needs the right w' });
    }
    const now = performance.now();
    if (now - (this.#startedAt.get(subscriber) ?? Number.NEGATIVE_INFINITY) < this.#timeouts.repeatMs) return;
    this.#startedAt.set(subscriber, now);
    const tracked = this.#track(room);
    const before = tracked.typing.localTypists.get(subscriber);
    tracked.typing.start(subscriber, thread, now + this.#timeouts.endMs);
    this.#scheduleExpiry(room, tracked);
    if (before && before.thread === thread) this.#scheduleRefresh(room, tracked);
    else this.#onLocalChange(room);
  }

  stop(room: RoomId, subscriber: Subscriber): void {
    if (this.#rooms.get(room)?.typing.stop(subscriber)) this.#onLocalChange(room);
  }

  /** Sends the current set of typists to subscribers that have just joined. */
  onJoined(room: RoomId): void {
    const tracked = this.#rooms.get(room);
    if (!tracked) return;
    tracked.hasNewcomer = true;
    this.#sending.request(room);
  }

  onLeft(room: RoomId, subscriber: Subscriber): void {
    this.stop(room, subscriber);
  }

  onChange(change: Parameters<RoomObserver['onChange']>[0]): void {
    const { room_id: room } = change;
    const typing = this.#rooms.get(room)?.typing;
    if (!typing) return;
    if (change.kind === 'message' && typing.stopUser(change.message.emitter)) this.#onLocalChange(room);
    if (!affectsRights(change)) return;
    for (const subscriber of typing.localTypists.keys()) this.onTokenRenewed(room, subscriber);
  }

  onTokenRenewed(room: RoomId, subscriber: Subscriber): void {
    if (!this.#mayWrite(room, subscriber)) this.stop(room, subscriber);
  }

  needsFeed(): boolean {
    return false;
  }

  close(): void {
    this.#unsubscribe();
    this.#sending.clear();
    this.#publishing.clear();
    for (const tracked of this.#rooms.values()) clearTimers(tracked);
    this.#rooms.clear();
  }

  #mayWrite(room: RoomId, { actor }: Subscriber): boolean {
    return this.#collaborators.feeds().find(room)?.getRights(actor).includes('w') ?? false;
  }

  #countConnections(room: RoomId): number {
    return this.#collaborators.feeds().find(room)?.subscribers.size ?? 0;
  }

  #track(room: RoomId): TrackedRoom {
    const tracked = this.#rooms.get(room);
    if (tracked) return tracked;
    const created = { typing: new TypingRoom(), sent: nobodyJson, hasNewcomer: false, hasPublished: false };
    this.#rooms.set(room, created);
    return created;
  }

  #onLocalChange(room: RoomId): void {
    this.#sending.request(room);
    this.#publishing.request(room);
  }

  #receive(body: unknown, from: string): void {
    const parsed = Published.safeParse(body);
    if (!parsed.success) return;
    const { room_id: room, ...state } = parsed.data;
    if (this.#countConnections(room) === 0) return;
    const tracked = this.#track(room);
    if (!tracked.typing.receive(from, state, performance.now(), this.#timeouts.endMs)) return;
    this.#scheduleExpiry(room, tracked);
    this.#sending.request(room);
  }

  /** Notifies the other nodes that somebody is still typing, before the entry there expires. */
  #scheduleRefresh(room: RoomId, tracked: TrackedRoom): void {
    tracked.refreshTimer ??= setTimeout(() => {
      tracked.refreshTimer = undefined;
      this.#publishing.request(room);
    }, this.#timeouts.refreshMs).unref();
  }

  #scheduleExpiry(room: RoomId, tracked: TrackedRoom): void {
    clearTimeout(tracked.expiryTimer);
    const now = performance.now();
    const { changed, localChanged, nextAt } = tracked.typing.expire(now);
    if (localChanged) this.#publishing.request(room);
    if (changed || tracked.typing.isEmpty) this.#sending.request(room);
    if (tracked.typing.isEmpty) return;
    tracked.expiryTimer = setTimeout(() => this.#scheduleExpiry(room, tracked), nextAt - now).unref();
  }

  #send(room: RoomId): void {
    const tracked = this.#rooms.get(room);
    if (!tracked) return;
    const set = this.#countConnections(room) > maxTypingConnections ? nobody : tracked.typing.toSet();
    const json = JSON.stringify(set);
    if (tracked.sent !== json || (tracked.hasNewcomer && json !== nobodyJson)) {
      this.#emit(room, set);
      this.#scheduleResend(room, tracked, maxEmptyResends);
    }
    tracked.sent = json;
    tracked.hasNewcomer = false;
    this.#forgetIfIdle(room, tracked);
  }

  /** Returns whether a congested connection did not receive the event. */
  #emit(room: RoomId, set: Omit<TypingChanged, 'room_id'>): boolean {
    const event = { room_id: room, name: 'typing:changed', payload: { room_id: room, ...set } };
    const wasDropped = broadcastEphemeral(this.#collaborators.broadcasters, event);
    this.#collaborators.events.emitted();
    return wasDropped;
  }

  /**
   * Sends the last event again, because congested connections do not receive events. Continues while somebody is typing,
   * and after that until `emptyResends` events in a row have reached everybody.
   */
  #scheduleResend(room: RoomId, tracked: TrackedRoom, emptyResends: number): void {
    clearTimeout(tracked.resendTimer);
    tracked.resendTimer = setTimeout(() => {
      tracked.resendTimer = undefined;
      const isEmpty = tracked.sent === nobodyJson;
      const wasDropped = this.#emit(room, JSON.parse(tracked.sent));
      const left = isEmpty && !wasDropped ? emptyResends - 1 : maxEmptyResends;
      if (left > 0) this.#scheduleResend(room, tracked, left);
      else this.#forgetIfIdle(room, tracked);
    }, this.#timeouts.resendMs).unref();
  }

  #publish(room: RoomId): void {
    const tracked = this.#rooms.get(room);
    if (!tracked) return;
    const isTooLarge = this.#countConnections(room) > maxTypingConnections;
    const state = isTooLarge ? nobody : tracked.typing.toNodeState(performance.now());
    const isNews = state.count > 0 || tracked.hasPublished;
    tracked.hasPublished = state.count > 0;
    if (isNews) {
      this.#counter += 1;
      const body: z.infer<typeof Published> = { room_id: room, counter: this.#counter, ...state };
      this.#collaborators.bus.publish(topic, { room }, body);
      this.#collaborators.events.published();
    }
    this.#forgetIfIdle(room, tracked);
  }

  /** Forgets the room if its sets have been sent and published, and nothing is left that could expire or be resent. */
  #forgetIfIdle(room: RoomId, tracked: TrackedRoom): void {
    if (!tracked.typing.isEmpty || tracked.sent !== nobodyJson || tracked.hasPublished || tracked.resendTimer) return;
    clearTimers(tracked);
    this.#rooms.delete(room);
  }
}

function clearTimers({ expiryTimer, refreshTimer, resendTimer }: TrackedRoom): void {
  clearTimeout(expiryTimer);
  clearTimeout(refreshTimer);
  clearTimeout(resendTimer);
}
