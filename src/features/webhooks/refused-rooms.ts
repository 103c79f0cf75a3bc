import type { RoomId } from '../../core/ids.ts';
import type { RefusalRow } from './positions.ts';

export interface RefusalTimeouts {
  minRoomBackoffMs: number;
  maxRoomBackoffMs: number;
  /** A room that has been refused for this time is parked. */
  parkAfterMs: number;
}

interface RefusedRoom {
  attempts: number;
  since: number;
  retryAt: number;
  isParked: boolean;
  /** When the oldest change was made that the endpoint does not have. */
  behindSince: number;
}

/** The rooms that an endpoint refuses, and when each is tried again. Times are in ms, by any clock. */
export class RefusedRooms {
  readonly #timeouts: RefusalTimeouts;
  readonly #random: () => number;
  readonly #rooms = new Map<RoomId, RefusedRoom>();

  constructor(timeouts: RefusalTimeouts, random: () => number = Math.random) {
    this.#timeouts = timeouts;
    this.#random = random;
  }

  get size(): number {
    return this.#rooms.size;
  }

  get parked(): number {
    let parked = 0;
    for (const { isParked } of this.#rooms.values()) if (isParked) parked += 1;
    return parked;
  }

  /** The oldest `behindSince` of the rooms that are not parked. */
  get behindSince(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const { isParked, behindSince } of this.#rooms.values()) if (!isParked) oldest = Math.min(oldest, behindSince);
    return oldest;
  }

  has(room: RoomId): boolean {
    return this.#rooms.has(room);
  }

  /** Replaces the rooms by the stored ones. Returns those that are no longer refused. */
  replace(rows: readonly RefusalRow[], now: number): RoomId[] {
    const before = new Map(this.#rooms);
    this.#rooms.clear();
    for (const { room_id, attempts, ageMs, retryInMs } of rows) {
      const since = now - ageMs;
      const isParked = ageMs >= this.#timeouts.parkAfterMs;
      const behindSince = before.get(room_id)?.behindSince ?? since;
      this.#rooms.set(room_id, { attempts, since, retryAt: now + retryInMs, isParked, behindSince });
    }
    return [...before.keys()].filter((room) => !this.#rooms.has(room));
  }

  /** Records a refusal. Returns what to store about it. */
  refuse(room: RoomId, now: number, behindSince: number): { attempts: number; retryInMs: number; isParked: boolean } {
    const before = this.#rooms.get(room);
    const attempts = (before?.attempts ?? 0) + 1;
    const since = before?.since ?? now;
    const { minRoomBackoffMs, maxRoomBackoffMs, parkAfterMs } = this.#timeouts;
    const backoffMs = Math.min(maxRoomBackoffMs, minRoomBackoffMs * 2 ** Math.min(attempts - 1, 30));
    const retryInMs = backoffMs * (0.75 + this.#random() / 4);
    const isParked = now - since >= parkAfterMs;
    this.#rooms.set(room, { attempts, since, retryAt: now + retryInMs, isParked, behindSince });
    return { attempts, retryInMs, isParked };
  }

  remove(room: RoomId): boolean {
    return this.#rooms.delete(room);
  }

  clear(): void {
    this.#rooms.clear();
  }

  /** The rooms whose next attempt is due, and when the next one after them is. */
  listDue(now: number): { due: RoomId[]; nextAt: number } {
    const due: RoomId[] = [];
    let nextAt = Number.POSITIVE_INFINITY;
    for (const [room, { retryAt, isParked }] of this.#rooms) {
      if (isParked) continue;
      if (retryAt <= now) due.push(room);
      else nextAt = Math.min(nextAt, retryAt);
    }
    return { due, nextAt };
  }

  getBehindSince(room: RoomId): number | undefined {
    return this.#rooms.get(room)?.behindSince;
  }
}
