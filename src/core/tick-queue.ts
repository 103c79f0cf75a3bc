/**
 * Runs many small tasks in the order in which they were added: a few per tick, with other work in between. A thousand tasks
 * at once therefore do not delay other work noticeably.
 */
export class TickQueue<T> {
  readonly #maxPerTick: number;
  readonly #run: (item: T) => void;
  #items: T[] = [];
  /** The index of the next item. */
  #next = 0;

  constructor(maxPerTick: number, run: (item: T) => void) {
    this.#maxPerTick = maxPerTick;
    this.#run = run;
  }

  add(item: T): void {
    if (this.#items.push(item) === 1) setImmediate(() => this.#runSome());
  }

  #runSome(): void {
    const end = Math.min(this.#next + this.#maxPerTick, this.#items.length);
    try {
      while (this.#next < end) this.#run(this.#items[this.#next++]!);
    } finally {
      // Even if a task has thrown, the others run.
      if (this.#next < this.#items.length) {
        setImmediate(() => this.#runSome());
      } else {
        this.#items = [];
        this.#next = 0;
      }
    }
  }
}
