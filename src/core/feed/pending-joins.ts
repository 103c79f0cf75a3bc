import { can, toDenialCode } from '../authorization.ts';
import { ChatError } from '../errors.ts';
import type { Change } from '../log/change.ts';
import { decide, type RoomRights, toRoomRights } from '../log/rights-cache.ts';
import type { RoomSnapshot } from '../log/room-snapshot.ts';
import { SmallSet } from '../small-set.ts';
import type { Subscriber } from './subscriber.ts';

/** What a join reads from the log. Callers may extend this type with the data that they need in addition. */
export interface JoinSnapshot {
  snapshot: RoomSnapshot;
}

type AbortCode = 'NOT_FOUND' | 'UNAVAILABLE';

/**
 * A join or rejoin that is not complete yet. It buffers the changes that the feed delivers until the snapshot has been
 * read. If the snapshot is ahead of the feed, the join then waits for the feed.
 */
export interface PendingJoin {
  readonly subscriber: Subscriber;
  /** In `replaying`, the join waits until the feed has delivered the change at `snapshotRev`. */
  phase: 'buffering' | 'replaying' | 'live' | 'aborted';
  /**
   * The `rev` of the feed when the join began to buffer; undefined if the feed has not started. An older snapshot is
   * not usable, because the changes between the snapshot and the first buffered change would be missing.
   */
  attachedRev: number | undefined;
  /** The `rev` of the snapshot's head. */
  snapshotRev: number;
  buffered: Change[];
  onCaughtUp: () => void;
  /**
   * Called if the join cannot complete. The code is `NOT_FOUND` if the subscriber left or was removed or the room was
   * deleted, and `UNAVAILABLE` if the feed ended.
   */
  onAborted: (code: AbortCode) => void;
}

const maxSnapshotReads = 5;

/** The joins of one room that are not complete yet. */
export class PendingJoins {
  readonly #joins = new SmallSet<PendingJoin>();

  get size(): number {
    return this.#joins.size;
  }

  get subscribers(): Subscriber[] {
    return [...this.#joins].map(({ subscriber }) => subscriber);
  }

  /**
   * Buffers changes until the snapshot has been read, then calls `proceed`. Rejects if the rules in the snapshot do not
   * allow the actor to read.
   */
  async run<T extends JoinSnapshot>(
    subscriber: Subscriber,
    attachedRev: number | undefined,
    readSnapshot: () => Promise<T>,
    proceed: (join: PendingJoin, joined: T, rights: RoomRights) => Promise<void> | void,
  ): Promise<void> {
    let abortCode: AbortCode | undefined;
    const join: PendingJoin = {
      subscriber,
      phase: 'buffering',
      attachedRev,
      snapshotRev: 0,
      buffered: [],
      onCaughtUp: () => {},
      onAborted: (code) => {
        abortCode = code;
      },
    };
    this.#joins.add(join);
    try {
      let joined = await readSnapshot();
      // There must be no `await` between this check and `proceed`: the feed could start or deliver changes meanwhile.
      for (let attempts = 1; isOlder(joined, join) || splitsRepair(joined, join); attempts++) {
        if (attempts === maxSnapshotReads) throw new ChatError('UNAVAILABLE');
        joined = await readSnapshot();
      }
      const rights = toRoomRights(joined.snapshot);
      const decision = decide(subscriber.actor, rights);
      if (!can(decision, 'read')) throw new ChatError(toDenialCode(decision));
      if (abortCode) throw new ChatError(abortCode);
      await proceed(join, joined, rights);
    } catch (error) {
      this.#joins.delete(join);
      throw error;
    }
  }

  /** Called when the feed starts, with the `rev` at which it starts. */
  attachAll(rev: number): void {
    for (const join of this.#joins) join.attachedRev ??= rev;
  }

  /**
   * Stops buffering, and completes the join as soon as the feed reaches `snapshotRev`. `feedRev` is the current `rev`
   * of the feed.
   */
  replay(join: PendingJoin, snapshotRev: number, feedRev: number): void {
    join.phase = 'replaying';
    join.snapshotRev = snapshotRev;
    join.buffered = [];
    if (feedRev >= snapshotRev) this.#complete(join);
  }

  /** Called for each change that the feed has delivered. */
  deliver(change: Change): void {
    for (const join of this.#joins) {
      if (join.phase === 'buffering') join.buffered.push(change);
      else if (join.snapshotRev === change.rev) this.#complete(join);
    }
  }

  abort(subscriber: Subscriber): void {
    for (const join of this.#joins) if (join.subscriber === subscriber) this.#abort(join, 'NOT_FOUND');
  }

  abortAll(code: AbortCode): void {
    for (const join of this.#joins) this.#abort(join, code);
  }

  /**
   * Aborts the joins that are still reading their snapshot: they fail with `code`. Returns the subscribers of the
   * remaining joins, which may have been acknowledged already.
   */
  abortBuffering(code: AbortCode): Subscriber[] {
    for (const join of this.#joins) if (join.phase === 'buffering') this.#abort(join, code);
    return this.subscribers;
  }

  #abort(join: PendingJoin, code: AbortCode): void {
    this.#joins.delete(join);
    join.phase = 'aborted';
    join.onAborted(code);
  }

  #complete(join: PendingJoin): void {
    this.#joins.delete(join);
    join.phase = 'live';
    join.onCaughtUp();
  }
}

function isOlder({ snapshot }: JoinSnapshot, { attachedRev }: PendingJoin): boolean {
  return attachedRev !== undefined && snapshot.head.rev < attachedRev;
}

/**
 * Whether the subscriber would miss a change of a message. A repair gives each message once and skips its later entries.
 * If the snapshot lies between the two, it may not contain what the skipped entry has changed.
 */
function splitsRepair({ snapshot }: JoinSnapshot, { buffered }: PendingJoin): boolean {
  return buffered.some(({ kind, rev }) => kind === 'skipped' && rev > snapshot.head.rev);
}
