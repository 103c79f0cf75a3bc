import type { RoomConnection } from './room-connection.ts';

const repeatMs = 3_000;
/** The user counts as no longer typing after this time without a keystroke. */
const idleMs = 5_000;
/** The service ignores a second `typing: true` that arrives within 1 s of the first. The extra 100 ms allow for network jitter. */
const againMs = 1_100;

/** Reports to the service that the user is typing in a room. */
export class Typing {
  readonly #connection: RoomConnection;
  readonly #ref: number | string;
  #stopTimer: ReturnType<typeof setTimeout> | undefined;
  #startTimer: ReturnType<typeof setTimeout> | undefined;
  #isTyping = false;
  /** When `typing: true` was sent last. */
  #sentAt = -againMs;
  #thread: number | undefined;

  constructor(connection: RoomConnection, ref: number | string) {
    this.#connection = connection;
    this.#ref = ref;
  }

  set(isTyping: boolean, thread: number | undefined): void {
    const wasTyping = this.#isTyping;
    if (!isTyping) {
      this.forget();
      if (wasTyping) this.#send(false);
      return;
    }
    clearTimeout(this.#stopTimer);
    this.#stopTimer = setTimeout(() => this.set(false, thread), idleMs);
    const elapsedMs = performance.now() - this.#sentAt;
    if (wasTyping && thread === this.#thread && elapsedMs < repeatMs) return;
    this.#isTyping = true;
    this.#thread = thread;
    clearTimeout(this.#startTimer);
    if (elapsedMs >= againMs) this.#send(true);
    else this.#startTimer = setTimeout(() => this.#send(true), againMs - elapsedMs);
  }

  /**
   * Forgets that the user is typing. No request is needed: the service ends the typing itself when the user sends a
   * message or the connection ends.
   */
  forget(): void {
    clearTimeout(this.#stopTimer);
    clearTimeout(this.#startTimer);
    this.#isTyping = false;
  }

  #send(typing: boolean): void {
    if (typing) this.#sentAt = performance.now();
    const thread = this.#thread;
    const payload = { room_id: this.#ref, typing, ...(thread !== undefined && { thread }) };
    this.#connection.link?.request('typing:set', payload, () => {});
  }
}
