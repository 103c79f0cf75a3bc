import type { RoomId } from '../../core/ids.ts';
import type { Watcher } from './watchers.ts';

/** A room whose item is to be read for an open inbox. */
export interface DueItem {
  watcher: Watcher;
  room: RoomId;
  /** The change was committed after this. */
  since: number;
}

/** Time between two events of one inbox, and between two items of one room in it. */
export const eventIntervalMs = 500;
const roomIntervalMs = 1_000;
const maxItemsPerEvent = 50;
/** Long statements keep old versions of rows alive, which makes the sends slower. */
const maxRoomsPerBatch = 500;
const maxItemsPerBatch = 2_000;
/** An item that has waited for this long is read even if the node is beyond its budget. */
const maxWaitMs = 10_000;

/**
 * Decides what is read next. The inbox that has waited the longest is next, so all wait alike if the node is
 * beyond its budget. A room that changes
 * again while it waits is still read once.
 */
export class DueQueue {
  readonly #itemsPerSecond: number;
  /** The one that has waited the longest is the first. */
  readonly #watchers = new Set<Watcher>();
  #tokens: number;
  #refilledAt = 0;

  /** `itemsPerSecond`: 0 means no limit. */
  constructor(itemsPerSecond: number) {
    this.#itemsPerSecond = itemsPerSecond || Number.POSITIVE_INFINITY;
    this.#tokens = this.#itemsPerSecond;
  }

  /** The time that a room waits between two items at the present load. */
  get intervalMs(): number {
    let size = 0;
    for (const watcher of this.#watchers) size += watcher.due.size;
    return Math.min(maxWaitMs, Math.max(roomIntervalMs, (size / this.#itemsPerSecond) * 1_000));
  }

  add(watcher: Watcher, room: RoomId, since: number): void {
    watcher.addDue(room, since);
    this.#watchers.add(watcher);
  }

  remove(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  /** Puts back what could not be read. */
  restore(items: readonly DueItem[]): void {
    for (const { watcher, room, since } of items) {
      if (watcher.hasEnded) continue;
      watcher.nextAt = 0;
      watcher.due.set(room, Math.min(since, watcher.due.get(room) ?? since));
      this.#watchers.add(watcher);
    }
  }

  /** Takes the items that may be read now. `nextAt`: when there will be more, if nothing is added. */
  take(now: number): { items: DueItem[]; nextAt: number } {
    this.#refill(now);
    const items: DueItem[] = [];
    const rooms = new Set<RoomId>();
    const served: Watcher[] = [];
    let nextAt = Number.POSITIVE_INFINITY;
    for (const watcher of this.#watchers) {
      if (watcher.isReading) continue;
      if (watcher.nextAt > now) {
        nextAt = Math.min(nextAt, watcher.nextAt);
        continue;
      }
      const free = Math.min(maxItemsPerBatch - items.length, maxItemsPerEvent);
      const isFull = free === 0 || rooms.size >= maxRoomsPerBatch;
      if (isFull || (this.#tokens < 1 && !hasWaited(watcher, now))) {
        nextAt = isFull ? now : Math.min(nextAt, now + 1_000 / this.#itemsPerSecond);
        break;
      }
      const count = items.length;
      for (const [room, since] of watcher.due) {
        const at = (watcher.sentAt.get(room) ?? Number.NEGATIVE_INFINITY) + roomIntervalMs;
        if (at > now) {
          nextAt = Math.min(nextAt, at);
          continue;
        }
        if (items.length - count === free || (rooms.size >= maxRoomsPerBatch && !rooms.has(room))) {
          nextAt = Math.min(nextAt, now + eventIntervalMs);
          break;
        }
        rooms.add(room);
        items.push({ watcher, room, since });
      }
      if (items.length === count) continue;
      for (let n = count; n < items.length; n++) watcher.due.delete(items[n]!.room);
      // Until the items have been read.
      watcher.nextAt = Number.POSITIVE_INFINITY;
      served.push(watcher);
      this.#tokens -= items.length - count;
    }
    for (const watcher of served) {
      this.#watchers.delete(watcher);
      if (watcher.due.size > 0) this.#watchers.add(watcher);
    }
    return { items, nextAt };
  }

  #refill(now: number): void {
    if (this.#itemsPerSecond === Number.POSITIVE_INFINITY) return;
    const gained = ((now - this.#refilledAt) / 1_000) * this.#itemsPerSecond;
    this.#refilledAt = now;
    this.#tokens = Math.min(this.#itemsPerSecond, Math.max(-this.#itemsPerSecond, this.#tokens) + gained);
  }
}

/** The first entry has waited the longest. */
function hasWaited({ due }: Watcher, now: number): boolean {
  const [since] = due.values();
  return since !== undefined && now - since >= maxWaitMs;
}
