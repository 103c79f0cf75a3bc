/**
 * Tells the other nodes that so much has been taken from a bucket, in ms of its refilling, and resolves to how empty it
 * is on all nodes together, in ms until it is full. Undefined where that cannot be known now.
 */
export type ShareSpending = (key: string, spentMs: number, maxMs: number) => Promise<number | undefined> | undefined;

interface Settings {
  /** Tokens that come back in a second. */
  rate: number;
  /** Tokens that a full bucket holds. */
  burst: number;
  /** Without it each node counts alone. */
  share?: ShareSpending | undefined;
}

interface Bucket {
  /** When it is full again, if nothing more is taken. */
  fullAt: number;
  /** What the other nodes do not know of yet, in ms. */
  unsharedMs: number;
  isSharing: boolean;
}

/** What other nodes do not know of may be so much of a burst; users who take little cost Redis nothing. */
const maxUnsharedFraction = 0.1;
const cleanupIntervalMs = 30_000;
/** A full bucket is kept a little, for what has been taken from it and is not shared yet. */
const retentionMs = 60_000;

/**
 * Token buckets by key. All that is kept of one is when it will be full again, in which amounts of tokens are times.
 * Taking never waits: the other nodes are told afterwards, and what they have taken counts as soon as it is known.
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

  /** Takes tokens, or nothing where there are too few: then the answer is how many ms it takes until there are enough. */
  consume(key: string, tokens: number): number {
    const now = performance.now();
    // A request that costs more than a full bucket could never be made.
    const costMs = Math.min(tokens, this.#burst) * this.#msPerToken;
    const missingMs = this.#computeEmptyMs(key, now) + costMs - this.#maxMs;
    if (missingMs > 0) return Math.ceil(missingMs);
    this.#spend(key, costMs, now);
    return 0;
  }

  /** Takes tokens also where there are too few: the bucket then owes them, at most as many as it holds. */
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
        // After a failure the next request shares; here it would be asked again and again.
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
