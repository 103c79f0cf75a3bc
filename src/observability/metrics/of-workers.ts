import { AggregatorRegistry, Gauge, Registry } from 'prom-client';
import { registerCounter, toSingleValue } from './fast-metrics.ts';
import { registerDefaultMetrics } from './process.ts';

interface WorkerCounts {
  readonly wanted: number;
  readonly running: number;
  readonly restarts: number;
}

/** The metrics of one process, as prom-client exports them. */
type Export = { type: unknown; aggregator: string; name: string }[];

/**
 * Adds up the metrics of all workers. The counters of a worker that has ended or does not answer remain in the sums,
 * because Prometheus would take a smaller sum for a restart and count everything a second time.
 */
export class MetricsOfWorkers {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #own = new Registry();
  /** The last metrics of each worker that has not ended. */
  readonly #last = new Map<number, Export>();
  #ended: Export = [];

  constructor(counts: WorkerCounts) {
    registerDefaultMetrics(this.#own);
    const registers = [this.#own];
    for (const [name, help, read] of [
      ['workers', 'Workers that serve; only with WORKERS.', () => counts.running],
      ['workers_wanted', 'WORKERS, or the number of cores if it is auto.', () => counts.wanted],
    ] as const) {
      new Gauge({
        ...{ registers, name: `nano_messaging_${name}`, help },
        collect() {
          this.set(read());
        },
      });
    }
    registerCounter({
      registers,
      name: 'nano_messaging_worker_restarts_total',
      help: 'Workers that were started again because they had ended.',
      read: () => toSingleValue(counts.restarts),
    });
  }

  /** Adds the current metrics of a worker. */
  update(worker: number, metrics: object[]): void {
    this.#last.set(worker, metrics as Export);
  }

  /** Call this when a worker has ended. */
  end(worker: number): void {
    const totals = (this.#last.get(worker) ?? []).filter(isTotal);
    this.#last.delete(worker);
    this.#ended = aggregate([this.#ended, totals]).getMetricsAsArray() as unknown as Export;
  }

  async text(): Promise<string> {
    const own = (await this.#own.getMetricsAsJSON()) as unknown as Export;
    return aggregate([own, ...this.#last.values(), this.#ended]).metrics();
  }
}

const isTotal = ({ type, aggregator }: Export[number]) =>
  (type === 'counter' || type === 'histogram') && aggregator === 'sum';

/** Metrics of different processes with the same name become one metric. */
function aggregate(exports: Export[]): Registry {
  return AggregatorRegistry.aggregate(exports as unknown as object[]) as unknown as Registry;
}
