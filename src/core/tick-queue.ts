/**
 * Runs many small tasks in the order in which they were added: a few per tick, with other work in between. A thousand tasks
 * at once therefore do not delay other work noticeably.
 */
export class TickQueue<T> {
  readonly #maxPerTick: number;
  readonly #run: (item: T) => void;
  #items: (T | undefined)[] = [];
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
      while (this.#next < end) {
        const item = this.#items[this.#next] as T;
        // The array may never be empty while items arrive, and must not keep what has been run.
        this.#items[this.#next++] = undefined;
        this.#run(item);
      }
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
