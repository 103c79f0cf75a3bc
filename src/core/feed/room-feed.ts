import type { Actor } from '../authorization.ts';
import type { Origin } from '../bus.ts';
import type { Position } from '../cursor.ts';
import { ChatError, type RemovalCode } from '../errors.ts';
import type { RoomId } from '../ids.ts';
import type { BusMessage, Change, UnknownChangeKindError } from '../log/change.ts';
import { affectsRights } from '../log/change-kinds.ts';
import { affects, applyChange, decide, type RoomRights, type TrackedRights, trackRights } from '../log/rights-cache.ts';
import type { RoomLog } from '../log/room-log.ts';
import { type Members, SmallSet } from '../small-set.ts';
import { type ChangeOrigin, ChangeSequencer, type FeedEvents, type SequencedFeed } from './change-sequencer.ts';
import { type JoinSnapshot, type PendingJoin, PendingJoins } from './pending-joins.ts';
import type { RoomObserver } from './room-observer.ts';
import type { Broadcaster, Subscriber } from './subscriber.ts';

interface Collaborators {
  room: RoomId;
  log: Pick<RoomLog, 'changes'>;
  broadcasters: readonly Broadcaster[];
  observers?: readonly RoomObserver[];
  events: FeedEvents;
}

/**
 * Delivers the changes of one room to its subscribers on this node, each change exactly once and in the order of the
 * log. Before the feed delivers a change that affects rights, it authorizes its subscribers again. Therefore nothing
 * that was committed after a ban reaches the banned user.
 */
export class RoomFeed implements SequencedFeed {
  readonly room: RoomId;
  readonly #broadcasters: readonly Broadcaster[];
  readonly #observers: readonly RoomObserver[];
  readonly #events: FeedEvents;
  readonly #sequencer: ChangeSequencer;
  /** The room and its rules after the last delivered change; undefined until the feed starts. */
  #rights: TrackedRights | undefined;
  readonly #subscribers = new SmallSet<Subscriber>();
  readonly #pendingJoins = new PendingJoins();
  /** How many subscribers have gone live. */
  #joins = 0;
  #hasEnded = false;

  constructor({ room, log, broadcasters, observers = [], events }: Collaborators) {
    this.room = room;
    this.#broadcasters = broadcasters;
    this.#observers = observers;
    this.#events = events;
    this.#sequencer = new ChangeSequencer({ feed: this, log, events });
  }

  get joins(): number {
    return this.#joins;
  }

  get isEmpty(): boolean {
    return this.#subscribers.size === 0 && this.#pendingJoins.size === 0;
  }

  /** The live subscribers on this node. */
  get subscribers(): Members<Subscriber> {
    return this.#subscribers;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Whether a join has succeeded. The feed takes its first position and rules from the snapshot of the first join. */
  get hasStarted(): boolean {
    return this.#rights !== undefined;
  }

  /** The rights of the actor after the last delivered change, as letters of `rwa`. */
  getRights(actor: Actor): string {
    return this.#rights ? decide(actor, this.#rights).rights : '';
  }

  /** The position of the last delivered change; undefined until the feed starts. */
  get position(): Position | undefined {
    return this.#sequencer.position;
  }

  /**
   * Adds a subscriber. `readSnapshot` is called again if the snapshot is older than the feed. After `acknowledge`, the
   * subscriber goes live in the same tick, or, if the snapshot is ahead of the feed, when the feed has caught up.
   */
  join<T extends JoinSnapshot>(
    subscriber: Subscriber,
    readSnapshot: () => Promise<T>,
    acknowledge: (joined: T) => void,
  ): Promise<void> {
    return this.#pendingJoins.run(subscriber, this.position?.rev, readSnapshot, (join, joined, rights) => {
      const { head } = joined.snapshot;
      this.#startAt(head, rights);
      acknowledge(joined);
      if (!this.#deliverBuffered(join, head.rev, rights)) return;
      join.onCaughtUp = () => this.#goLive(subscriber);
      this.#pendingJoins.replay(join, head.rev, this.position?.rev ?? 0);
    });
  }

