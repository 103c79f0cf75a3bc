export interface EndpointTimeouts {
  minBackoffMs: number;
  maxBackoffMs: number;
}

/** A longer `Retry-After` is cut to this time. */
export const maxRetryAfterMs = 24 * 3_600_000;

/**
 * Decides when the next request to an endpoint may begin. An endpoint that fails gets one request at a time, after a
 * growing delay. After its first answer it gets 1, 2, 4 and at last 8 requests at once. Times are in ms, by any clock.
 */
export class EndpointPolicy {
  readonly #timeouts: EndpointTimeouts;
  readonly #maxConcurrent: number;
  readonly #random: () => number;
  /** Undefined while the endpoint answers. */
  #failure: { since: number; attempts: number; nextAt: number } | undefined;
  #limit = 1;
  /** Answers since the limit was last raised. */
  #answers = 0;

  constructor(timeouts: EndpointTimeouts, maxConcurrent = 8, random: () => number = Math.random) {
    this.#timeouts = timeouts;
    this.#maxConcurrent = maxConcurrent;
    this.#random = random;
  }

  get isFailing(): boolean {
    return this.#failure !== undefined;
  }

  /** How many requests may be under way at `now`. */
  getLimit(now: number): number {
    if (!this.#failure) return this.#limit;
    return now >= this.#failure.nextAt ? 1 : 0;
  }

  /** When the next attempt is due; undefined while the endpoint answers. */
  get nextAt(): number | undefined {
    return this.#failure?.nextAt;
  }

  /** Returns true if the endpoint has recovered. */
  succeeded(): boolean {
    const hasRecovered = this.#failure !== undefined;
    if (hasRecovered) {
      this.#failure = undefined;
      this.#limit = 1;
      this.#answers = 0;
    }
    this.#answers += 1;
    if (this.#answers >= this.#limit && this.#limit < this.#maxConcurrent) {
      this.#limit = Math.min(this.#maxConcurrent, this.#limit * 2);
      this.#answers = 0;
    }
    return hasRecovered;
  }

  /**
   * Records a failed request that began at `begunAt`. If it began before an earlier failure, both count as one. Returns
   * true if this is the first failure after an answer.
   */
  failed(now: number, begunAt: number, retryAfterMs = 0): boolean {
    const isFirst = this.#failure === undefined;
    const isSame = this.#failure !== undefined && begunAt <= this.#failure.since;
    const attempts = isSame ? this.#failure!.attempts : (this.#failure?.attempts ?? 0) + 1;
    const { minBackoffMs, maxBackoffMs } = this.#timeouts;
    const backoffMs = Math.min(maxBackoffMs, minBackoffMs * 2 ** Math.min(attempts - 1, 30));
    const delayMs = Math.max(backoffMs * (0.75 + this.#random() / 4), Math.min(retryAfterMs, maxRetryAfterMs));
    const nextAt = now + delayMs;
    this.#failure = {
      since: isSame ? this.#failure!.since : now,
      attempts,
      nextAt: isSame ? Math.max(nextAt, this.#failure!.nextAt) : nextAt,
    };
    return isFirst;
  }

  /** Makes the next attempt due at once. */
  reset(): void {
    if (this.#failure) this.#failure = { ...this.#failure, attempts: 0, nextAt: Number.NEGATIVE_INFINITY };
  }
}
