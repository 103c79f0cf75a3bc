import { type Actor, can, toDenialCode } from '../authorization.ts';
import type { Origin } from '../bus.ts';
import type { Position } from '../cursor.ts';
import { ChatError, type RemovalCode } from '../errors.ts';
import type { RoomId } from '../ids.ts';
import type { BusMessage, Change, UnknownChangeKindError } from '../log/change.ts';
import { affectsRights } from '../log/change-kinds.ts';
import {
  affects,
  applyChange,
  decide,
  type RoomRights,
  type TrackedRights,
  toRoomRights,
  trackRights,
} from '../log/rights-cache.ts';
import type { RoomLog } from '../log/room-log.ts';
import type { RoomSnapshot } from '../log/room-snapshot.ts';
import { type ChangeOrigin, ChangeSequencer, type FeedEvents } from './change-sequencer.ts';

/** One connection's place in one room. All its methods are synchronous: between them nothing can slip in. */
export interface Subscriber {
  readonly actor: Actor;
  /** A change for this subscriber alone, before it has entered. */
  deliver(change: Change): void;
  /** From now on it hears what its audience announces to the room. */
  goLive(): void;
  /** It is out of the room: stop announcing to it, and tell it why. */
  remove(code: RemovalCode): void;
  /** The log is not the one it was: the connection shall come back and begin anew. */
  reconnect(): void;
}

/** One transport's members on this node. */
export interface Broadcaster {
  publish(change: Change): void;
}

/**
 * A subscriber on its way in, or one that asks again. `base` is where the feed was when it began to hold changes for it,
 * `from` the head of its snapshot.
 */
interface PendingJoin {
  subscriber: Subscriber;
  attachedRev: number | undefined;
  snapshotRev: number | undefined;
  buffered: Change[];
  /** The feed is at `from`. */
  onCaughtUp: () => void;
  /** It left, or was taken out, on its way. */
  onAborted: () => void;
}

interface JoinSnapshot {
  snapshot: RoomSnapshot;
}

interface Collaborators {
  room: RoomId;
  log: Pick<RoomLog, 'changes'>;
  broadcasters: readonly Broadcaster[];
  events: FeedEvents;
}

const maxSnapshotReads = 5;

/**
 * One room's changes on this node, in log order, each once. Members are judged by the rules as they stand at the
 * change that is delivered, so nothing that was committed after a ban reaches the banned.
 */
export class RoomFeed {
  readonly #room: RoomId;
  readonly #broadcasters: readonly Broadcaster[];
  readonly #events: FeedEvents;
  readonly #sequencer: ChangeSequencer;
  /** As of what was delivered last. */
  #rights: TrackedRights | undefined;
  readonly #subscribers = new Set<Subscriber>();
  readonly #pendingJoins = new Set<PendingJoin>();
  #hasEnded = false;
  #isClosing = false;

