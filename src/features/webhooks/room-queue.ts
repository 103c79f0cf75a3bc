import type { RoomId } from '../../core/ids.ts';

interface Release {
  /** Whether the endpoint lacks changes of the room. */
  isBehind: boolean;
  /** When the oldest of these changes was made, if it is known now. */
  since?: number | undefined;
  /** Whether the next request must have no other room. */
  isAlone?: boolean;
}

/** The rooms of one request. */
export interface Claim {
  readonly rooms: readonly RoomId[];
}

interface Claimed {
  claim: Claim;
  since: number;
  isAlone: boolean;
  /** When the first further change was made, if there was one after the room was claimed. */
  touchedSince: number | undefined;
}

/**
 * The rooms whose changes an endpoint may lack, in the order in which they are delivered. A room that was claimed for a
 * request is not claimed again until it is released.
 */
export class RoomQueue {
  /** Waiting rooms, and when the oldest change was made that the endpoint may lack. */
  readonly #waiting = new Map<RoomId, number>();
  /** The same, for rooms that need a separate request. */
  readonly #alone = new Map<RoomId, number>();
  readonly #claimed = new Map<RoomId, Claimed>();
  #isAloneNext = false;

  get waiting(): number {
    return this.#waiting.size + this.#alone.size;
  }

  get size(): number {
    return this.waiting + this.#claimed.size;
  }

  /** When the oldest change was made; infinity if there is none. */
  get oldest(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const since of this.#waiting.values()) oldest = Math.min(oldest, since);
    for (const since of this.#alone.values()) oldest = Math.min(oldest, since);
    for (const { since } of this.#claimed.values()) oldest = Math.min(oldest, since);
    return oldest;
  }

  add(room: RoomId, since: number): void {
    const claimed = this.#claimed.get(room);
    if (claimed) claimed.touchedSince = Math.min(since, claimed.touchedSince ?? since);
    else if (!this.#alone.has(room)) this.#waiting.set(room, Math.min(since, this.#waiting.get(room) ?? since));
  }

  /** Adds a room that the endpoint has refused. It waits for a separate request. */
  addRefused(room: RoomId, since: number): void {
    if (!this.#claimed.has(room)) this.#addAlone(room, since);
  }

  #addAlone(room: RoomId, since: number): void {
    this.#waiting.delete(room);
    this.#alone.set(room, since);
  }

  /** Claims up to `max` rooms for one request. Rooms that need a separate request alternate with the others. */
  claim(max: number): Claim {
    const isAlone = this.#alone.size > 0 && (this.#waiting.size === 0 || this.#isAloneNext);
    this.#isAloneNext = !isAlone;
    const rooms: RoomId[] = [];
    const claim: Claim = { rooms };
    const source = isAlone ? this.#alone : this.#waiting;
    for (const [room, since] of source) {
      source.delete(room);
      this.#claimed.set(room, { claim, since, isAlone, touchedSince: undefined });
      rooms.push(room);
      if (isAlone || rooms.length === max) break;
    }
    return claim;
  }

  /** Whether the claim still has the room. */
  has(claim: Claim, room: RoomId): boolean {
    return this.#claimed.get(room)?.claim === claim;
  }

  /** When the oldest change of a claimed room was made. */
  getSince(room: RoomId): number {
    return this.#claimed.get(room)?.since ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Gives a room back. It waits again if the endpoint does not have all changes, or if the room has changed meanwhile.
   * Does nothing if the claim no longer has the room: another request may have claimed it.
   */
  release(claim: Claim, room: RoomId, { isBehind, since, isAlone = false }: Release): void {
    const claimed = this.#claimed.get(room);
    if (claimed?.claim !== claim) return;
    this.#claimed.delete(room);
    if (isBehind) {
      // The remaining changes were stored after the one that the room has waited for, even if an imported message has
      // an older date.
      const waitedSince = Math.min(claimed.since, claimed.touchedSince ?? claimed.since);
      const behindSince = Math.max(since ?? waitedSince, waitedSince);
      if (isAlone) this.#addAlone(room, behindSince);
      else this.#waiting.set(room, behindSince);
    } else if (claimed.touchedSince !== undefined) {
      this.#waiting.set(room, claimed.touchedSince);
    }
  }

  /** Gives back what the claim still has. These rooms wait again as before. */
  releaseAll(claim: Claim): void {
    for (const room of claim.rooms) {
      const claimed = this.#claimed.get(room);
      if (claimed?.claim === claim) this.release(claim, room, { isBehind: true, isAlone: claimed.isAlone });
    }
  }

  /** Gives up a room. It does not wait again. */
  forget(claim: Claim, room: RoomId): void {
    if (this.has(claim, room)) this.#claimed.delete(room);
  }

  /** Removes a waiting room, but not a claimed one. */
  drop(room: RoomId): void {
    this.#waiting.delete(room);
    this.#alone.delete(room);
  }

  clear(): void {
    this.#waiting.clear();
    this.#alone.clear();
    this.#claimed.clear();
  }
}
