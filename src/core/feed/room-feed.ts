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
  snapshotRev: number | undefined;
  attachedRev: number | undefined;
  buffered: Change[];
  /** The feed is at `from`. */
  onCaughtUp: () => void;
  /** It left, or was taken out, on its way. */
  onAborted: () => void;
}

interface Snapshot {
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
  #ended = false;
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
    return this.#ended;
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
  join<T extends Snapshot>(
    subscriber: Subscriber,
    read: () => Promise<T>,
    acknowledge: (joined: T) => void,
  ): Promise<void> {
    return this.#bufferUntilCaughtUp(subscriber, read, (joining, joined, rights) => {
      this.#startAt(joined.snapshot.head, rights);
      acknowledge(joined);
      if (!this.#deliverBuffered(joining, joined.snapshot.head.rev, rights)) return;
      joining.onCaughtUp = () => this.#goLive(subscriber);
      this.#completeJoins(joining, joined.snapshot.head.rev);
    });
  }

  /**
   * A subscriber that is live asks again: it stays, and misses nothing. It is answered when the feed has come to where the
   * snapshot was taken; `later` is what the feed has delivered beyond that.
   */
  rejoin<T extends Snapshot>(
    subscriber: Subscriber,
    read: () => Promise<T>,
    acknowledge: (joined: T, later: readonly Change[]) => void,
  ): Promise<void> {
    return this.#bufferUntilCaughtUp(subscriber, read, (joining, joined) => {
      const from = joined.snapshot.head.rev;
      const later = joining.buffered.filter(({ rev }) => rev > from);
      return new Promise((resolve, reject) => {
        joining.onAborted = () => reject(new ChatError('NOT_FOUND'));
        joining.onCaughtUp = () => {
          acknowledge(joined, later);
          resolve();
        };
        this.#sequencer.expect(from);
        this.#completeJoins(joining, from);
      });
    });
  }

  /** Holds what is delivered while the snapshot is read, and judges the subscriber by it. */
  async #bufferUntilCaughtUp<T extends Snapshot>(
    subscriber: Subscriber,
    read: () => Promise<T>,
    proceed: (joining: PendingJoin, joined: T, rights: RoomRights) => Promise<void> | void,
  ): Promise<void> {
    const snapshotRev = this.position?.rev;
    const joining: PendingJoin = {
      subscriber,
      snapshotRev,
      attachedRev: undefined,
      buffered: [],
      onCaughtUp: () => {},
      onAborted: () => {},
    };
    this.#pendingJoins.add(joining);
    try {
      let joined = await read();
      // In the turn of the check the snapshot is used: nothing may move the feed in between.
      for (let tries = 1; isOlder(joined, joining); tries++) {
        if (tries === maxSnapshotReads) throw new ChatError('UNAVAILABLE');
        joined = await read();
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
    for (const joining of this.#pendingJoins) {
      if (joining.subscriber !== subscriber) continue;
      this.#pendingJoins.delete(joining);
      joining.onAborted();
    }
  }

  /** Judges a subscriber whose token has changed. */
  reauthorize(subscriber: Subscriber): void {
    if (!this.#rights || !this.#subscribers.has(subscriber)) return;
    const { denialReason } = decide(subscriber.actor, this.#rights);
    if (denialReason) this.#remove(subscriber, denialReason);
  }

  receive(envelope: BusMessage, origin: Origin = 'here'): void {
    if (envelope.kind === 'deleted') this.#delete();
    else if (envelope.kind === 'unknown') this.#onUnknownKind();
    else this.#sequencer.receive(envelope, origin);
  }

  /** The log's head as a sweep has read it; undefined where the room is gone. */
  reconcile(head: number | undefined): void {
    if (head === undefined) this.#delete();
    else this.#sequencer.catchUp(head);
  }

  /** Takes everybody out without a word; the node does not serve the room any more. */
  end(): void {
    // One that has ended is that of a deleted room.
    this.#isClosing = !this.#ended;
    this.#ended = true;
    this.#sequencer.end();
    this.#subscribers.clear();
    for (const joining of this.#pendingJoins) joining.onAborted();
    this.#pendingJoins.clear();
  }

  /** The database has lost what was delivered, by a failover or a restore: everybody begins anew. */
  reset(): void {
    const members = [...this.#subscribers, ...[...this.#pendingJoins].map(({ subscriber }) => subscriber)];
    this.end();
    for (const subscriber of new Set(members)) subscriber.reconnect();
  }

  /** Only a newer version knows what this change does, to rights too: nothing after it may be delivered here. */
  #onUnknownKind(error?: UnknownChangeKindError): void {
    this.#events.unknownKind(this.#room, error);
    this.reset();
  }

  /** The first member's snapshot says where the log stands; a later one may say that the feed is behind. */
  #startAt(position: Position, rights: RoomRights): void {
    if (this.#rights) return this.#sequencer.expect(position.rev);
    this.#rights = trackRights(rights);
    for (const other of this.#pendingJoins) other.snapshotRev ??= position.rev;
    this.#sequencer.startAt(position);
  }

  /** What came after the snapshot, as long as the subscriber may hear it; false where it may not go on. */
  #deliverBuffered({ subscriber, buffered }: PendingJoin, from: number, rights: RoomRights): boolean {
    let current: TrackedRights | undefined;
    for (const change of buffered) {
      if (change.rev <= from) continue;
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

  #completeJoins(joining: PendingJoin, from: number): void {
    joining.attachedRev = from;
    joining.buffered = [];
    if ((this.position?.rev ?? 0) >= from) this.#completeJoin(joining);
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
      for (const audience of this.#broadcasters) this.#publish(audience, change);
      this.#events.delivered(change.at, origin);
    }
    for (const joining of this.#pendingJoins) {
      if (joining.attachedRev === undefined) joining.buffered.push(change);
      else if (joining.attachedRev === change.rev) this.#completeJoin(joining);
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
      const lack = affects(change, subscriber.actor) ? decide(subscriber.actor, rights).denialReason : null;
      if (lack) this.#remove(subscriber, lack);
    }
  }

  #delete(): void {
    this.#ended = true;
    this.#sequencer.end();
    // One whose join is not acknowledged yet is told by its refusal.
    for (const joining of this.#pendingJoins) {
      if (joining.attachedRev === undefined) this.#pendingJoins.delete(joining);
      else this.#subscribers.add(joining.subscriber);
    }
    for (const subscriber of this.#subscribers) this.#remove(subscriber, 'ROOM_DELETED');
  }
}

/** The snapshot is from before the feed began to hold changes for the subscriber. */
function isOlder({ snapshot }: Snapshot, { snapshotRev }: PendingJoin): boolean {
  return snapshotRev !== undefined && snapshot.head.rev < snapshotRev;
}
