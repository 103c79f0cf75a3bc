import type { RoomId } from '../ids.ts';

const initialBackoffMs = 20;
const maxBackoffMs = 1_000;

/** Exponential backoff for rooms that another transaction keeps locked. */
export class LockBackoff {
  readonly #backoffs = new Map<RoomId, { retryAt: number; delayMs: number }>();

  /** The earliest time for the next attempt; 0 if the room was not locked. */
  getRetryAt(room: RoomId): number {
    return this.#backoffs.get(room)?.retryAt ?? 0;
  }

  backOff(room: RoomId, now: number): void {
    const { retryAt = 0, delayMs = initialBackoffMs } = this.#backoffs.get(room) ?? {};
    if (retryAt <= now)
      this.#backoffs.set(room, { retryAt: now + delayMs, delayMs: Math.min(delayMs * 2, maxBackoffMs) });
  }

  reset(room: RoomId): void {
    this.#backoffs.delete(room);
  }
}
