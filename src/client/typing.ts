import type { RoomConnection } from './room-connection.ts';

const repeatMs = 3_000;
/** The user counts as no longer typing after this time without a keystroke. */
const idleMs = 5_000;

/** Reports to the service that the user is typing in a room. */
export class Typing {
  readonly #connection: RoomConnection;
  readonly #ref: number | string;
  #stopTimer: ReturnType<typeof setTimeout> | undefined;
  /** When `typing: true` was sent last; undefined if the user does not type. */
  #sentAt: number | undefined;
  #thread: number | undefined;

  constructor(connection: RoomConnection, ref: number | string) {
    this.#connection = connection;
    this.#ref = ref;
  }

  set(isTyping: boolean, thread: number | undefined): void {
    const sentAt = this.#sentAt;
    this.forget();
    if (!isTyping) {
      if (sentAt !== undefined) this.#send(false);
      return;
    }
    this.#stopTimer = setTimeout(() => this.set(false, thread), idleMs);
    this.#sentAt = sentAt;
    if (sentAt !== undefined && thread === this.#thread && performance.now() - sentAt < repeatMs) return;
    this.#sentAt = performance.now();
    this.#thread = thread;
    this.#send(true);
  }

  /**
   * Forgets that the user is typing. No request is needed: the service ends the typing itself when the user sends a
   * message or the connection ends.
   */
  forget(): void {
    clearTimeout(this.#stopTimer);
    this.#sentAt = undefined;
  }

  #send(typing: boolean): void {
    const thread = this.#thread;
    const payload = { room_id: this.#ref, typing, ...(thread !== undefined && { thread }) };
    this.#connection.link?.request('typing:set', payload, () => {});
  }
}
