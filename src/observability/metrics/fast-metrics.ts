import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/**
 * One value of a metric, with its labels. Our code counts in plain numbers, and prom-client reads them as cells only
 * when the metrics are requested. Counting with prom-client would be too slow for values that change thousands of times
 * a second: at each change, it builds a string from the labels and looks up the value by that string.
 */
export type Cell = [labels: Record<string, string>, value: number];

interface Named {
  registers: Registry[];
  name: string;
  help: string;
}

interface Read {
  labelNames?: readonly string[];
  read: () => Iterable<Cell>;
}

export function registerCounter({ registers, name, help, labelNames = [], read }: Named & Read): void {
  new Counter({
    ...{ registers, name, help, labelNames },
    collect() {
      this.reset();
      for (const [labels, value] of read()) this.inc(labels, value);
    },
  });
}

/** How the values of several workers become one. */
export type Aggregator = 'sum' | 'max' | 'min' | 'average' | 'first';

export function registerGauge({
  registers,
  name,
  help,
  labelNames = [],
  aggregator = 'sum',
  read,
}: Named & Read & { aggregator?: Aggregator | undefined }): void {
  new Gauge({
    ...{ registers, name, help, labelNames, aggregator },
    collect() {
      this.reset();
      for (const [labels, value] of read()) this.set(labels, value);
    },
  });
}

/** Returns the cells of a metric that has one value and no labels. */
export const toSingleValue = (value: number): Cell[] => [[{}, value]];

export interface Observer {
  observe(value: number): void;
}

class Distribution implements Observer {
  readonly labels: Record<string, string>;
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum = 0;

  constructor(labels: Record<string, string>, bounds: readonly number[]) {
    this.labels = labels;
    this.bounds = bounds;
    this.counts = [...bounds, 0].fill(0);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let n = 0;
    while (n < bounds.length && value > bounds[n]!) n += 1;
    counts[n]! += 1;
    this.sum += value;
  }
}

/**
 * A histogram that counts by itself, because the histogram of prom-client is too slow. It extends the class of
 * prom-client only because the registry accepts no other class.
 */
export class FastHistogram extends Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #distributions: Distribution[] = [];
  readonly #bounds: readonly number[];

  constructor({ registers, name, help, buckets }: Named & { buckets: readonly number[] }) {
    super({ registers, name, help, buckets: [...buckets] });
    this.#name = name;
    this.#help = help;
    this.#bounds = buckets;
  }

  /** Creates an observer for these labels. Call this only once for the same labels, and keep the observer. */
  withLabels(labels: Record<string, string> = {}): Observer {
    const distribution = new Distribution(labels, this.#bounds);
    this.#distributions.push(distribution);
    return distribution;
  }

  override async get() {
    const values = this.#distributions.flatMap(({ labels, bounds, counts, sum }) => {
      let upTo = 0;
      const buckets = counts.map((count, n) => {
        upTo += count;
        return { value: upTo, labels: { ...labels, le: bounds[n] ?? '+Inf' }, metricName: `${this.#name}_bucket` };
      });
      return [
        ...buckets,
        { value: sum, labels, metricName: `${this.#name}_sum` },
        { value: upTo, labels, metricName: `${this.#name}_count` },
      ];
    });
    return { name: this.#name, help: this.#help, type: 'histogram', aggregator: 'sum', values } as unknown as Awaited<
      ReturnType<Histogram['get']>
    >;
  }

  /** Overrides the method of the base class. If a metric has this method, the registry calls it instead of `get`. */
  getForPromString() {
    return this.get();
  }
}
