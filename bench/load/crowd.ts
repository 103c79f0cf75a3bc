import { Histogram, quantile } from '../statistics.ts';
import { nowUs } from './clock.ts';
import type { Delivery } from './content.ts';
import { type Dialect, type Line, openLine, type Place } from './line.ts';

export interface Members {
  dialect: Dialect;
  /** The connections take these URLs in turn. */
  urls: string[];
  tokens: string[];
  /** The room of each connection. */
  rooms: number[];
  /** The maximum number of connections that are being opened at the same time. */
  atOnce: number;
  /** `outside`: they connect and authenticate, and wait for `join`. */
  begins?: 'inside' | 'outside';
}

/** The duration for all connections in seconds, and the durations of single connections as percentiles in ms. */
export interface Entries {
  seconds: number;
  p50: number;
  p99: number;
}

export interface Count {
  seconds: number;
  confirmed: number;
  deliveries: number;
  /** Includes messages that were confirmed after the end of the measurement. */
  confirmedInAll: number;
  deliveriesInAll: number;
  lost: number;
  doubled: number;
  inverted: number;
  failed: number;
  /** Measured from the intended time of sending, in ms. */
  confirmMs: { p50: number; p99: number };
  deliverMs: { p50: number; p99: number };
  /** CPU use of this process, from 0 to 1. Close to 1, the load limits the result. */
  loadBusy: number;
}

interface Seat {
  line: Line;
  room: number;
  lastSeq: number;
  missing: Set<number>;
}

const quietMs = 10_000;
const retryMs = 200;

/** Many connections in one process. Sends their messages, and records what each connection receives. */
export class Crowd {
  readonly #seats: Seat[] = [];
  readonly #dialect: Dialect;
  #confirm = new Histogram();
  #deliver = new Histogram();
  #count = { confirmed: 0, deliveries: 0, doubled: 0, inverted: 0, failed: 0 };
  #failures: string[] = [];
  #isClosing = false;
  #onConfirmed: (seat: number) => void = () => {};
  #onDelivered: (delivery: Delivery, seat: number) => void = () => {};

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  get size(): number {
    return this.#seats.length;
  }

  get failures(): string[] {
    return this.#failures;
  }

