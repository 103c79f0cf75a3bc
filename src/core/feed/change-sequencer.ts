import type { Origin } from '../bus.ts';
import type { Position } from '../cursor.ts';
import type { RoomId } from '../ids.ts';
import { type Change, UnknownChangeKindError } from '../log/change.ts';
import type { RoomLog } from '../log/room-log.ts';

export interface SequencerEvents {
  /** Changes that did not arrive on the bus were read from the log. */
  repaired(changes: number): void;
  /** A change arrived before its predecessor, and has now been delivered after it. */
  reordered(): void;
  /** A comparison with the log showed that changes were missing. */
  reconciled(): void;
  failed(error: unknown): void;
}

/** `log` means that the change did not arrive on the bus and was read from the log. */
export type ChangeOrigin = Origin | 'log';

export interface FeedEvents extends SequencerEvents {
  /**
   * A node with a newer version wrote a change of a kind that this version does not know. `error` is undefined if the
   * change arrived on the bus.
   */
  unknownKind(room: RoomId, error?: UnknownChangeKindError): void;
  /** A change was delivered to the subscribers on this node. `at` is its commit time according to the database. */
  delivered(at: number, origin: ChangeOrigin): void;
}

interface ReceivedChange {
  change: Change;
  origin: Origin;
}

/** The feed that a sequencer delivers to. An interface instead of callbacks, because each room would need its own closures. */
export interface SequencedFeed {
  readonly room: RoomId;
  /** How many subscribers have gone live so far. */
  readonly joins: number;
  deliver(change: Change, origin: ChangeOrigin): void;
  /** Called if the next change in the log is of a kind that this version does not know. */
  onUnknownKind(error: UnknownChangeKindError): void;
}

interface Collaborators {
  feed: SequencedFeed;
  log: Pick<RoomLog, 'changes'>;
  events: SequencerEvents;
}

/** How long missing changes may still arrive on the bus before they are read from the log. */
const gapTimeoutMs = 30;
const repairPageSize = 500;
/** The maximum number of early changes that are kept. Others are dropped, and read from the log later. */
const maxEarly = 2_000;

/**
 * Delivers each change of a room exactly once and in the order of the log, although the bus may lose, duplicate or
 * reorder changes. Duplicates are dropped, changes that arrive too early are held back, and missing changes are read
 * from the log.
 */
export class ChangeSequencer {
  readonly #feed: SequencedFeed;
  readonly #log: Pick<RoomLog, 'changes'>;
  readonly #events: SequencerEvents;
  /** The position of the last delivered change; undefined until `startAt` is called. */
  #position: Position | undefined;
  /** The highest known `rev` of the log. */
  #headRev = 0;
  /** Changes that arrived before their predecessors, by `rev`. Undefined until there is one, to save memory. */
  #early: Map<number, ReceivedChange> | undefined;
  #gapTimer: NodeJS.Timeout | undefined;
  #runningRepair: Promise<void> | undefined;
  #hasEnded = false;

  constructor({ feed, log, events }: Collaborators) {
    this.#feed = feed;
    this.#log = log;
    this.#events = events;
  }

  get position(): Position | undefined {
    return this.#position;
  }

  /** Starts to deliver the changes after this position, including those that have already been received. */
  startAt(position: Position): void {
    this.#position = position;
    for (const rev of this.#early?.keys() ?? []) if (rev <= position.rev) this.#early!.delete(rev);
    this.#deliverEarly();
    this.expectHead(position.rev);
  }

  receive(change: Change, origin: Origin = 'here'): void {
    const { rev } = change;
    const deliveredRev = this.#position?.rev;
    if (this.#hasEnded || (deliveredRev !== undefined && rev <= deliveredRev)) return;
    if (deliveredRev !== undefined && rev === deliveredRev + 1) {
      this.#advance(change, origin);
      this.#deliverEarly();
    } else {
      this.#early ??= new Map();
      if (this.#early.size < maxEarly) this.#early.set(rev, { change, origin });
    }
    this.expectHead(rev);
  }

  /**
   * Called when the log is known to have reached this `rev`. Missing changes get `gapTimeoutMs` to arrive on the bus
   * before they are read from the log.
   */
  expectHead(headRev: number): void {
    this.#headRev = Math.max(this.#headRev, headRev);
    if (!this.#isBehind) return;
    this.#gapTimer ??= setTimeout(() => {
      this.#gapTimer = undefined;
      this.#repair();
    }, gapTimeoutMs).unref();
  }

  /**
   * Like `expectHead`, but reads missing changes from the log at once. Called during a reconciliation: changes that are
   * still missing by then have probably been lost.
   */
  catchUp(head: number): void {
    this.#headRev = Math.max(this.#headRev, head);
    if (this.#isBehind && !this.#runningRepair) this.#events.reconciled();
    this.#repair();
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#gapTimer);
    this.#early = undefined;
  }

  get #isBehind(): boolean {
    return !this.#hasEnded && this.#position !== undefined && this.#position.rev < this.#headRev;
  }

  #advance(change: Change, origin: ChangeOrigin): void {
    this.#position = { room_id: change.room_id, rev: change.rev, at: change.at };
    this.#feed.deliver(change, origin);
  }

  #deliverEarly(): void {
    for (let next = this.#nextEarly(); next && !this.#hasEnded; next = this.#nextEarly()) {
      this.#early!.delete(next.change.rev);
      this.#events.reordered();
      this.#advance(next.change, next.origin);
    }
    if (this.#early?.size === 0) this.#early = undefined;
  }

  #nextEarly(): ReceivedChange | undefined {
    return this.#position && this.#early?.get(this.#position.rev + 1);
  }

  /** Reads missing changes from the log. If that fails, the next reconciliation tries again. */
  #repair(): void {
    if (!this.#isBehind) return;
    this.#runningRepair ??= this.#readMissing()
      .catch((error) => {
        if (!(error instanceof UnknownChangeKindError)) this.#events.failed(error);
        else if (!this.#hasEnded) this.#feed.onUnknownKind(error);
      })
      .finally(() => {
        this.#runningRepair = undefined;
      });
  }

  async #readMissing(): Promise<void> {
    while (this.#isBehind) {
      const revBefore = this.#position!.rev;
      const changes = await this.#log.changes(this.#feed.room, revBefore + 1, this.#headRev, repairPageSize);
      const { joins } = this.#feed;
      let repaired = 0;
      for (const change of changes) {
        // A subscriber that went live in the middle of the page has not received the message that the page skips now, so
        // the page is read again from here.
        if (change.kind === 'skipped' && this.#feed.joins !== joins) break;
        // If the bus has meanwhile delivered a change of this page, the rest of the page cannot be used. The page skips
        // the later changes of a message, because its first entry of the message already includes them; the change from
        // the bus does not.
        if (this.#hasEnded || change.rev !== this.#position!.rev + 1) break;
        this.#early?.delete(change.rev);
        this.#advance(change, 'log');
        repaired += 1;
      }
      this.#events.repaired(repaired);
      this.#deliverEarly();
      // If nothing was delivered, the next change is missing from the log: the room was deleted, or somebody deleted a
      // row by hand. The error ends this loop, which would otherwise run forever. If the room was deleted, the next
      // reconciliation notices it.
      if (this.#position!.rev === revBefore && this.#isBehind) {
        throw new Error(`The log of room ${this.#feed.room} has no change of rev ${revBefore + 1}`);
      }
    }
  }
}
