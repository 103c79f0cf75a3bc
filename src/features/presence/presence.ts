import type { Actor } from '../../core/authorization.ts';
import { broadcastEphemeral, type EphemeralBroadcaster, type EphemeralBus } from '../../core/ephemeral.ts';
import type { FeedRegistry } from '../../core/feed/feed-registry.ts';
import type { RoomObserver } from '../../core/feed/room-observer.ts';
import type { RoomId, Uuid } from '../../core/ids.ts';
import { Throttle } from '../../core/throttle.ts';
import type { Presence as PresenceSet } from './contract.ts';
import { LocalPresence } from './local-presence.ts';
import { maxListedUsers } from './peer-messages.ts';
import { Peers, type PeerTimeouts } from './peers.ts';

export interface PresenceTimeouts extends PeerTimeouts {
  /** How long a user without a connection is still present. */
  graceMs: number;
  /** The minimum time between two events of a room. */
  eventMs: number;
  /** How long a reader waits for the answers of the other nodes. */
  answerMs: number;
  /** How long a room is watched after it was read, so that the next reader need not wait. */
  keepMs: number;
}

export const presenceTimeouts: PresenceTimeouts = {
  ...{ graceMs: 10_000, eventMs: 2_000, answerMs: 1_000, keepMs: 10_000 },
  ...{ aliveMs: 5_000, deadMs: 20_000, byeMs: 10_000, retryMs: 1_000 },
};

/** The topic of the connections that receive `presence:changed`, and the key of `room:join` that asks for it. */
const topic = 'presence';

export interface PresenceEvents {
  emitted(): void;
  published(): void;
}

interface Collaborators {
  bus: EphemeralBus;
  broadcasters: readonly EphemeralBroadcaster[];
  feeds: () => Pick<FeedRegistry, 'find'>;
  events: PresenceEvents;
  timeouts?: Partial<PresenceTimeouts> | undefined;
}

interface Followed {
  /** What was last sent to all connections of this node that follow the room. */
  sent: string;
  /** The room is watched at least until this time, even if no connection follows it. */
  until: number;
  onComplete: Set<() => void>;
}

/** Who is present in the rooms of all nodes. */
export class PresenceService {
  readonly #collaborators: Collaborators;
  readonly #timeouts: PresenceTimeouts;
  readonly #local: LocalPresence;
  readonly #peers: Peers;
  readonly #followed = new Map<RoomId, Followed>();
  readonly #sending: Throttle<RoomId>;
  readonly #publishing: Throttle<RoomId>;
  readonly #timer: NodeJS.Timeout;