  /**
   * Answers a live subscriber that joins again. The subscriber remains live, so it misses nothing. `acknowledge` is
   * called when the feed has reached the snapshot. The subscriber may then have received changes that are newer than
   * the snapshot: they are in `later`.
   */
  rejoin<T extends JoinSnapshot>(
    subscriber: Subscriber,
    readSnapshot: () => Promise<T>,
    acknowledge: (joined: T, later: readonly Change[]) => void,
  ): Promise<void> {
    return this.#pendingJoins.run(subscriber, this.position?.rev, readSnapshot, (join, joined) => {
      const snapshotRev = joined.snapshot.head.rev;
      const later = join.buffered.filter(({ rev }) => rev > snapshotRev);
      return new Promise((resolve, reject) => {
        join.onAborted = (code) => reject(new ChatError(code));
        join.onCaughtUp = () => {
          acknowledge(joined, later);
          resolve();
        };
        this.#sequencer.expectHead(snapshotRev);
        this.#pendingJoins.replay(join, snapshotRev, this.position?.rev ?? 0);
      });
    });
  }

  leave(subscriber: Subscriber): void {
    this.#leave(subscriber, 'left');
  }

  /** Called when the subscriber has a new token. Removes the subscriber if the token no longer allows reading. */
  reauthorize(subscriber: Subscriber): void {
    if (!this.#rights || !this.#subscribers.has(subscriber)) return;
    const { denialReason } = decide(subscriber.actor, this.#rights);
    if (denialReason) return this.#remove(subscriber, denialReason);
    for (const observer of this.#observers) observer.onTokenRenewed(this.room, subscriber);
  }

  receive(busMessage: BusMessage, origin: Origin = 'here'): void {
    if (busMessage.kind === 'deleted') this.#handleDeleted();
    else if (busMessage.kind === 'unknown') this.onUnknownKind();
    else this.#sequencer.receive(busMessage, origin);
  }

  /**
   * Called with the head of the log, which has just been read; `headRev` is undefined if the room no longer exists. The
   * feed reads the changes that it missed.
   */
  reconcile(headRev: number | undefined): void {
    if (headRev === undefined) this.#handleDeleted();
    else this.#sequencer.catchUp(headRev);
  }

  /** Drops all subscribers without notifying them, because the node no longer serves the room. */
  end(): void {
    this.#hasEnded = true;
    this.#sequencer.end();
    for (const subscriber of this.#subscribers) this.#leave(subscriber, 'left');
    this.#pendingJoins.abortAll('UNAVAILABLE');
  }

  /**
   * Ends the feed and makes all subscribers reconnect and resync. This is necessary if this version cannot deliver a
   * change, or if the database has lost changes that were delivered, for example in a failover.
   */
  reset(): void {
    const subscribers = new Set([...this.#subscribers, ...this.#pendingJoins.subscribers]);
    this.end();
    for (const subscriber of subscribers) subscriber.reconnect();
  }

  /**
   * An unknown change may affect rights in a way that this version cannot apply. Therefore this node must not deliver
   * anything after it.
   */
  onUnknownKind(error?: UnknownChangeKindError): void {
    this.#events.unknownKind(this.room, error);
    this.reset();
  }

  /** The first snapshot starts the feed. Later snapshots only show how far the log has advanced. */
  #startAt(position: Position, rights: RoomRights): void {
    if (this.#rights) return this.#sequencer.expectHead(position.rev);
    this.#rights = trackRights(rights);
    this.#pendingJoins.attachAll(position.rev);
    this.#sequencer.startAt(position);
  }

  /**
   * Delivers the buffered changes after the snapshot. If one of them revokes the subscriber's right to read, removes
   * the subscriber and returns false.
   */
  #deliverBuffered({ subscriber, buffered }: PendingJoin, snapshotRev: number, rights: RoomRights): boolean {
    let current: TrackedRights | undefined;
    for (const change of buffered) {
      if (change.rev <= snapshotRev) continue;
      if (affects(change, subscriber.actor)) {
        current ??= trackRights(rights);
        applyChange(current, change);
        const { denialReason } = decide(subscriber.actor, current);
        if (denialReason) {
          this.#remove(subscriber, denialReason);
          return false;
        }
      }
      subscriber.deliver(change);
    }
    return true;
  }

  /** Authorizes the subscriber again, because its token and the rules may have changed while it waited for the feed. */
  #goLive(subscriber: Subscriber): void {
    const { denialReason } = decide(subscriber.actor, this.#rights!);
    if (denialReason) return this.#remove(subscriber, denialReason);
    this.#subscribers.add(subscriber);
    this.#joins += 1;
    subscriber.goLive();
    for (const observer of this.#observers) observer.onJoined(this.room, subscriber);
  }

  #remove(subscriber: Subscriber, code: RemovalCode): void {
    this.#leave(subscriber, 'removed');
    subscriber.remove(code);
  }

  #leave(subscriber: Subscriber, how: 'left' | 'removed'): void {
    const wasLive = this.#subscribers.delete(subscriber);
    this.#pendingJoins.abort(subscriber);
    if (wasLive) for (const observer of this.#observers) observer.onLeft(this.room, subscriber, how);
  }

  /** Called by the sequencer with the next change of the log. */
  deliver(change: Change, origin: ChangeOrigin): void {
    if (this.#rights && affectsRights(change)) {
      applyChange(this.#rights, change);
      this.#reauthorizeSubscribers(change);
    }
    if (this.#subscribers.size > 0) {
      for (const broadcaster of this.#broadcasters) this.#publish(broadcaster, change);
      this.#events.delivered(change.at, origin);
    }
    this.#pendingJoins.deliver(change);
    for (const observer of this.#observers) observer.onChange(change);
  }

  /** If one transport throws, the other transports and the pending joins must still receive the change. */
  #publish(broadcaster: Broadcaster, change: Change): void {
    try {
      broadcaster.publish(change);
    } catch (error) {
      this.#events.failed(error);
    }
  }

  #reauthorizeSubscribers(change: Change): void {
    const rights = this.#rights!;
    for (const subscriber of this.#subscribers) {
      const denialReason = affects(change, subscriber.actor) ? decide(subscriber.actor, rights).denialReason : null;
      if (denialReason) this.#remove(subscriber, denialReason);
    }
  }

  #handleDeleted(): void {
    this.#hasEnded = true;
    this.#sequencer.end();
    for (const subscriber of this.#pendingJoins.abortBuffering('NOT_FOUND')) this.#subscribers.add(subscriber);
    for (const subscriber of this.#subscribers) this.#remove(subscriber, 'ROOM_DELETED');
  }
}
