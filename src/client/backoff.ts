import type { Timeouts } from './api.ts';

/**
 * Returns the delay before the next attempt. It is a random part of the backoff, at least half, so that clients do not
 * all retry at the same time.
 */
export function computeBackoffMs(failures: number, { backoffMs, maxBackoffMs }: Timeouts): number {
  return Math.min(maxBackoffMs, backoffMs * 2 ** failures) * (0.5 + Math.random() / 2);
}

/** Waits between the attempts of one thing, longer after each failure. */
export class Backoff {
  readonly #timeouts: Timeouts;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(timeouts: Timeouts) {
    this.#timeouts = timeouts;
  }

  get isWaiting(): boolean {
    return this.#timer !== undefined;
  }

  /** Counts a failure, and returns the delay after it. */
  fail(): number {
    return computeBackoffMs(this.#failures++, this.#timeouts);
  }

  wait(retry: () => void, delayMs = this.fail()): void {
    this.stop();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      retry();
    }, delayMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Call this after a success. */
  reset(): void {
    this.#failures = 0;
  }
}
