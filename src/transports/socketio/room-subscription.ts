import type { Actor } from '../../core/authorization.ts';
import type { RemovalCode } from '../../core/errors.ts';
import type { Subscriber } from '../../core/feed/subscriber.ts';
import type { RoomId } from '../../core/ids.ts';
import type { Change } from '../../core/log/change.ts';

/** The methods of a session that its subscriptions use. */
interface SubscribedSession {
  readonly actor: Actor;
  deliver(change: Change): void;
  deliverEvent(name: string, payload: object): void;
  catchUp(id: RoomId): void;
  enterRoom(id: RoomId): void;
  removeFrom(id: RoomId, code: RemovalCode): void;
  reconnect(): void;
  leaveFeed(id: RoomId, subscriber: Subscriber): void;
}

/** One session in one room. It has few fields, because a node may have very many of these objects. */
export class RoomSubscription implements Subscriber {
  readonly #id: RoomId;
  readonly #session: SubscribedSession;
  #hasJoined = false;
  #hasLeft = false;
  /** The topics that the session follows in this room; undefined for most sessions, to save memory. */
  #topics: string[] | undefined;

  constructor(id: RoomId, session: SubscribedSession) {
    this.#id = id;
    this.#session = session;
  }

  get actor(): Actor {
    return this.#session.actor;
  }

  deliver(change: Change): void {
    this.#session.deliver(change);
  }

  deliverEvent(name: string, payload: object): void {
    this.#session.catchUp(this.#id);
    this.#session.deliverEvent(name, payload);
  }

  goLive(): void {
    this.#session.enterRoom(this.#id);
  }

  remove(code: RemovalCode): void {
    this.#session.removeFrom(this.#id, code);
  }

  reconnect(): void {
    this.#session.reconnect();
  }

  get topics(): readonly string[] {
    return this.#topics ?? [];
  }

  /** Returns false if it was followed already. */
  follow(topic: string): boolean {
    if (this.topics.includes(topic)) return false;
    this.#topics = [...this.topics, topic];
    return true;
  }

  /** Returns false if it was not followed. */
  unfollow(topic: string): boolean {
    if (!this.topics.includes(topic)) return false;
    this.#topics = this.topics.filter((followed) => followed !== topic);
    return true;
  }

  /** Ends the subscription at once if the session has left the room during the join. */
  onJoined(): void {
    this.#hasJoined = true;
    if (this.#hasLeft) this.#leaveFeed();
  }

  leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    if (this.#hasJoined) this.#leaveFeed();
  }

  #leaveFeed(): void {
    this.#session.leaveFeed(this.#id, this);
  }
}
