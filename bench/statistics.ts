/** The figures of one measurement by name. The unit is part of the name. */
export type Sample = Record<string, number>;

export interface Spread {
  median: number;
  min: number;
  max: number;
}

export function spreadsOf(samples: readonly Sample[]): Record<string, Spread> {
  const names = new Set(samples.flatMap((sample) => Object.keys(sample)));
  return Object.fromEntries(
    [...names].map((name) => {
      const sorted = samples.map((sample) => sample[name] ?? Number.NaN).sort((a, b) => a - b);
      return [name, { median: quantile(sorted, 0.5), min: sorted[0]!, max: sorted.at(-1)! }];
    }),
  );
}

/** The quantile of values in ascending order, interpolated between two values. */
export function quantile(sorted: readonly number[], share: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * share;
  const [below, above] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return below + (above - below) * (at - Math.floor(at));
}

/** Durations in µs: exact below 1 ms, above that with a precision of 1/64, in a few KiB regardless of their number. */
export class Histogram {
  readonly #counts = new Float64Array(buckets);
  #total = 0;
  #max = 0;

  add(us: number): void {
    this.#counts[bucketOf(us)]! += 1;
    this.#total += 1;
    if (us > this.#max) this.#max = us;
  }

  get count(): number {
    return this.#total;
  }

  /** The quantile in ms. */
  at(share: number): number {
    if (this.#total === 0) return Number.NaN;
    let left = this.#total * share;
    for (let n = 0; n < buckets; n++) {
      left -= this.#counts[n]!;
      if (left <= 0) return Math.min(startOf(n + 1), this.#max) / 1_000;
    }
    return this.#max / 1_000;
  }
}

const exact = 1_024;
const perDoubling = 64;
const buckets = exact + 16 * perDoubling;

function bucketOf(us: number): number {
  if (us < exact) return Math.max(0, Math.floor(us));
  return Math.min(buckets - 1, exact + Math.floor((Math.log2(us) - 10) * perDoubling));
}

function startOf(bucket: number): number {
  return bucket < exact ? bucket : 2 ** (10 + (bucket - exact) / perDoubling);
}
