import type { RoomEvents } from './api.ts';
import { Reads } from './reads.ts';
import type { RoomConnection } from './room-connection.ts';
import { keepEqual } from './store.ts';
import { Typing } from './typing.ts';
import type { Joined, LiveEvent, Presence, ReadReceipt, Typist } from './wire.ts';

const noTypists: readonly Typist[] = [];

type Changed = <E extends 'typing' | 'presence' | 'reads'>(event: E, payload: RoomEvents[E]) => void;

/** What is not in the log of a room: typing, presence, and how far users have read. */
export class LiveState {
  typing = noTypists;
  presence: Presence | null | undefined;
  readonly own: Typing;
  readonly marks: Reads;
  readonly #connection: RoomConnection;
  readonly #onChanged: Changed;

  constructor(connection: RoomConnection, room: ConstructorParameters<typeof Reads>[1], onChanged: Changed) {
    this.#connection = connection;
    this.#onChanged = onChanged;
    this.own = new Typing(connection, room.ref);
    this.marks = new Reads(connection, room);
  }

  get reads(): readonly ReadReceipt[] {
    return this.marks.all;
  }

  /** Returns false if it is an event of the log. */
  handle({ name, payload }: LiveEvent): boolean {
    if (name === 'typing:changed') {
      const user = this.#connection.claims?.user;
      const others = payload.users.filter((typist) => typist.user !== user);
      this.typing = keepEqual(this.typing, others);
      this.#onChanged('typing', this.typing);
    } else if (name === 'presence:changed') {
      const { room_id: _, ...presence } = payload;
      this.#setPresence(presence);
    } else if (name === 'read:changed') {
      this.marks.receive(payload.reads);
      this.emitReads();
    } else return false;
    return true;
  }

  handleJoined({ reads, presence }: Joined): void {
    if (reads) this.marks.receive(reads, true);
    if (presence !== undefined) this.#setPresence(presence);
  }

  emitReads(): void {
    this.#onChanged('reads', this.reads);
  }

  /** None of it outlasts the connection, except for the read positions. */
  stop(): void {
    this.own.forget();
    this.typing = noTypists;
    this.presence = undefined;
  }

  #setPresence(presence: Presence | null): void {
    this.presence = keepEqual(this.presence, presence);
    this.#onChanged('presence', this.presence);
  }
}
