import type { ActionQueue } from './action-queue.ts';
import type { Operation, PersonalSettings } from './api.ts';
import type { RoomConnection } from './room-connection.ts';
import { keepEqual } from './store.ts';
import type { ReadReceipt } from './wire.ts';

/** A mark in the queue. */
export interface Mark {
  key: 'mark';
  seq: number;
  force: boolean;
}

/** Personal settings in the queue. */
export interface Personal {
  key: 'personal';
  settings: Partial<PersonalSettings>;
}

/** Where the read position is after the mark. */
export const moveMark = (read: number, { seq, force }: Mark) => (force ? seq : Math.max(read, seq));

interface ReadsRoom {
  readonly ref: number | string;
  readonly queue: ActionQueue;
  handleOwnState(ack: object): void;
}

/** How far users have read in a room, including the user's own marks. */
export class Reads {
  readonly #connection: RoomConnection;
  readonly #room: ReadsRoom;
  #known = new Map<string, ReadReceipt>();
  #shown: readonly ReadReceipt[] = [];
  /**
   * Whether the user has marked messages as unread. Until they open the room again, no messages are marked as read
   * automatically.
   */
  #isForcedUnread = false;

  constructor(connection: RoomConnection, room: ReadsRoom) {
    this.#connection = connection;
    this.#room = room;
  }

  /**
   * Includes the user's own marks that the service has not acknowledged yet. Returns the same array until something
   * changes.
   */
  get all(): readonly ReadReceipt[] {
    const shown = new Map(this.#known);
    const user = this.#user;
    for (const { action } of this.#room.queue.changes) {
      if (action.key !== 'mark' || !user) continue;
      const read = shown.get(user) ?? { user, read_seq: 0, version: 0 };
      shown.set(user, { ...read, read_seq: moveMark(read.read_seq, action as unknown as Mark) });
    }
    this.#shown = keepEqual(this.#shown, [...shown.values()]);
    return this.#shown;
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
      if (isNewer && known && read.user === this.#user && read.read_seq < known.read_seq) {
        // The user has marked messages as unread on another connection. An older mark of this client must not undo that.
        this.#isForcedUnread = true;
        this.#room.queue.settleChanges(
          ({ action }) => action.key === 'mark' && !(action as unknown as Mark).force,
          read,
        );
      }
    }
  }

  /** `newestSeq` is undefined if it is unknown or not shown. Then only a mark with a `seq` has an effect. */
  mark(seq: number | undefined, newestSeq: number | undefined, force: boolean): Operation<ReadReceipt> {
    const user = this.#user;
    const target = Math.min(seq ?? newestSeq ?? 0, newestSeq ?? Number.POSITIVE_INFINITY);
    const own = this.all.find((read) => read.user === user);
    if (!force && ((seq === undefined && this.#isForcedUnread) || (own?.read_seq ?? 0) >= target))
      return this.#room.queue.createSettled(own ?? { user, read_seq: 0, version: 0 });
    this.#isForcedUnread = force && target < (newestSeq ?? Number.POSITIVE_INFINITY);
    const mark: Mark = { key: 'mark', seq: target, force };
    return this.#room.queue.add({
      ...mark,
      name: 'read:mark',
      toPayload: () => ({ room_id: this.#room.ref, seq: target, ...(force && { force }) }),
      confirm: (ack) => {
        const { read_seq, version } = ack;
        const read = { user, read_seq, version };
        this.#room.handleOwnState(ack);
        this.receive([read]);
        return read;
      },
    });
  }

  get #user(): string {
    return this.#connection.claims?.user ?? '';
  }
}

/** Sends the personal settings, whether or not the room is joined. */
export function addPersonal(room: ReadsRoom, settings: Partial<PersonalSettings>): Operation<PersonalSettings> {
  return room.queue.add({
    ...{ name: 'room:personal' as const, key: 'personal', isIndependent: true, settings },
    toPayload: (overtaken) =>
      // The service leaves omitted settings unchanged, so the request must contain the settings of the requests that it
      // replaces.
      Object.assign(
        { room_id: room.ref },
        ...overtaken.map((other) => (other as Partial<Personal>).settings),
        settings,
      ),
    confirm: (ack) => {
      room.handleOwnState(ack);
      const { muted, hidden } = ack;
      return { muted, hidden };
    },
  });
}
