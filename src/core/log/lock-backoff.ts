import type { RoomId } from '../ids.ts';

const firstRestMs = 20;
const longestRestMs = 1_000;

/** Rooms that somebody else keeps locked: when to try each again, every time after twice as long. */
export class RestingRooms {
  readonly #rests = new Map<RoomId, { until: number; ms: number }>();

  /** Until when it rests; 0 where it does not. */
  until(room: RoomId): number {
    return this.#rests.get(room)?.until ?? 0;
  }

  rest(room: RoomId, now: number): void {
    const { until = 0, ms = firstRestMs } = this.#rests.get(room) ?? {};
    if (until <= now) this.#rests.set(room, { until: now + ms, ms: Math.min(ms * 2, longestRestMs) });
  }

  wake(room: RoomId): void {
    this.#rests.delete(room);
  }
}