  constructor({ room, log, broadcasters, events }: Collaborators) {
    this.#room = room;
    this.#broadcasters = broadcasters;
    this.#events = events;
    this.#sequencer = new ChangeSequencer({
      room,
      log,
      events,
      deliver: (change, origin) => this.#deliver(change, origin),
      onUnknownKind: (error) => this.#onUnknownKind(error),
    });
  }

  get isEmpty(): boolean {
    return this.#subscribers.size === 0 && this.#pendingJoins.size === 0;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Whether it knows where the log stands: from the first subscriber on. */
  get hasStarted(): boolean {
    return this.#rights !== undefined;
  }

  /** The letters an actor has here, by the rules as of what was delivered last. */
  getRights(actor: Actor): string {
    return this.#rights ? decide(actor, this.#rights).rights : '';
  }

  /** What was delivered last. */
  get position(): Position | undefined {
    return this.#sequencer.position;
  }

  /**
   * Takes a subscriber in. `read` reads the room and what else the join needs from the log; it runs again where it came
   * too early to meet the feed. `acknowledge` is called in the same turn in which the subscriber goes live.
   */
  join<T extends JoinSnapshot>(
    subscriber: Subscriber,
    readSnapshot: () => Promise<T>,
    acknowledge: (joined: T) => void,
  ): Promise<void> {
    return this.#bufferUntilCaughtUp(subscriber, readSnapshot, (pendingJoin, joined, rights) => {
      this.#startAt(joined.snapshot.head, rights);
      acknowledge(joined);
      if (!this.#deliverBuffered(pendingJoin, joined.snapshot.head.rev, rights)) return;
      pendingJoin.onCaughtUp = () => this.#goLive(subscriber);
      this.#completeWhenCaughtUp(pendingJoin, joined.snapshot.head.rev);
    });
  }

  /**
   * A subscriber that is live asks again: it stays, and misses nothing. It is answered when the feed has come to where the
   * snapshot was taken; `later` is what the feed has delivered beyond that.
   */
  rejoin<T extends JoinSnapshot>(
    subscriber: Subscriber,
    readSnapshot: () => Promise<T>,
    acknowledge: (joined: T, later: readonly Change[]) => void,
  ): Promise<void> {
    return this.#bufferUntilCaughtUp(subscriber, readSnapshot, (pendingJoin, joined) => {
      const snapshotRev = joined.snapshot.head.rev;
      const later = pendingJoin.buffered.filter(({ rev }) => rev > snapshotRev);
      return new Promise((resolve, reject) => {
        pendingJoin.onAborted = () => reject(new ChatError('NOT_FOUND'));
        pendingJoin.onCaughtUp = () => {
          acknowledge(joined, later);
          resolve();
        };
        this.#sequencer.expectHead(snapshotRev);
        this.#completeWhenCaughtUp(pendingJoin, snapshotRev);
      });
    });
  }

  /** Holds what is delivered while the snapshot is read, and judges the subscriber by it. */
  async #bufferUntilCaughtUp<T extends JoinSnapshot>(
    subscriber: Subscriber,
    readSnapshot: () => Promise<T>,
    proceed: (pendingJoin: PendingJoin, joined: T, rights: RoomRights) => Promise<void> | void,
  ): Promise<void> {
    const attachedRev = this.position?.rev;
    const joining: PendingJoin = {
      subscriber,
      attachedRev,
      snapshotRev: undefined,
      buffered: [],
      onCaughtUp: () => {},
      onAborted: () => {},
    };
    this.#pendingJoins.add(joining);
    try {
      let joined = await readSnapshot();
      // In the turn of the check the snapshot is used: nothing may move the feed in between.
      for (let attempts = 1; isOlder(joined, joining); attempts++) {
        if (attempts === maxSnapshotReads) throw new ChatError('UNAVAILABLE');
        joined = await readSnapshot();
      }
      const rights = toRoomRights(joined.snapshot);
      const decision = decide(subscriber.actor, rights);
      if (!can(decision, 'read')) throw new ChatError(toDenialCode(decision));
      if (!this.#pendingJoins.has(joining)) throw new ChatError(this.#isClosing ? 'UNAVAILABLE' : 'NOT_FOUND');
      await proceed(joining, joined, rights);
    } catch (error) {
      this.#pendingJoins.delete(joining);
      throw error;
    }
  }

  leave(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    for (const pendingJoin of this.#pendingJoins) {
      if (pendingJoin.subscriber !== subscriber) continue;
      this.#pendingJoins.delete(pendingJoin);
      pendingJoin.onAborted();
    }
  }

  /** Judges a subscriber whose token has changed. */
  reauthorize(subscriber: Subscriber): void {
    if (!this.#rights || !this.#subscribers.has(subscriber)) return;
    const { denialReason } = decide(subscriber.actor, this.#rights);
    if (denialReason) this.#remove(subscriber, denialReason);
  }

  receive(busMessage: BusMessage, origin: Origin = 'here'): void {
    if (busMessage.kind === 'deleted') this.#handleDeleted();
    else if (busMessage.kind === 'unknown') this.#onUnknownKind();
    else this.#sequencer.receive(busMessage, origin);
  }

  /** The log's head as a sweep has read it; undefined where the room is gone. */
  reconcile(headRev: number | undefined): void {
    if (headRev === undefined) this.#handleDeleted();
    else this.#sequencer.catchUp(headRev);
  }

  /** Takes everybody out without a word; the node does not serve the room any more. */
  end(): void {
    // One that has ended is that of a deleted room.
    this.#isClosing = !this.#hasEnded;
    this.#hasEnded = true;
    this.#sequencer.end();
    this.#subscribers.clear();
    for (const pendingJoin of this.#pendingJoins) pendingJoin.onAborted();
    this.#pendingJoins.clear();
  }

  /** The database has lost what was delivered, by a failover or a restore: everybody begins anew. */
  reset(): void {
    const subscribers = [...this.#subscribers, ...[...this.#pendingJoins].map(({ subscriber }) => subscriber)];
    this.end();
    for (const subscriber of new Set(subscribers)) subscriber.reconnect();
  }

  /** Only a newer version knows what this change does, to rights too: nothing after it may be delivered here. */
  #onUnknownKind(error?: UnknownChangeKindError): void {
    this.#events.unknownKind(this.#room, error);
    this.reset();
  }

  /** The first member's snapshot says where the log stands; a later one may say that the feed is behind. */
  #startAt(position: Position, rights: RoomRights): void {
    if (this.#rights) return this.#sequencer.expectHead(position.rev);
    this.#rights = trackRights(rights);
    for (const other of this.#pendingJoins) other.attachedRev ??= position.rev;
    this.#sequencer.startAt(position);
  }

  /** What came after the snapshot, as long as the subscriber may hear it; false where it may not go on. */
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

  #completeWhenCaughtUp(pendingJoin: PendingJoin, from: number): void {
    pendingJoin.snapshotRev = from;
    pendingJoin.buffered = [];
    if ((this.position?.rev ?? 0) >= from) this.#completeJoin(pendingJoin);
  }

  #completeJoin(joining: PendingJoin): void {
    this.#pendingJoins.delete(joining);
    joining.onCaughtUp();
  }

  /** Judged once more: the member's token may have changed while it waited for the feed. */
  #goLive(subscriber: Subscriber): void {
    const { denialReason } = decide(subscriber.actor, this.#rights!);
    if (denialReason) return this.#remove(subscriber, denialReason);
    this.#subscribers.add(subscriber);
    subscriber.goLive();
  }

  #remove(subscriber: Subscriber, code: RemovalCode): void {
    this.leave(subscriber);
    subscriber.remove(code);
  }

  #deliver(change: Change, origin: ChangeOrigin): void {
    if (this.#rights && affectsRights(change)) {
      applyChange(this.#rights, change);
      this.#reauthorizeSubscribers(change);
    }
    if (this.#subscribers.size > 0) {
      for (const broadcaster of this.#broadcasters) this.#publish(broadcaster, change);
      this.#events.delivered(change.at, origin);
    }
    for (const pendingJoin of this.#pendingJoins) {
      if (pendingJoin.snapshotRev === undefined) pendingJoin.buffered.push(change);
      else if (pendingJoin.snapshotRev === change.rev) this.#completeJoin(pendingJoin);
    }
  }

  /** One transport that fails must not keep the change from the other, nor from those who join. */
  #publish(audience: Broadcaster, change: Change): void {
    try {
      audience.publish(change);
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
    // One whose join is not acknowledged yet is told by its refusal.
    for (const pendingJoin of this.#pendingJoins) {
      if (pendingJoin.snapshotRev === undefined) this.#pendingJoins.delete(pendingJoin);
      else this.#subscribers.add(pendingJoin.subscriber);
    }
    for (const subscriber of this.#subscribers) this.#remove(subscriber, 'ROOM_DELETED');
  }
}

/** The snapshot is from before the feed began to hold changes for the subscriber. */
function isOlder({ snapshot }: JoinSnapshot, { attachedRev }: PendingJoin): boolean {
  return attachedRev !== undefined && snapshot.head.rev < attachedRev;
}
