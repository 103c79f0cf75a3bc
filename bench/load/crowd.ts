import { Histogram, quantile } from '../statistics.ts';
import { nowUs } from './clock.ts';
import { type Connection, type ConnectionOptions, type Dialect, openConnection } from './connection.ts';
import type { Delivery } from './content.ts';

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
  /** Whether the connections remember the cursor of what they have received, so that they can return. */
  mayReturn?: boolean;
}

/** How connections that have ended come back. */
export interface Return {
  urls: string[];
  /** Each connection waits for a random part of this time before its first attempt. */
  spreadMs: number;
}

export interface ReturnReport extends Entries {
  returned: number;
  /** Attempts that failed; each is repeated after about a second. */
  refused: number;
  /** Why attempts failed, and how often. */
  reasons: Record<string, number>;
  /** Connections whose missed messages the server could not replay. */
  unrecovered: number;
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
  duplicated: number;
  reordered: number;
  failed: number;
  /** Measured from the intended time of sending, in ms. */
  confirmMs: { p50: number; p99: number };
  deliverMs: { p50: number; p99: number };
  /** CPU use of this process, from 0 to 1. Close to 1, the load limits the result. */
  loadBusy: number;
}

interface Slot {
  connection: Connection;
  options: ConnectionOptions;
  hasEnded: boolean;
  cursor: string | undefined;
  room: number;
  lastSeq: number;
  missing: Set<number>;
}

const quietMs = 10_000;
const retryMs = 200;
const returnTimeoutMs = 120_000;
const returnRetryMs = 1_000;

/** Many connections in one process. Sends their messages, and records what each connection receives. */
export class Crowd {
  readonly #slots: Slot[] = [];
  readonly #dialect: Dialect;
  #confirm = new Histogram();
  #deliver = new Histogram();
  #count = { confirmed: 0, deliveries: 0, duplicated: 0, reordered: 0, failed: 0 };
  #failures: string[] = [];
  #isClosing = false;
  #mayReturn = false;
  #unrecovered = 0;
  /** How many connections that may return have ended, by the reason. */
  #ends: Record<string, number> = {};
  #onConfirmed: (slot: number) => void = () => {};
  #onDelivered: (delivery: Delivery, slot: number) => void = () => {};

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  get size(): number {
    return this.#slots.length;
  }

  get failures(): string[] {
    return this.#failures;
  }

  open({ urls, tokens, rooms, atOnce, begins = 'inside', mayReturn = false }: Members): Promise<Entries> {
    this.#mayReturn = mayReturn;
    const all = rooms.map((room, n): ConnectionOptions => {
      const connection = this.#slots.length + n;
      return { url: urls[n % urls.length]!, token: tokens[n % tokens.length] ?? '', room, connection, begins };
    });
    return timed(all, atOnce, (options) => this.#enter(options));
  }

  /** Joins all connections that began outside; a refused connection tries again. */
  async join(atOnce: number): Promise<Entries & { refused: number }> {
    let refused = 0;
    const entries = await timed(this.#slots, atOnce, async ({ connection }) => {
      while (!(await connection.join())) {
        refused += 1;
        if (refused > this.#slots.length) throw new Error('Joins are refused again and again');
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
      const next = (slot: number) => {
        if (!isOver()) this.#slots[slot]?.connection.send(nowUs());
      };
      this.#onConfirmed = next;
      for (let slot = 0; slot < senders; slot++) for (let n = 0; n < window; n++) next(slot);
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
        if (!isOver()) this.#slots[turn++ % senders]?.connection.send(nowUs());
      };
      this.#onDelivered = ({ seq }) => {
        const heard = (heardBy.get(seq) ?? 0) + 1;
        if (heard < this.#slots.length) return void heardBy.set(seq, heard);
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
        for (; sent < due; sent++) this.#slots[sent % senders]?.connection.send(began + (sent * 1e6) / perSecond);
      }, 2);
    });
  }

  /**
   * Sends `messages` messages; at most `window` of them have not yet reached all members of this process. Resolves when
   * all have received the last one.
   */
  async burst(messages: number, senders: number, window: number): Promise<{ seconds: number }> {
    const began = nowUs();
    let left = messages * this.#slots.length;
    let sent = 0;
    const heardBy = new Map<number, number>();
    await new Promise<void>((resolve) => {
      const next = () => {
        if (sent < messages) this.#slots[sent++ % senders]?.connection.send(nowUs());
      };
      this.#onDelivered = ({ seq }) => {
        const heard = (heardBy.get(seq) ?? 0) + 1;
        heardBy.set(seq, heard);
        if (heard === this.#slots.length) next();
        left -= 1;
        if (left === 0) resolve();
      };
      for (let n = 0; n < window; n++) next();
    });
    this.#onDelivered = () => {};
    return { seconds: (nowUs() - began) / 1e6 };
  }

