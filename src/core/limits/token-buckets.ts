/**
 * Reports to the other nodes how much was taken from a bucket, in ms of refill time. Resolves to the ms until the bucket
 * is full, counting all nodes; undefined if that is unknown at the moment.
 */
export type ShareSpending = (key: string, spentMs: number, maxMs: number) => Promise<number | undefined> | undefined;

interface Settings {
  /** Tokens that are refilled per second. */
  rate: number;
  /** Tokens in a full bucket. */
  burst: number;
  /** Without it, each node counts for itself. */
  share?: ShareSpending | undefined;
}

interface Bucket {
  /** When it is full again if nothing more is taken. */
  fullAt: number;
  /** Taken here and not reported to the other nodes yet. */
  unsharedMs: number;
  isSharing: boolean;
}

/** The fraction of a burst that is taken before it is shared, so that occasional requests do not burden Redis. */
const maxUnsharedFraction = 0.1;
const cleanupIntervalMs = 30_000;
/** A full bucket is kept for a while, because of the amount that is not shared yet. */
const retentionMs = 60_000;

/**
 * Token buckets by key. A bucket is stored as the time at which it is full again, so amounts of tokens are durations.
 * `consume` never waits: it shares the amount afterwards, and counts other nodes' amounts as soon as they are known.
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

  /** Takes the tokens and returns 0; or, if there are too few, takes none and returns the ms until there are enough. */
  consume(key: string, tokens: number): number {
    const now = performance.now();
    // Otherwise a request that costs more than a full bucket would never be allowed.
    const costMs = Math.min(tokens, this.#burst) * this.#msPerToken;
    const missingMs = this.#computeEmptyMs(key, now) + costMs - this.#maxMs;
    if (missingMs > 0) return Math.ceil(missingMs);
    this.#spend(key, costMs, now);
    return 0;
  }

  /** Takes the tokens even if there are too few. The bucket then owes them, at most as many as a full bucket has. */
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
        // After a failure, the next request shares. A retry here would be a busy loop.
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
