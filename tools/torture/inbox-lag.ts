import type { Evidence, SeenItem } from './record.ts';
import { DelayIndex } from './strain.ts';

/** A fault and the recovery from it. */
export interface Disturbance {
  fault: string;
  from: number;
  to: number;
  /** PostgreSQL did not answer, or a worker was frozen. */
  isOutage: boolean;
}

/** The promise: an item comes within a second of the commit. */
const promisedMs = 1_000;
/** A room that changes again within this time waits for the rest of it. */
const roomIntervalMs = 1_000;
/** A connection gets at most two events a second. */
const eventIntervalMs = 500;
/** After an outage, the nodes read all rooms again, spread over this time. */
const rereadMs = 5_000;
/** A commit passes several waits on its way to the inbox: two timers and two queries of the node, and the socket. */
const hops = 5;
/** The time of a commit is read from another clock. */
const clockMs = 100;

/** The index of the first event from this time on. Events are in the order of time. */
export function findFrom(events: readonly { at: number }[], at: number): number {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle]!.at < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Computes how late the items of an inbox may be. */
export class InboxBound {
  readonly #delays: DelayIndex;
  readonly #disturbances: readonly Disturbance[];

  constructor({ delays }: Pick<Evidence, 'delays'>, disturbances: readonly Disturbance[]) {
    this.#delays = new DelayIndex(delays);
    this.#disturbances = disturbances;
  }

  /**
   * When an item with the commit has to come: after the promised time, the intervals between two items and two events,
   * and a slack for a slow machine, which is a multiple of the longest measured delay. `seen` are the items of the room.
   */
  getDeadline(committedAt: number, seen: readonly SeenItem[]): number {
    const previous = seen[findFrom(seen, committedAt + eventIntervalMs) - 1];
    const mayComeAt = Math.max(committedAt, (previous?.at ?? 0) + roomIntervalMs);
    const due = mayComeAt + eventIntervalMs + promisedMs + clockMs;
    const end = this.#disturbances
      .filter(({ isOutage, from, to }) => isOutage && from <= due && to >= committedAt)
      .reduce((last, { to }) => Math.max(last, to + rereadMs + promisedMs), due);
    return end + hops * this.#delays.longest(committedAt, end);
  }

  /** What had failed between a commit and its item. */
  describe(from: number, to: number): string {
    return describeFaults(this.#disturbances, from, to);
  }
}

export function describeFaults(disturbances: readonly Disturbance[], from: number, to: number): string {
  const faults = new Set(disturbances.filter((one) => one.from <= to && one.to >= from).map(({ fault }) => fault));
  const [fault, ...others] = faults;
  return others.length > 0 ? 'several faults' : (fault ?? 'no fault');
}