  pause(): void {
    for (const { connection } of this.#slots) connection.pause?.();
  }

  /** Reads what has arrived during the pause. Resolves when nothing more arrives. */
  async resume(): Promise<Pick<Count, 'lost' | 'duplicated' | 'reordered' | 'failed'>> {
    for (const { connection } of this.#slots) connection.resume?.();
    await this.#quiet();
    const { duplicated, reordered, failed } = this.#count;
    return { lost: this.#lost(), duplicated, reordered, failed };
  }

  close(): void {
    this.#isClosing = true;
    for (const { connection } of this.#slots) connection.close();
  }

  /** Ends all connections without a word, as if the network failed. Resolves to their number. */
  async drop(): Promise<number> {
    for (const { connection } of this.#slots) connection.close();
    await this.#until(() => this.ended === this.#slots.length);
    return this.ended;
  }

  get ends(): Record<string, number> {
    return this.#ends;
  }

  /** How many connections have ended and have not returned. */
  get ended(): number {
    return this.#slots.reduce((sum, { hasEnded }) => sum + Number(hasEnded), 0);
  }

  /** Brings all connections back that have ended, all at the same time, with the cursors that they had reached. */
  async comeBack({ urls, spreadMs }: Return): Promise<ReturnReport> {
    const ended = this.#slots.filter(({ hasEnded }) => hasEnded);
    const deadline = nowUs() + returnTimeoutMs * 1_000;
    const reasons: Record<string, number> = {};
    let refused = 0;
    this.#unrecovered = 0;
    const entries = await timed(ended, Math.max(1, ended.length), async (slot) => {
      await pause(Math.random() * spreadMs);
      const url = urls[slot.options.connection % urls.length]!;
      while (slot.hasEnded) {
        const failed = await this.#connect(slot, { ...slot.options, url, since: slot.cursor }).catch(String);
        if (failed === undefined) break;
        refused += 1;
        reasons[String(failed)] = (reasons[String(failed)] ?? 0) + 1;
        if (nowUs() > deadline) throw new Error(`A connection could not return: ${failed}`);
        await pause(returnRetryMs * (0.5 + Math.random()));
      }
    });
    return { ...entries, returned: ended.length, refused, reasons, unrecovered: this.#unrecovered };
  }

  async #until(isDone: () => boolean): Promise<void> {
    for (const deadline = nowUs() + returnTimeoutMs * 1_000; !isDone() && nowUs() < deadline; ) await pause(20);
  }

  async #enter(options: ConnectionOptions): Promise<void> {
    const slot: Slot = {
      ...{ connection: undefined as never, options, hasEnded: false, cursor: undefined },
      ...{ room: options.room, lastSeq: 0, missing: new Set<number>() },
    };
    this.#slots[options.connection] = slot;
    await this.#connect(slot, options);
  }

  async #connect(slot: Slot, options: ConnectionOptions): Promise<void> {
    slot.hasEnded = false;
    slot.connection = await openConnection(this.#dialect, options, {
      delivered: (delivery) => this.#take(delivery, slot, options.connection),
      ...(this.#mayReturn && {
        advanced: (cursor: string) => {
          slot.cursor = cursor;
        },
        rejoined: (isRecovered: boolean) => {
          this.#unrecovered += Number(!isRecovered);
        },
      }),
      confirmed: (us) => {
        this.#count.confirmed += 1;
        this.#confirm.add(nowUs() - us);
        this.#onConfirmed(options.connection);
      },
      failed: (why) => {
        if (this.#isClosing) return;
        if (this.#mayReturn && why.startsWith('closed')) {
          slot.hasEnded = true;
          this.#ends[why] = (this.#ends[why] ?? 0) + 1;
          return;
        }
        this.#count.failed += 1;
        if (this.#failures.length < 5) this.#failures.push(why);
      },
    });
  }

  #take(delivery: Delivery, slot: Slot, number: number): void {
    const { seq } = delivery;
    this.#count.deliveries += 1;
    this.#deliver.add(nowUs() - delivery.us);
    if (seq === slot.lastSeq + 1 || slot.lastSeq === 0) slot.lastSeq = seq;
    else if (seq > slot.lastSeq) {
      for (let missing = slot.lastSeq + 1; missing < seq; missing++) slot.missing.add(missing);
      slot.lastSeq = seq;
    } else if (slot.missing.delete(seq)) this.#count.reordered += 1;
    else this.#count.duplicated += 1;
    this.#onDelivered(delivery, number);
  }

  /** Runs the load, waits until no more messages arrive, and counts them. */
  async #during(seconds: number, begin: (isOver: () => boolean) => void): Promise<Count> {
    this.#confirm = new Histogram();
    this.#deliver = new Histogram();
    this.#count = { confirmed: 0, deliveries: 0, duplicated: 0, reordered: 0, failed: 0 };
    for (const slot of this.#slots) slot.missing.clear();
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
        duplicated: this.#count.duplicated,
        reordered: this.#count.reordered,
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
    for (const { room, lastSeq } of this.#slots) heads.set(room, Math.max(heads.get(room) ?? 0, lastSeq));
    return this.#slots.reduce((sum, { room, lastSeq, missing }) => {
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

export async function timed<T>(all: readonly T[], atOnce: number, task: (one: T) => Promise<void>): Promise<Entries> {
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
