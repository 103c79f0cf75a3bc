import type { Actor } from '../../core/authorization.ts';
import type { RoomFeed } from '../../core/feed/room-feed.ts';
import type { RoomObserver } from '../../core/feed/room-observer.ts';
import type { Subscriber } from '../../core/feed/subscriber.ts';
import type { RoomId, Uuid } from '../../core/ids.ts';
import { affectsRights } from '../../core/log/change-kinds.ts';

/** A user without a connection, who is still present. */
interface Absentee {
  room: RoomId;
  actor: Actor;
  until: number;
}

/** The maximum number of users whose presence ends at once. Thousands are due together if they lost their connections together. */
const maxForgottenAtOnce = 200;

interface Collaborators {
  findFeed(room: RoomId): Pick<RoomFeed, 'subscribers' | 'getRights'> | undefined;
  graceMs: number;
  /**
   * Called if the users of the room on this node may have changed. `removed` means that one of them may no longer be in
   * the room.
   */
  onUsersChange(room: RoomId, how?: 'removed'): void;
}

/** The users who are present on this node: those with a live connection, and those who lost theirs a short time ago. */
export class LocalPresence implements RoomObserver {
  readonly #collaborators: Collaborators;
  /**
   * The absent users of all rooms. Each remains present for the same time (`graceMs`), so the order of insertion is the order
   * of expiry.
   */
  readonly #absent = new Map<string, Absentee>();
  readonly #absentByRoom = new Map<RoomId, Set<string>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(collaborators: Collaborators) {
    this.#collaborators = collaborators;
  }

  list(room: RoomId): Set<Uuid> {
    const users = new Set<Uuid>();
    for (const { actor } of this.#collaborators.findFeed(room)?.subscribers ?? []) {
      if (!actor.hidesPresence) users.add(actor.user);
    }
    for (const key of this.#absentByRoom.get(room) ?? []) users.add(this.#absent.get(key)!.actor.user);
    return users;
  }

  onJoined(room: RoomId, { actor }: Subscriber): void {
    this.#forget(toKey(room, actor));
    this.#collaborators.onUsersChange(room);
  }

  onLeft(room: RoomId, { actor }: Subscriber, how: 'left' | 'removed'): void {
    const key = toKey(room, actor);
    this.#forget(key);
    if (how === 'left' && !actor.hidesPresence) this.#remember(key, { room, actor });
    this.#collaborators.onUsersChange(room, how === 'removed' ? how : undefined);
  }

  /** A ban also ends the presence of a user without a connection. */
  onChange(change: Parameters<RoomObserver['onChange']>[0]): void {
    const { room_id: room } = change;
    const absent = this.#absentByRoom.get(room);
    if (!absent || !affectsRights(change)) return;
    const feed = this.#collaborators.findFeed(room);
    for (const key of absent) {
      if (feed?.getRights(this.#absent.get(key)!.actor).includes('r')) continue;
      this.#forget(key);
      this.#collaborators.onUsersChange(room, 'removed');
    }
  }

  /** The fresh token may hide the user, or stop hiding them. */
  onTokenRenewed(room: RoomId): void {
    this.#collaborators.onUsersChange(room);
  }

  /**
   * Whether a user has left the room a short time ago. If they are banned now, the node learns of it only from the
   * feed.
   */
  needsFeed(room: RoomId): boolean {
    return this.#absentByRoom.has(room);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#absent.clear();
    this.#absentByRoom.clear();
  }

  #remember(key: string, { room, actor }: Omit<Absentee, 'until'>): void {
    this.#absent.set(key, { room, actor, until: performance.now() + this.#collaborators.graceMs });
    const keys = this.#absentByRoom.get(room) ?? new Set();
    this.#absentByRoom.set(room, keys.add(key));
    this.#timer ??= this.#schedule(this.#collaborators.graceMs);
  }

  #forget(key: string): void {
    const absentee = this.#absent.get(key);
    if (!absentee) return;
    this.#absent.delete(key);
    const keys = this.#absentByRoom.get(absentee.room);
    keys?.delete(key);
    if (keys?.size === 0) this.#absentByRoom.delete(absentee.room);
  }

  #schedule(delayMs: number): NodeJS.Timeout {
    return setTimeout(() => this.#expire(), delayMs).unref();
  }

  #expire(): void {
    this.#timer = undefined;
    const now = performance.now();
    let remaining = maxForgottenAtOnce;
    for (const [key, { room, until }] of this.#absent) {
      if (until > now || remaining-- === 0) {
        this.#timer = this.#schedule(Math.max(1, until - now));
        return;
      }
      this.#forget(key);
      this.#collaborators.onUsersChange(room);
    }
  }
}

const toKey = (room: RoomId, { user }: Actor) => `${room}/${user}`;