  open({ urls, tokens, rooms, atOnce, begins = 'inside' }: Members): Promise<Entries> {
    const places = rooms.map((room, n): Place => {
      const line = this.#seats.length + n;
      return { url: urls[n % urls.length]!, token: tokens[n % tokens.length] ?? '', room, line, begins };
    });
    return timed(places, atOnce, (place) => this.#enter(place));
  }

  /** Joins all connections that began outside; a refused connection tries again. */
  async join(atOnce: number): Promise<Entries & { refused: number }> {
    let refused = 0;
    const entries = await timed(this.#seats, atOnce, async ({ line }) => {
      while (!(await line.join())) {
        refused += 1;
        if (refused > this.#seats.length) throw new Error('Joins are refused again and again');
        await pause(retryMs);
      }
    });
    return { ...entries, refused };
  }

  /**
   * Each of the first `senders` connections keeps `window` messages unconfirmed, and sends the next as soon as one is
   * confirmed.
   */
  closedLoop(seconds: number, senders: number, window: number): Promise<Count> {
    return this.#during(seconds, (isOver) => {
      const next = (seat: number) => {
        if (!isOver()) this.#seats[seat]?.line.send(nowUs());
      };
      this.#onConfirmed = next;
      for (let seat = 0; seat < senders; seat++) for (let n = 0; n < window; n++) next(seat);
    });
  }

  /**
   * Measures one room: at most `window` messages have not yet reached all members. This is the maximum rate that every
   * member can follow.
   */
  fullDelivery(seconds: number, senders: number, window: number): Promise<Count> {
    return this.#during(seconds, (isOver) => {
      const heardBy = new Map<number, number>();
      let turn = 0;
      const next = () => {
        if (!isOver()) this.#seats[turn++ % senders]?.line.send(nowUs());
      };
      this.#onDelivered = ({ seq }) => {
        const heard = (heardBy.get(seq) ?? 0) + 1;
        if (heard < this.#seats.length) return void heardBy.set(seq, heard);
        heardBy.delete(seq);
        next();
      };
      for (let n = 0; n < window; n++) next();
    });
  }

  /**
   * Sends `perSecond` messages a second from the first `senders` connections in turn, without waiting for
   * confirmations.
   */
  openLoop(seconds: number, perSecond: number, senders: number): Promise<Count> {
    return this.#during(seconds, (isOver) => {
      const began = nowUs();
      let sent = 0;
      const timer = setInterval(() => {
        if (isOver()) return clearInterval(timer);
        const due = Math.floor(((nowUs() - began) * perSecond) / 1e6) + 1;
        for (; sent < due; sent++) this.#seats[sent % senders]?.line.send(began + (sent * 1e6) / perSecond);
      }, 2);
    });
  }

  close(): void {
    this.#isClosing = true;
    for (const { line } of this.#seats) line.close();
  }

  async #enter(place: Place): Promise<void> {
    const seat: Seat = { line: undefined as never, room: place.room, lastSeq: 0, missing: new Set() };
    this.#seats[place.line] = seat;
    seat.line = await openLine(this.#dialect, place, {
      delivered: (delivery) => this.#take(delivery, seat, place.line),
      confirmed: (us) => {
        this.#count.confirmed += 1;
        this.#confirm.add(nowUs() - us);
        this.#onConfirmed(place.line);
      },
      failed: (why) => {
        if (this.#isClosing) return;
        this.#count.failed += 1;
        if (this.#failures.length < 5) this.#failures.push(why);
      },
    });
  }

  #take(delivery: Delivery, seat: Seat, number: number): void {
    const { seq } = delivery;
    this.#count.deliveries += 1;
    this.#deliver.add(nowUs() - delivery.us);
    if (seq === seat.lastSeq + 1 || seat.lastSeq === 0) seat.lastSeq = seq;
    else if (seq > seat.lastSeq) {
      for (let missing = seat.lastSeq + 1; missing < seq; missing++) seat.missing.add(missing);
      seat.lastSeq = seq;
    } else if (seat.missing.delete(seq)) this.#count.inverted += 1;
    else this.#count.doubled += 1;
    this.#onDelivered(delivery, number);
  }

  /** Runs the load, waits until no more messages arrive, and counts them. */
  async #during(seconds: number, begin: (isOver: () => boolean) => void): Promise<Count> {
    this.#confirm = new Histogram();
    this.#deliver = new Histogram();
    this.#count = { confirmed: 0, deliveries: 0, doubled: 0, inverted: 0, failed: 0 };
    for (const seat of this.#seats) seat.missing.clear();
    const began = nowUs();
    const until = began + seconds * 1e6;
    const busy = performance.eventLoopUtilization();
    begin(() => nowUs() >= until);
    await pause(seconds * 1_000);
    const atEnd = { ...this.#count };
    const elapsed = (nowUs() - began) / 1e6;
    const loadBusy = performance.eventLoopUtilization(busy).utilization;
    await this.#quiet();
    this.#onConfirmed = () => {};
    this.#onDelivered = () => {};
    return {
      ...{ seconds: elapsed, confirmed: atEnd.confirmed, deliveries: atEnd.deliveries, loadBusy },
      ...{ confirmedInAll: this.#count.confirmed, deliveriesInAll: this.#count.deliveries },
      ...{
        lost: this.#lost(),
        doubled: this.#count.doubled,
        inverted: this.#count.inverted,
        failed: this.#count.failed,
      },
      confirmMs: { p50: this.#confirm.at(0.5), p99: this.#confirm.at(0.99) },
      deliverMs: { p50: this.#deliver.at(0.5), p99: this.#deliver.at(0.99) },
    };
  }

  /**
   * Counts the gaps between received messages, and messages at the end that only other members of the room received.
   */
  #lost(): number {
    const heads = new Map<number, number>();
    for (const { room, lastSeq } of this.#seats) heads.set(room, Math.max(heads.get(room) ?? 0, lastSeq));
    return this.#seats.reduce((sum, { room, lastSeq, missing }) => {
      // A connection that has received nothing does not know the first `seq` of its room.
      const behind = lastSeq === 0 ? 0 : heads.get(room)! - lastSeq;
      return sum + missing.size + behind;
    }, 0);
  }

  async #quiet(): Promise<void> {
    const deadline = nowUs() + quietMs * 1_000;
    for (let before = -1; before !== this.#count.deliveries + this.#count.confirmed && nowUs() < deadline; ) {
      before = this.#count.deliveries + this.#count.confirmed;
      await pause(200);
    }
  }
}

async function timed<T>(all: readonly T[], atOnce: number, task: (one: T) => Promise<void>): Promise<Entries> {
  const waiting = all.values();
  const began = nowUs();
  const took: number[] = [];
  const next = async (): Promise<void> => {
    for (const one of waiting) {
      const from = nowUs();
      await task(one);
      took.push((nowUs() - from) / 1_000);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, next));
  took.sort((a, b) => a - b);
  return { seconds: (nowUs() - began) / 1e6, p50: quantile(took, 0.5), p99: quantile(took, 0.99) };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
