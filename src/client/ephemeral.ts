import type { RoomConnection } from './connection.ts';
import type { LiveEvent, Presence, Typist } from './wire.ts';

const repeatMs = 3_000;
/** The user counts as no longer typing after this time without a keystroke. */
const idleMs = 5_000;

/** Who is typing in a room and who is present there. None of this is stored, so it ends with the connection. */
export class Ephemeral {
  typing: readonly Typist[] = [];
  presence: Presence | null | undefined;
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

  handle({ name, payload }: LiveEvent): void {
    if (name === 'typing:changed') {
      const { user } = this.#connection.claims ?? {};
      this.typing = payload.users.filter((typist) => typist.user !== user);
    } else if (name === 'presence:changed') {
      const { room_id: _, ...presence } = payload;
      this.presence = presence;
    }
  }

  setTyping(isTyping: boolean, thread: number | undefined): void {
    clearTimeout(this.#stopTimer);
    if (!isTyping) {
      if (this.#sentAt !== undefined) this.#send(false);
      return this.forgetTyping();
    }
    this.#stopTimer = setTimeout(() => this.setTyping(false, thread), idleMs);
    if (this.#sentAt !== undefined && thread === this.#thread && performance.now() - this.#sentAt < repeatMs) return;
    this.#sentAt = performance.now();
    this.#thread = thread;
    this.#send(true);
  }

  /**
   * Forgets that the user is typing. No request is needed: the service ends the typing itself when the user sends a
   * message or the connection ends.
   */
  forgetTyping(): void {
    clearTimeout(this.#stopTimer);
    this.#sentAt = undefined;
  }

  handleDisconnect(): void {
    this.forgetTyping();
    this.typing = [];
    this.presence = undefined;
  }

  #send(typing: boolean): void {
    const thread = this.#thread;
    const payload = { room_id: this.#ref, typing, ...(thread !== undefined && { thread }) };
    this.#connection.link?.request('typing:set', payload, () => {});
  }
}
