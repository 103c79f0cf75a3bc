import { can, toDenialCode } from '../authorization.ts';
import { ChatError } from '../errors.ts';
import type { Change } from '../log/change.ts';
import { decide, type RoomRights, toRoomRights } from '../log/rights-cache.ts';
import type { RoomSnapshot } from '../log/room-snapshot.ts';
import type { Subscriber } from './subscriber.ts';

/** What a join reads: the room's snapshot, and with it whatever its caller needs. */
export interface JoinSnapshot {
  snapshot: RoomSnapshot;
}

type AbortCode = 'NOT_FOUND' | 'UNAVAILABLE';

/** A join or rejoin. It buffers the changes that arrive while its snapshot is read; then it waits for the feed. */
export interface PendingJoin {
  readonly subscriber: Subscriber;
  /** `replaying` ends when the feed has delivered the change of `snapshotRev`. */
  phase: 'buffering' | 'replaying' | 'live' | 'aborted';
  /** The feed's position when the buffering began. An older snapshot would leave a gap before the buffered changes. */
  attachedRev: number | undefined;
  /** The head of the snapshot. */
  snapshotRev: number;
  buffered: Change[];
  onCaughtUp: () => void;
  /** The subscriber left or was removed, the room was deleted (`NOT_FOUND`), or the feed ended (`UNAVAILABLE`). */
  onAborted: (code: AbortCode) => void;
}

const maxSnapshotReads = 5;

/** The joins of one room that have not gone live yet. */
export class PendingJoins {
  readonly #joins = new Set<PendingJoin>();

  get size(): number {
    return this.#joins.size;
  }

  get subscribers(): Subscriber[] {
    return [...this.#joins].map(({ subscriber }) => subscriber);
  }

  /** Buffers changes until `readSnapshot` has answered, and rejects if the snapshot does not let the actor read. */
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
      // No `await` between this check and `proceed`: the feed could start or move on meanwhile.
      for (let attempts = 1; isOlder(joined, join); attempts++) {
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

  /** The feed starts at this `rev`. */
  attachAll(rev: number): void {
    for (const join of this.#joins) join.attachedRev ??= rev;
  }

  /** The snapshot is in use: waits until the feed, which is at `feedRev`, has reached it. */
  replay(join: PendingJoin, snapshotRev: number, feedRev: number): void {
    join.phase = 'replaying';
    join.snapshotRev = snapshotRev;
    join.buffered = [];
    if (feedRev >= snapshotRev) this.#complete(join);
  }

  /** The feed has delivered a change. */
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

  /** Removes joins that have no snapshot yet; their own error answers them. Returns the subscribers of the others. */
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
