import type { RoomId } from '../ids.ts';

const initialBackoffMs = 20;
const maxBackoffMs = 1_000;

/** Rooms that somebody else keeps locked: when to try each again, every time after twice as long. */
export class LockBackoff {
  readonly #backoffs = new Map<RoomId, { until: number; ms: number }>();

  /** Until when it rests; 0 where it does not. */
  until(room: RoomId): number {
    return this.#backoffs.get(room)?.until ?? 0;
  }

  backOff(room: RoomId, now: number): void {
    const { until = 0, ms = initialBackoffMs } = this.#backoffs.get(room) ?? {};
    if (until <= now) this.#backoffs.set(room, { until: now + ms, ms: Math.min(ms * 2, maxBackoffMs) });
  }

  reset(room: RoomId): void {
    this.#backoffs.delete(room);
  }
}