  constructor(collaborators: Collaborators) {
    const { bus, feeds, events } = collaborators;
    this.#collaborators = collaborators;
    this.#timeouts = { ...presenceTimeouts, ...collaborators.timeouts };
    this.#sending = new Throttle(this.#timeouts.eventMs, (room) => this.#send(room));
    this.#publishing = new Throttle(this.#timeouts.eventMs, (room) => this.#peers.publish(room));
    this.#local = new LocalPresence({
      findFeed: (room) => feeds().find(room),
      graceMs: this.#timeouts.graceMs,
      onUsersChange: (room, how) => this.#onLocalChange(room, how),
    });
    this.#peers = new Peers({
      ...{ bus, timeouts: this.#timeouts, onPublished: events.published },
      readOwn: (room) => toNodeState(this.#local.list(room)),
      onChange: (room) => this.#onRemoteChange(room),
    });
    this.#timer = setInterval(() => this.#forgetUnfollowed(), this.#timeouts.keepMs).unref();
  }

  get observer(): RoomObserver {
    return this.#local;
  }

  /** Begins to ask the other nodes about the room. */
  watch(room: RoomId): void {
    const until = performance.now() + this.#timeouts.keepMs;
    const followed = this.#followed.get(room);
    if (followed) followed.until = until;
    else this.#followed.set(room, { sent: '', until, onComplete: new Set() });
    this.#peers.watch(room);
  }

  /**
   * Returns the set for a connection that follows the room from now on. Includes `newcomer`, its user, who is about to be
   * present.
   */
  readForFollower(room: RoomId, newcomer: Actor): PresenceSet {
    // The join may have taken so long that the room is no longer watched.
    this.watch(room);
    const set = this.#readNow(room, newcomer);
    const followed = this.#followed.get(room)!;
    // If the set becomes again what was last sent, the new follower must receive it nevertheless.
    if (JSON.stringify(set) !== followed.sent) followed.sent = '';
    return set;
  }

  /** Returns the users who are present, as far as this node knows. */
  #readNow(room: RoomId, newcomer?: Actor): PresenceSet {
    const own = this.#local.list(room);
    if (newcomer && !newcomer.hidesPresence) own.add(newcomer.user);
    const set = merge([toNodeState(own), ...this.#peers.listStates(room)]);
    return this.#peers.isComplete(room) ? set : { ...set, partial: true };
  }

  /** Waits for the answers of the other nodes, but at most for `answerMs`. */
  async read(room: RoomId): Promise<PresenceSet> {
    this.watch(room);
    if (!this.#peers.isComplete(room) && this.#collaborators.bus.isUp) await this.#waitUntilComplete(room);
    return this.#readNow(room);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#peers.close();
    this.#local.close();
    this.#sending.clear();
    this.#publishing.clear();
    for (const room of [...this.#followed.keys()]) this.#forget(room);
  }

  async #waitUntilComplete(room: RoomId): Promise<void> {
    const followed = this.#followed.get(room)!;
    await new Promise<void>((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        followed.onComplete.delete(settle);
        resolve();
      };
      const timer = setTimeout(settle, this.#timeouts.answerMs);
      followed.onComplete.add(settle);
    });
  }

  #onLocalChange(room: RoomId, how?: 'removed'): void {
    if (this.#followed.has(room)) this.#sending.request(room);
    if (!this.#peers.hasWatchers(room)) return;
    // Published without delay, so that the other nodes do not count a banned user for another 2 s.
    if (how === 'removed') this.#peers.publish(room);
    else this.#publishing.request(room);
  }

  #onRemoteChange(room: RoomId): void {
    const followed = this.#followed.get(room);
    if (!followed) return;
    this.#sending.request(room);
    if (followed.onComplete.size > 0 && this.#peers.isComplete(room)) for (const done of followed.onComplete) done();
  }

  #hasFollowers(room: RoomId): boolean {
    return this.#collaborators.broadcasters.some((broadcaster) => broadcaster.hasFollowers(room, topic));
  }

  #send(room: RoomId): void {
    const followed = this.#followed.get(room);
    if (!followed || !this.#hasFollowers(room)) return;
    const set = this.#readNow(room);
    const json = JSON.stringify(set);
    if (json === followed.sent) return;
    const event = { room_id: room, name: 'presence:changed', payload: { room_id: room, ...set }, topic };
    const wasDropped = broadcastEphemeral(this.#collaborators.broadcasters, event);
    followed.sent = wasDropped ? '' : json;
    if (wasDropped) this.#sending.request(room);
    this.#collaborators.events.emitted();
  }

  #forgetUnfollowed(): void {
    const now = performance.now();
    for (const [room, { until }] of this.#followed) {
      if (until <= now && !this.#hasFollowers(room)) this.#forget(room);
    }
  }

  #forget(room: RoomId): void {
    const followed = this.#followed.get(room);
    this.#followed.delete(room);
    this.#peers.unwatch(room);
    for (const done of followed?.onComplete ?? []) done();
  }
}

function toNodeState(users: ReadonlySet<Uuid>): { count: number; users?: Uuid[] } {
  if (users.size > maxListedUsers) return { count: users.size };
  return { count: users.size, users: [...users] };
}

/** If a node has not named its users, a user on several nodes is counted more than once. */
function merge(states: readonly { count: number; users?: Uuid[] | undefined }[]): PresenceSet {
  const isListed = states.every(({ users }) => users !== undefined);
  if (!isListed) return { count: states.reduce((sum, { count }) => sum + count, 0) };
  const users = [...new Set(states.flatMap(({ users }) => users!))].sort();
  return users.length > maxListedUsers ? { count: users.length } : { count: users.length, users };
}
