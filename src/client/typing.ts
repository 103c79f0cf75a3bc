import type { RoomConnection } from './room-connection.ts';

const repeatMs = 3_000;
/** The user counts as no longer typing after this time without a keystroke. */
const idleMs = 5_000;
/** The service ignores a second `typing: true` within a second. The rest is for connections that deliver it sooner. */
const againMs = 1_100;

/** Reports to the service that the user is typing in a room. */
export class Typing {
  readonly #connection: RoomConnection;
  readonly #ref: number | string;
  #stopTimer: ReturnType<typeof setTimeout> | undefined;
  #startTimer: ReturnType<typeof setTimeout> | undefined;
  /** No `typing: true` is sent before this time. */
  #startAt = 0;
  /** When `typing: true` was sent last, or will be; undefined if the user does not type. */
  #sentAt: number | undefined;
  #thread: number | undefined;

  constructor(connection: RoomConnection, ref: number | string) {
    this.#connection = connection;
    this.#ref = ref;
  }

  set(isTyping: boolean, thread: number | undefined): void {
    const sentAt = this.#sentAt;
    if (!isTyping) {
      this.forget();
      if (sentAt !== undefined) this.#send(false);
      return;
    }
    clearTimeout(this.#stopTimer);
    this.#stopTimer = setTimeout(() => this.set(false, thread), idleMs);
    const now = performance.now();
    if (sentAt !== undefined && thread === this.#thread && now - sentAt < repeatMs) return;
    clearTimeout(this.#startTimer);
    this.#sentAt = Math.max(now, this.#startAt);
    this.#thread = thread;
    if (this.#sentAt === now) this.#start();
    else this.#startTimer = setTimeout(() => this.#start(), this.#startAt - now);
  }

  /**
   * Forgets that the user is typing. No request is needed: the service ends the typing itself when the user sends a
   * message or the connection ends.
   */
  forget(): void {
    clearTimeout(this.#stopTimer);
    clearTimeout(this.#startTimer);
    this.#sentAt = undefined;
  }

  #start(): void {
    this.#startAt = performance.now() + againMs;
    this.#send(true);
  }

  #send(typing: boolean): void {
    const thread = this.#thread;
    const payload = { room_id: this.#ref, typing, ...(thread !== undefined && { thread }) };
    this.#connection.link?.request('typing:set', payload, () => {});
  }
}
