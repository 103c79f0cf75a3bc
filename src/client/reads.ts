import type { Operation } from './api.ts';
import type { ChangeQueue } from './change-queue.ts';
import type { RoomConnection } from './connection.ts';
import type { ReadReceipt } from './wire.ts';

interface Mark {
  name: 'read:mark';
  key: 'mark';
  seq: number;
  force: boolean;
}

/** How far users have read in a room, including the user's own marks. */
export class Reads {
  readonly #connection: RoomConnection;
  readonly #ref: number | string;
  readonly #queue: ChangeQueue;
  #known = new Map<string, ReadReceipt>();
  /**
   * Whether the user has marked messages as unread. Until they open the room again, no messages are marked as read
   * automatically.
   */
  #isForcedUnread = false;

  constructor(connection: RoomConnection, ref: number | string, queue: ChangeQueue) {
    this.#connection = connection;
    this.#ref = ref;
    this.#queue = queue;
  }

  /** Includes the user's own marks that the service has not acknowledged yet. */
  get all(): readonly ReadReceipt[] {
    const user = this.#user;
    const pending = this.#pendingMarks;
    if (!user || pending.length === 0) return [...this.#known.values()];
    const known = this.#known.get(user) ?? { user, read_seq: 0, version: 0 };
    const move = (read: number, { seq, force }: Mark) => (force ? seq : Math.max(read, seq));
    return [...new Map(this.#known).set(user, { ...known, read_seq: pending.reduce(move, known.read_seq) }).values()];
  }

  handleOpened(): void {
    this.#isForcedUnread = false;
  }

  /**
   * For each user, keeps the position with the greater version. A complete list also removes the users that it does not
   * contain, because they may no longer read.
   */
  receive(reads: readonly ReadReceipt[], isComplete = false): void {
    const before = this.#known;
    if (isComplete) this.#known = new Map();
    for (const read of reads) {
      const known = before.get(read.user);
      const isNewer = !known || read.version > known.version;
      this.#known.set(read.user, isNewer ? read : known);
      if (isNewer && known && read.user === this.#user && read.read_seq < known.read_seq) this.#handleForcedUnread();
    }
  }

  mark(seq: number | undefined, newestSeq: number, force: boolean): Operation<ReadReceipt> {
    const user = this.#user ?? '';
    const target = Math.min(seq ?? newestSeq, newestSeq);
    const own = this.all.find((read) => read.user === user);
    if (!force && ((seq === undefined && this.#isForcedUnread) || (own && own.read_seq >= target)))
      return this.#queue.addSettled(own ?? { user, read_seq: 0, version: 0 });
    this.#isForcedUnread = force && target < newestSeq;
    const mark: Mark = { name: 'read:mark', key: 'mark', seq: target, force };
    return this.#queue.add({
      ...mark,
      seqs: [],
      toPayload: () => ({ room_id: this.#ref, seq: target, ...(force && { force }) }),
      confirm: ({ read_seq, version }) => {
        const read = { user, read_seq, version };
        this.receive([read]);
        return read;
      },
    });
  }

  get #user(): string | undefined {
    return this.#connection.claims?.user;
  }

  get #pendingMarks(): Mark[] {
    return this.#queue.pending.filter((change) => change.key === 'mark') as unknown as Mark[];
  }

  /** The user has marked messages as unread on another connection. An older mark of this client must not undo that. */
  #handleForcedUnread(): void {
    this.#isForcedUnread = true;
    const isOvertaken = (mark: object) => !(mark as Mark).force;
    this.#queue.settleWhere((change) => change.key === 'mark' && isOvertaken(change), this.#known.get(this.#user!));
  }
}
