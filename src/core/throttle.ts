interface Entry {
  isRequested: boolean;
  timer?: NodeJS.Timeout | NodeJS.Immediate;
}

/**
 * Runs a task for each key. The first request runs it at the end of the current tick, so that the requests of one tick
 * share a run. Further requests run it at most once per interval. The last request is always followed by a run.
 */
export class Throttle<K> {
  readonly #intervalMs: number;
  readonly #run: (key: K) => void;
  readonly #entries = new Map<K, Entry>();

  constructor(intervalMs: number, run: (key: K) => void) {
    this.#intervalMs = intervalMs;
    this.#run = run;
  }

  request(key: K): void {
    const entry = this.#entries.get(key);
    if (entry) {
      entry.isRequested = true;
      return;
    }
    const first: Entry = { isRequested: true };
    this.#entries.set(key, first);
    first.timer = setImmediate(() => this.#fire(key, first));
  }

  clear(): void {
    for (const { timer } of this.#entries.values()) {
      clearTimeout(timer as NodeJS.Timeout);
      clearImmediate(timer as NodeJS.Immediate);
    }
    this.#entries.clear();
  }

  #fire(key: K, entry: Entry): void {
    if (!entry.isRequested) return void this.#entries.delete(key);
    entry.isRequested = false;
    entry.timer = setTimeout(() => this.#fire(key, entry), this.#intervalMs).unref();
    this.#run(key);
  }
}
