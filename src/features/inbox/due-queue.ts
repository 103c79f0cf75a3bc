import type { RoomId } from '../../core/ids.ts';
import type { Watcher } from './watchers.ts';

/** A room whose item is to be read for an open inbox. */
export interface DueItem {
  watcher: Watcher;
  room: RoomId;
  /** The change was committed after this time, in ms as returned by `performance.now()`. */
  since: number;
}

export interface InboxTimeouts {
  /** The minimum time between two events of an inbox. */
  eventMs: number;
  /** The minimum time between two items of the same room in an inbox. */
  roomMs: number;
  /** The time between two polls of the journal. */
  pollMs: number;
}

export const inboxTimeouts: InboxTimeouts = { eventMs: 500, roomMs: 1_000, pollMs: 450 };

const maxItemsPerEvent = 50;
/**
 * Limited, because a long statement makes PostgreSQL keep old row versions, which slows down the sending of messages.
 */
const maxRoomsPerBatch = 500;
const maxItemsPerBatch = 2_000;
/** An item that has waited for this long is read even if the node is beyond its budget. */
const maxWaitMs = 10_000;

/**
 * Decides which items are read next. The inbox that has waited the longest comes first, so that all inboxes wait
 * equally long if the node exceeds its budget. A room that changes again while it waits is read only once.
 */
export class DueQueue {
  readonly #itemsPerSecond: number;
  readonly #timeouts: Omit<InboxTimeouts, 'pollMs'>;
  /** Ordered by waiting time, the longest first. */
  readonly #watchers = new Set<Watcher>();
  #tokens: number;
  #refilledAt = 0;

  /** 0 items per second means no limit. */
  constructor(itemsPerSecond: number, timeouts: Omit<InboxTimeouts, 'pollMs'> = inboxTimeouts) {
    this.#timeouts = timeouts;
    this.#itemsPerSecond = itemsPerSecond || Number.POSITIVE_INFINITY;
    this.#tokens = this.#itemsPerSecond;
  }

  /** How long a room waits between two of its items at the current load. */
  get intervalMs(): number {
    let size = 0;
    for (const watcher of this.#watchers) size += watcher.due.size;
    return Math.min(maxWaitMs, Math.max(this.#timeouts.roomMs, (size / this.#itemsPerSecond) * 1_000));
  }

  add(watcher: Watcher, room: RoomId, since: number): void {
    watcher.addDue(room, since);
    this.#watchers.add(watcher);
  }

  remove(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  /** Puts back the items that could not be read. */
  restore(items: readonly DueItem[]): void {
    for (const { watcher, room, since } of items) {
      if (watcher.hasEnded) continue;
      watcher.nextAt = 0;
      watcher.due.set(room, Math.min(since, watcher.due.get(room) ?? since));
      this.#watchers.add(watcher);
    }
  }

  /** Takes the items that may be read now. `nextAt` is the time at which more items may be read, if none are added. */
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
        const at = (watcher.sentAt.get(room) ?? Number.NEGATIVE_INFINITY) + this.#timeouts.roomMs;
        if (at > now) {
          nextAt = Math.min(nextAt, at);
          continue;
        }
        if (items.length - count === free || (rooms.size >= maxRoomsPerBatch && !rooms.has(room))) {
          nextAt = Math.min(nextAt, now + this.#timeouts.eventMs);
          break;
        }
        rooms.add(room);
        items.push({ watcher, room, since });
      }
      if (items.length === count) continue;
      for (let n = count; n < items.length; n++) watcher.due.delete(items[n]!.room);
      // No more items of this watcher are taken until these have been read.
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
