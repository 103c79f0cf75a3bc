import type { Origin } from '../bus.ts';
import type { Position } from '../cursor.ts';
import type { RoomId } from '../ids.ts';
import { type Change, UnknownChangeKindError } from '../log/change.ts';
import type { RoomLog } from '../log/room-log.ts';

export interface SequencerEvents {
  /** This many changes were read from the log because the bus did not bring them. */
  repaired(changes: number): void;
  /** A change arrived before its predecessor. */
  reordered(): void;
  /** A reconciliation has found the room behind its log. */
  reconciled(): void;
  failed(error: unknown): void;
}

/** Who published the change; `log`: it was read from the log. */
export type ChangeOrigin = Origin | 'log';

export interface FeedEvents extends SequencerEvents {
  /** A newer version has changed the room in a way that this one does not know. `error` names the change, if it was read. */
  unknownKind(room: RoomId, error?: UnknownChangeKindError): void;
  /** A change was delivered to the subscribers on this node. `at` is its commit time by the clock of the database. */
  delivered(at: number, origin: ChangeOrigin): void;
}

interface ReceivedChange {
  change: Change;
  origin: Origin;
}

interface Collaborators {
  room: RoomId;
  log: Pick<RoomLog, 'changes'>;
  events: SequencerEvents;
  deliver: (change: Change, origin: ChangeOrigin) => void;
  /** The next change of the log is of a kind that this version does not know. */
  onUnknownKind: (error: UnknownChangeKindError) => void;
}

/** How long a change waits for its predecessors before they are read from the log. */
const gapTimeoutMs = 30;
const repairPageSize = 500;
/** Early changes beyond this are dropped and read from the log later. */
const maxEarly = 2_000;

/**
 * Delivers a room's changes once each and in log order, however the bus brings them: it drops duplicates, holds early
 * changes back, and reads missing ones from the log.
 */
export class ChangeSequencer {
  readonly #room: RoomId;
  readonly #log: Pick<RoomLog, 'changes'>;
  readonly #events: SequencerEvents;
  readonly #deliver: Collaborators['deliver'];
  readonly #onUnknownKind: Collaborators['onUnknownKind'];
  /** Of the last delivered change; undefined until `startAt`. */
  #position: Position | undefined;
  /** The highest known `rev` of the log. */
  #headRev = 0;
  readonly #early = new Map<number, ReceivedChange>();
  #gapTimer: NodeJS.Timeout | undefined;
  #runningRepair: Promise<void> | undefined;
  #hasEnded = false;

  constructor({ room, log, events, deliver, onUnknownKind }: Collaborators) {
    this.#room = room;
    this.#log = log;
    this.#events = events;
    this.#deliver = deliver;
    this.#onUnknownKind = onUnknownKind;
  }

  get position(): Position | undefined {
    return this.#position;
  }

  /** Delivers changes after this position, including those that were received before. */
  startAt(position: Position): void {
    this.#position = position;
    for (const rev of this.#early.keys()) if (rev <= position.rev) this.#early.delete(rev);
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
    } else if (this.#early.size < maxEarly) {
      this.#early.set(rev, { change, origin });
    }
    this.expectHead(rev);
  }

  /** The log has reached this `rev`. Missing changes get some time to arrive before they are read from the log. */
  expectHead(headRev: number): void {
    this.#headRev = Math.max(this.#headRev, headRev);
    if (!this.#isBehind) return;
    this.#gapTimer ??= setTimeout(() => {
      this.#gapTimer = undefined;
      this.#repair();
    }, gapTimeoutMs).unref();
  }

  /** Like `expectHead`, for a head that was just read from the log: missing changes are lost, and read at once. */
  catchUp(head: number): void {
    this.#headRev = Math.max(this.#headRev, head);
    if (this.#isBehind && !this.#runningRepair) this.#events.reconciled();
    this.#repair();
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#gapTimer);
    this.#early.clear();
  }

  get #isBehind(): boolean {
    return !this.#hasEnded && this.#position !== undefined && this.#position.rev < this.#headRev;
  }

  #advance(change: Change, origin: ChangeOrigin): void {
    this.#position = { room_id: change.room_id, rev: change.rev, at: change.at };
    this.#deliver(change, origin);
  }

  #deliverEarly(): void {
    for (let next = this.#nextEarly(); next && !this.#hasEnded; next = this.#nextEarly()) {
      this.#early.delete(next.change.rev);
      this.#events.reordered();
      this.#advance(next.change, next.origin);
    }
  }

  #nextEarly(): ReceivedChange | undefined {
    return this.#position && this.#early.get(this.#position.rev + 1);
  }

  /** The next reconciliation retries a repair that fails. */
  #repair(): void {
    if (!this.#isBehind) return;
    this.#runningRepair ??= this.#readMissing()
      .catch((error) => {
        if (!(error instanceof UnknownChangeKindError)) this.#events.failed(error);
        else if (!this.#hasEnded) this.#onUnknownKind(error);
      })
      .finally(() => {
        this.#runningRepair = undefined;
      });
  }

  async #readMissing(): Promise<void> {
    while (this.#isBehind) {
      const revBefore = this.#position!.rev;
      const changes = await this.#log.changes(this.#room, revBefore + 1, this.#headRev, repairPageSize);
      let repaired = 0;
      for (const change of changes) {
        if (this.#hasEnded || change.rev !== this.#position!.rev + 1) continue;
        this.#early.delete(change.rev);
        this.#advance(change, 'log');
        repaired += 1;
      }
      this.#events.repaired(repaired);
      this.#deliverEarly();
      // The position may have advanced without the read, by changes that arrived meanwhile. If it has not, the log does
      // not contain the change: the room was deleted, or a row was removed by hand. The next reconciliation finds out.
      if (this.#position!.rev === revBefore && this.#isBehind) {
        throw new Error(`The log of room ${this.#room} has no change of rev ${revBefore + 1}`);
      }
    }
  }
}
