import type { Origin } from '../bus.ts';
import type { Position } from '../cursor.ts';
import type { RoomId } from '../ids.ts';
import { type Change, UnknownChangeKindError } from '../log/change.ts';
import type { RoomLog } from '../log/room-log.ts';

export interface SequencerEvents {
  /** So many changes were read from the log because they were not heard. */
  repaired(changes: number): void;
  /** A change had waited for the ones before it. */
  reordered(): void;
  /** A sweep has found the room behind its log. */
  reconciled(): void;
  failed(error: unknown): void;
}

/** How a feed has come to a change: heard, or read from the log. */
export type ChangeOrigin = Origin | 'log';

export interface FeedEvents extends SequencerEvents {
  /** A newer version has changed the room in a way that this one does not know. `error` names the change, if it was read. */
  unknownKind(room: RoomId, error?: UnknownChangeKindError): void;
  /** A change, which the database numbered `at` that moment of its clock, has been told to the members here. */
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
  /** The log goes on with a change that cannot be understood. */
  onUnknownKind: (error: UnknownChangeKindError) => void;
}

/** How long a change waits for the ones before it until they are read from the log. */
const gapTimeoutMs = 30;
const repairPageSize = 500;
/** Beyond this the log keeps them better. */
const maxEarly = 2_000;

/**
 * A room's changes, each once and in the order of the log, whatever is heard of them and when: the next one is
 * delivered, an older one dropped, a later one held, and what never comes is read from the log.
 */
export class ChangeSequencer {
  readonly #room: RoomId;
  readonly #log: Pick<RoomLog, 'changes'>;
  readonly #events: SequencerEvents;
  readonly #deliver: Collaborators['deliver'];
  readonly #onUnknownKind: Collaborators['onUnknownKind'];
  /** What was delivered last; undefined until it is known where the log stands. */
  #position: Position | undefined;
  /** The highest `rev` heard of. */
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

  /** Begins after this position; what was heard before is kept where it follows. */
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

  /** The log has come so far: what is missing until then will be heard, or is read after a moment. */
  expectHead(headRev: number): void {
    this.#headRev = Math.max(this.#headRev, headRev);
    if (!this.#isBehind) return;
    this.#gapTimer ??= setTimeout(() => {
      this.#gapTimer = undefined;
      this.#repair();
    }, gapTimeoutMs).unref();
  }

  /** The same, as read from the log just now: what is missing was not heard, and is read at once. */
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

  /** What fails here is tried again by the next sweep. */
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
      // The log has not what was announced: the room may be gone, or a row was taken out by hand. The next sweep tells.
      // Where it has come on, what was read had been heard meanwhile, and there is more to read.
      if (this.#position!.rev === revBefore && this.#isBehind)
        throw new Error(`The log of room ${this.#room} has a hole`);
    }
  }
}
