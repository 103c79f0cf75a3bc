import { Histogram, type Registry } from 'prom-client';
import { registerCounter } from './fast-metrics.ts';

export interface ReadMetrics {
  reads: {
    committed(positions: number, seconds: number): void;
    merged(): void;
  };
}

/** Creates the metrics of read positions and personal settings. */
export function createReadMetrics(registers: Registry[]): ReadMetrics {
  let committed = 0;
  let merged = 0;
  registerCounter({
    registers,
    name: 'nano_messaging_position_writes_total',
    help: 'Marks and personal settings: those that were committed, and those that were merged with another of the same user and room.',
    labelNames: ['result'],
    read: () => [
      [{ result: 'committed' }, committed],
      [{ result: 'merged' }, merged],
    ],
  });
  const seconds = new Histogram({
    name: 'nano_messaging_position_commit_duration_seconds',
    help: 'Duration of one commit of read positions.',
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5],
    registers,
  });
  return {
    reads: {
      committed(positions, took) {
        committed += positions;
        seconds.observe(took);
      },
      merged() {
        merged += 1;
      },
    },
  };
}
