/** How long to wait where the service does not say. */
const defaultWaitMs = 1_000;

/**
 * Requests at the pace of the service. When it refuses one with `RATE_LIMITED`, the others wait behind it, and then they
 * are made one after the other: all at once they would be refused again.
 */
export class RequestPacer {
  #queue: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Makes the request, now or in its turn. It ends with `next`, or with `refused`. */
  run(request: () => void): void {
    if (this.#timer || this.#queue.length > 0) this.#queue.push(request);
    else request();
  }

  requeue(request: () => void, isFirst: boolean, waitMs = defaultWaitMs): void {
    if (isFirst) this.#queue.unshift(request);
    else this.#queue.push(request);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.next();
    }, waitMs);
  }

  /** One is answered, or need not be made any more. */
  next(): void {
    if (!this.#timer) this.#queue.shift()?.();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#queue = [];
  }
}
