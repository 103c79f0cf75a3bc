/**
 * Reports to the other nodes how many tokens this node took from a bucket. `spentMs` is the time in which these tokens
 * are refilled. Resolves to the time in ms until the bucket is full again, with the tokens that all nodes took.
 * Resolves to undefined if the report failed.
 */
export type ShareSpending = (key: string, spentMs: number, maxMs: number) => Promise<number | undefined> | undefined;

interface Settings {
  /** Tokens that are refilled per second. */
  rate: number;
  /** Tokens in a full bucket. */
  burst: number;
  /** If undefined, each node counts only the tokens that it took itself. */
  share?: ShareSpending | undefined;
}

interface Bucket {
  /** The time at which the bucket is full again if no more tokens are taken. */
  fullAt: number;
  /** Tokens that this node took and has not reported to the other nodes yet, as their refill time. */
  unsharedMs: number;
  isSharing: boolean;
}

/** A node reports once it has taken this fraction of a full bucket, so that occasional requests do not burden Redis. */
const maxUnsharedFraction = 0.1;
const cleanupIntervalMs = 30_000;
/** How long a full bucket is kept, because this node may still have to report tokens that it took. */
const retentionMs = 60_000;

/**
 * Token buckets by key. A bucket is stored as the time at which it is full again, and amounts of tokens as their refill
 * time. `consume` never waits for other nodes: it decides with what this node knows, and reports the tokens afterwards.
 */
export class TokenBuckets {
  readonly #msPerToken: number;
  readonly #burst: number;
  readonly #share: ShareSpending | undefined;
  readonly #buckets = new Map<string, Bucket>();

  constructor({ rate, burst, share }: Settings) {
    this.#msPerToken = 1_000 / rate;
    this.#burst = burst;
    this.#share = share;
    setInterval(() => this.#removeFull(), cleanupIntervalMs).unref();
  }

  /**
   * Takes the tokens and returns 0. If there are too few, takes none and returns the time in ms until there are enough.
   */
  consume(key: string, tokens: number): number {
    const now = performance.now();
    // Without this bound, a request that costs more than a full bucket would never be allowed.
    const costMs = Math.min(tokens, this.#burst) * this.#msPerToken;
    const missingMs = this.#computeEmptyMs(key, now) + costMs - this.#maxMs;
    if (missingMs > 0) return Math.ceil(missingMs);
    this.#spend(key, costMs, now);
    return 0;
  }

  /**
   * Takes the tokens even if there are too few. The bucket then owes the missing tokens, at most as many as a full
   * bucket has.
   */
  charge(key: string, tokens: number): void {
    const now = performance.now();
    const owedMs = this.#computeEmptyMs(key, now);
    this.#spend(key, Math.min(tokens * this.#msPerToken, Math.max(0, 2 * this.#maxMs - owedMs)), now);
  }

  get #maxMs(): number {
    return this.#burst * this.#msPerToken;
  }

  #computeEmptyMs(key: string, now: number): number {
    return Math.max(0, (this.#buckets.get(key)?.fullAt ?? 0) - now);
  }

  #spend(key: string, costMs: number, now: number): void {
    if (costMs === 0) return;
    let bucket = this.#buckets.get(key);
    if (!bucket) {
      bucket = { fullAt: now, unsharedMs: 0, isSharing: false };
      this.#buckets.set(key, bucket);
    }
    bucket.fullAt = Math.max(bucket.fullAt, now) + costMs;
    bucket.unsharedMs = Math.min(bucket.unsharedMs + costMs, 2 * this.#maxMs);
    this.#shareIfNeeded(key, bucket);
  }

  #shareIfNeeded(key: string, bucket: Bucket): void {
    if (!this.#share || bucket.isSharing || bucket.unsharedMs < this.#maxMs * maxUnsharedFraction) return;
    const spentMs = Math.ceil(bucket.unsharedMs);
    const pendingShare = this.#share(key, spentMs, 2 * this.#maxMs);
    if (!pendingShare) return;
    bucket.isSharing = true;
    bucket.unsharedMs = 0;
    pendingShare
      .catch(() => undefined)
      .then((emptyMs) => {
        bucket.isSharing = false;
        if (emptyMs === undefined) bucket.unsharedMs = Math.min(bucket.unsharedMs + spentMs, 2 * this.#maxMs);
        else bucket.fullAt = Math.max(bucket.fullAt, performance.now() + emptyMs + bucket.unsharedMs);
        // After a failure, the next request reports these tokens. A retry here would be a busy loop.
        if (emptyMs !== undefined) this.#shareIfNeeded(key, bucket);
      });
  }

  #removeFull(): void {
    const cutoff = performance.now() - retentionMs;
    for (const [key, { fullAt, isSharing }] of this.#buckets) {
      if (fullAt < cutoff && !isSharing) this.#buckets.delete(key);
    }
  }
}
